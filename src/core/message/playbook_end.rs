//! Why a run ended, and what of it stays.

use std::time::Duration;

use crate::core::RunId;
use crate::core::duration::human;
use crate::core::person::Actor;
use crate::core::text::capped;

use super::playbook::actor;

/// Ends.
#[must_use]
pub fn end_fixed() -> String {
    "the change was made and what must hold afterwards does".to_owned()
}

/// Nothing was changed.
#[must_use]
pub fn end_nothing_changed() -> String {
    "nothing was changed".to_owned()
}

/// Changed, and nothing measured it; named where something else was measured.
#[must_use]
pub fn end_not_verified(some: &[&str]) -> String {
    let named = if some.is_empty() { String::new() } else { format!(": {}", some.join(", ")) };
    format!("the change was made, but nothing measured whether it helped{named}")
}

/// Changed, and what must hold afterwards held before as well; at most three conditions are named.
#[must_use]
pub fn end_held_already(conditions: &[&str]) -> String {
    let mut named: Vec<String> = conditions.iter().take(3).map(|one| format!("`{}`", capped(one, 200))).collect();
    if conditions.len() > named.len() {
        named.push(and_more(conditions.len() - named.len()));
    }
    let (what, shows) = (named.join(", "), "it does not show that anything was fixed");
    format!("{what} held already before the change: {shows}")
}

/// Changed, and it did not help.
#[must_use]
pub fn end_no_effect(task: &str, note: &str) -> String {
    format!("the change was made, but it did not help: {task}: {note}")
}

/// A task failed.
#[must_use]
pub fn end_failed(task: &str, note: &str) -> String {
    format!("{task} failed: {note}")
}

/// Changed, and it is worse than before.
#[must_use]
pub fn end_made_worse(task: &str, note: &str) -> String {
    format!("the change was made, and it is worse than before: {task}: {note}")
}

/// Why it ended, and what became of what was done.
#[must_use]
pub fn end_with_undone(why: &str, undone: &[&str], stays: &[&str]) -> String {
    let undone = if undone.is_empty() { String::new() } else { format!("; undone: {}", undone.join(", ")) };
    let stays = if stays.is_empty() { String::new() } else { format!("; stays as it is: {}", stays.join(", ")) };
    format!("{why}{undone}{stays}")
}

/// A change of a run that is a part of another.
#[must_use]
pub fn of_run(change: &str, run: RunId) -> String {
    format!("{change} ({run})")
}

/// What is not named one by one.
#[must_use]
pub fn and_more(more: usize) -> String {
    format!("and {more} more")
}

/// An undo failed.
#[must_use]
pub fn end_not_undone(task: &str, note: &str) -> String {
    format!("{task} could not be undone: {note}; look at the system, `retry` tries to undo it again")
}

/// Cancelled.
#[must_use]
pub fn end_cancelled(by: &Actor) -> String {
    match by {
        // Mayday cancels only what it takes back itself, and says why.
        Actor::Mayday(why) => format!("Mayday took the proposal back: {why}"),
        Actor::Person(_) | Actor::Impersonated { .. } => format!("cancelled by {}", actor(by)),
    }
}

/// A person said no.
#[must_use]
pub fn end_rejected(name: &str, reason: Option<&str>) -> String {
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{name} rejected it{why}")
}

/// A proposal was taken back.
#[must_use]
pub fn withdrawn(run: RunId) -> String {
    format!("{run} is taken back. Nothing it planned will be done.")
}

/// Nobody decided in time.
#[must_use]
pub fn end_expired() -> String {
    "nobody approved it in time".to_owned()
}

/// A run whose records can't be read.
#[must_use]
pub fn end_unreadable(why: &str) -> String {
    format!("its records can't be read, so that Mayday can't go on; look at the system: {why}")
}

/// A run whose next step can't be made or written down.
#[must_use]
pub fn end_hopeless(why: &str) -> String {
    format!("Mayday can't go on with it; look at the system: {why}")
}

/// It took too long.
#[must_use]
pub fn end_too_long(limit: Duration) -> String {
    format!("it was not done within {}", human(limit))
}

/// It took too long, and it is not known what happened.
#[must_use]
pub fn end_stuck(task: &str, id: &str) -> String {
    format!(
        "nobody said whether {task} happened; look at the system and answer `done`, `not_done` or `failed` for {id}, then what is left to undo is undone"
    )
}

/// A child's end, when its parent is to end.
#[must_use]
pub fn end_with_parent(parent: RunId) -> String {
    format!("{parent}, which it is a part of, is to end")
}

/// What a child run came to.
#[must_use]
pub fn child_ended(run: RunId, outcome: &str, why: &str) -> String {
    format!("{run} ended ({outcome}): {why}")
}

//! What a run came to once nothing more happens.
//!
//! `fixed`: something was changed, and what must hold afterwards does, and did not before as far as that is known.
//! `no_effect`: nothing was changed, or it did not help, or nothing measured it, or what must hold held already before.
//! `made_worse`: what must hold does not, and the measurement is further from it than before
//! ([`crate::playbook::measure`]). `failed`: a task failed; what said how it is undone is undone. `stuck`: it is not known
//! what happened, or an undo failed.

use std::time::Duration;

use super::before::held_already;
use super::decide::aborts;
use super::event::{CHILD, FailureKind, Part};
use super::status::Status;
use super::task::Stage;
use crate::access::Actor;
use crate::core::RunId;
use crate::core::message::playbook as say;
use crate::playbook::book::Book;
use crate::playbook::condition::Condition;
use crate::playbook::view::RunOutcome;

/// So many changes that stay are named one by one.
const MOST_NAMED: usize = 50;

/// The outcome, and one sentence on why and on what became of what was done.
pub(super) fn of(book: &Book, status: &Status, overdue: bool) -> (RunOutcome, String) {
    let (outcome, why) = so_far(book, status, overdue);
    let why = with_what_became(status, &why, outcome);
    (outcome, why)
}

/// The same sentence, and what became of what was done: what is undone, and what stays.
pub(super) fn with_what_became(status: &Status, why: &str, outcome: RunOutcome) -> String {
    let undone: Vec<&str> = (0..status.tasks.len())
        .filter(|index| status.tasks[*index].stage == Stage::RolledBack)
        .map(|index| status.head.tasks[index].name.as_str())
        .collect();
    let stays = if outcome == RunOutcome::Fixed { Vec::new() } else { stays(status, None) };
    let stays: Vec<&str> = stays.iter().map(String::as_str).collect();
    say::end_with_undone(why, &undone, &stays)
}

/// The outcome as it is before anything is undone, and why.
pub(super) fn so_far(book: &Book, status: &Status, overdue: bool) -> (RunOutcome, String) {
    if overdue && status.cancelled.is_none() && status.rejected.is_none() {
        let limit = status.head.deadline.duration_since(status.head.at);
        return (RunOutcome::Failed, say::end_too_long(Duration::try_from(limit).unwrap_or_default()));
    }
    plain(book, status)
}

/// What a run changed that stands once it has ended, or may stand, for the run that it is a part of: each with its run.
#[must_use]
pub fn standing(status: &Status) -> Vec<String> {
    stays(status, Some(status.head.run))
}

fn stays(status: &Status, of: Option<RunId>) -> Vec<String> {
    let mut found = Vec::new();
    for index in (0..status.tasks.len()).filter(|index| status.tasks[*index].stage != Stage::RolledBack) {
        let (head, task) = (&status.head.tasks[index], &status.tasks[index]);
        let name = || of.map_or_else(|| head.name.clone(), |run| say::of_run(&head.name, run));
        let children = of_children(status, index);
        // Whether it happened nobody may know: whoever goes on has to know that.
        let doubt = task.stage == Stage::InDoubt && head.changes;
        if children.is_empty() && (changed(status, index) || doubt && !head.part.is_undo()) {
            found.push(name());
        }
        found.extend(children);
    }
    if found.len() > MOST_NAMED {
        let more = found.len() - MOST_NAMED;
        found.truncate(MOST_NAMED);
        found.push(say::and_more(more));
    }
    found
}

/// What the child runs of a step changed that stands: the one it waited for, and those before a `retry`.
fn of_children(status: &Status, index: usize) -> Vec<String> {
    // What is left of it after an undo stands with what was undone.
    if status.head.tasks[index].kind != CHILD || status.part(index).is_undo() {
        return Vec::new();
    }
    let task = &status.tasks[index];
    let outputs = task.earlier.iter().filter_map(|done| done.output.as_ref()).chain(task.output.as_ref());
    let names = outputs.flat_map(|output| output["stays"].as_array().into_iter().flatten());
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Whether a step of the playbook's order changed something.
fn changed(status: &Status, index: usize) -> bool {
    // What a child run changed was changed.
    if child_fixed(status, index) || !of_children(status, index).is_empty() {
        return true;
    }
    let works = !status.part(index).is_undo() && status.part(index) != Part::Each;
    status.head.tasks[index].changes && works && status.tasks[index].did()
}

fn child_fixed(status: &Status, index: usize) -> bool {
    let output = status.tasks[index].output.as_ref();
    status.head.tasks[index].kind == CHILD
        && output.is_some_and(|output| output["outcome"] == serde_json::json!(RunOutcome::Fixed))
}

fn plain(book: &Book, status: &Status) -> (RunOutcome, String) {
    if let Some(by) = &status.cancelled {
        let why = match (&status.head.parent, by) {
            (Some(parent), Actor::Mayday(_)) => say::end_with_parent(parent.run),
            _ => say::end_cancelled(by),
        };
        return (RunOutcome::Cancelled, why);
    }
    if let Some(why) = &status.rejected {
        let outcome = if status.expired { RunOutcome::Expired } else { RunOutcome::Rejected };
        return (outcome, why.clone());
    }
    let all = || 0..status.tasks.len();
    let changes: Vec<usize> = all().filter(|index| changed(status, *index)).collect();
    let note = |index: usize| {
        // That it was undone is said at the end, of all that was.
        let note = say::why_failed(status.tasks[index].note.as_deref().unwrap_or_default());
        (status.head.tasks[index].name.clone(), note.to_owned())
    };
    // Whether what a step measured tells of a change: its own, or one that it comes after and began after.
    let tells_of = |index: usize, change: usize| {
        let after = book.graph.ancestors[status.declared(index)][status.declared(change)];
        let began = status.tasks[index].started.or(status.tasks[index].done);
        index == change || after && began > status.tasks[change].last_done()
    };
    // A task that was undone since keeps how it failed.
    let unverified = |index: &usize| {
        status.tasks[*index].verified == Some(false) && changes.iter().any(|change| tells_of(*index, *change))
    };
    if !changes.is_empty() {
        let worse = |index: &usize| status.tasks[*index].failure == Some(FailureKind::MadeWorse);
        if let Some(index) = all().find(|index| unverified(index) && worse(index)) {
            let (task, note) = note(index);
            return (RunOutcome::MadeWorse, say::end_made_worse(&task, &note));
        }
        if let Some(index) = all().find(unverified) {
            let (task, note) = note(index);
            return (RunOutcome::NoEffect, say::end_no_effect(&task, &note));
        }
    }
    // Also one that may have happened before it failed, and was undone since.
    let failed_and_undone = |index: usize| {
        let (task, declared) = (&status.tasks[index], &book.playbook.tasks[status.declared(index)]);
        task.stage == Stage::RolledBack && task.failure.is_some() && !declared.on_failure.continues()
    };
    if let Some(index) = all().find(|index| aborts(book, status, *index) || failed_and_undone(*index)) {
        let (task, note) = note(index);
        return (RunOutcome::Failed, say::end_failed(&task, &note));
    }
    if changes.is_empty() {
        return (RunOutcome::NoEffect, say::end_nothing_changed());
    }
    // Each change must be covered: verified itself, or by a verification that comes after it and began after it.
    let covered = |change: &usize| {
        child_fixed(status, *change)
            || all().any(|index| status.tasks[index].verified == Some(true) && tells_of(index, *change))
    };
    let open: Vec<usize> = changes.iter().copied().filter(|change| !covered(change)).collect();
    if !open.is_empty() {
        let name = |index: &usize| status.head.tasks[*index].name.as_str();
        let named: Vec<&str> = if open.len() < changes.len() { open.iter().map(name).collect() } else { Vec::new() };
        return (RunOutcome::NoEffect, say::end_not_verified(&named));
    }
    // One that did not hold before is enough: others may only watch that nothing else suffers.
    let mut already: Vec<&str> = Vec::new();
    let mut fixed = changes.iter().any(|change| child_fixed(status, *change));
    for verifier in all().filter(|index| status.tasks[*index].verified == Some(true)) {
        let told: Vec<usize> = changes.iter().copied().filter(|change| tells_of(verifier, *change)).collect();
        if held_already(book, status, verifier, &told) {
            let condition = book.verify[status.declared(verifier)].as_ref().map(Condition::source);
            already.extend(condition.filter(|condition| !already.contains(condition)));
        } else {
            fixed |= !told.is_empty();
        }
    }
    if fixed { (RunOutcome::Fixed, say::end_fixed()) } else { (RunOutcome::NoEffect, say::end_held_already(&already)) }
}

/// The measurements that are done and come after a task that failed: once it is started again they tell of the time before.
#[must_use]
pub fn stale(book: &Book, status: &Status) -> Vec<String> {
    let failed = |index: &usize| status.tasks[*index].stage == Stage::Failed && !status.part(*index).is_undo();
    let again: Vec<usize> = (0..status.tasks.len()).filter(failed).map(|index| status.declared(index)).collect();
    let after = |index: usize| again.iter().any(|before| book.graph.ancestors[status.declared(index)][*before]);
    let measured = |index: &usize| {
        let (head, task) = (&status.head.tasks[*index], &status.tasks[*index]);
        head.kind == "Verify" && task.stage == Stage::Succeeded && !head.part.is_undo() && after(*index)
    };
    (0..status.tasks.len()).filter(measured).map(|index| status.head.tasks[index].id.clone()).collect()
}

//! What the healing loop says: on a plan's box, and in the timeline.

use std::time::Duration;

use crate::core::duration::human;
use crate::core::{IncidentId, RunId, Timestamp};

/// First line of the card of a run that belongs to no incident.
#[must_use]
pub fn run_title(playbook: &str, service: Option<&str>) -> String {
    service.map_or_else(|| playbook.to_owned(), |service| format!("{playbook}: {service}"))
}

/// Who asked for a run without an incident: a part of Mayday.
#[must_use]
pub fn asked_for_by_mayday(part: &str) -> String {
    match part.split_once(' ') {
        Some(("schedule", name)) => format!("Proposed by the schedule {name}, for no incident."),
        _ => format!("Proposed by Mayday ({part}), for no incident."),
    }
}

/// Who asked for a run without an incident: a person.
#[must_use]
pub fn asked_for_by(who: &str) -> String {
    format!("Asked for by {}, for no incident.", super::incident::person(who))
}

/// A run that another one began.
#[must_use]
pub fn part_of(parent: RunId) -> String {
    format!("Part of {parent}.")
}

/// Heading of a plan nobody has decided on.
#[must_use]
pub fn proposed(what: &str) -> String {
    format!("Proposed: {}", lower_first(what))
}

/// Heading of a plan that was approved before and must be approved again, since something moved.
#[must_use]
pub fn proposed_again(what: &str) -> String {
    format!("Asks again: {}", lower_first(what))
}

/// Heading while read tasks gather what the plan needs.
#[must_use]
pub fn preparing(what: &str) -> String {
    format!("Preparing: {}", lower_first(what))
}

/// Heading while it runs.
#[must_use]
pub fn running(what: &str) -> String {
    format!("Running: {}", lower_first(what))
}

/// Heading while it is paused.
#[must_use]
pub fn paused(what: &str) -> String {
    format!("Paused: {}", lower_first(what))
}

/// Heading while it undoes what it did.
#[must_use]
pub fn undoing(what: &str) -> String {
    format!("Undoing: {}", lower_first(what))
}

/// Heading while a run asks before it goes on undoing.
#[must_use]
pub fn undoing_asks(what: &str) -> String {
    format!("Takes back what it did, and asks before this: {}", lower_first(what))
}

/// Heading while a run waits for something.
#[must_use]
pub fn waiting(what: &str) -> String {
    format!("Waiting: {}", lower_first(what))
}

/// Heading of an ended run.
#[must_use]
pub fn ended(outcome: &str, what: &str) -> String {
    format!("{}: {}", upper_first(outcome), lower_first(what))
}

/// No change was made, since what it was for has come by itself; the service that was to be restarted, if one was.
#[must_use]
pub fn not_needed(restarted: Option<&str>, what: &str) -> String {
    match restarted {
        Some(service) => format!("Not needed: {service} answers again"),
        None => format!("Not needed: {}", lower_first(what)),
    }
}

/// A change as a phrase that names its object: `Restart order-service`. None for kinds whose own name says more.
#[must_use]
pub fn change(kind: &str, service: &str) -> Option<String> {
    let verb = match kind {
        "Service_Restart" | "Kubernetes_Restart" => "Restart",
        "Kubernetes_Scale" | "Cloud_Scale" => "Scale",
        "Kubernetes_Rollback" => "Roll back",
        "Config_Rollback" => "Roll back the configuration of",
        "Disk_Cleanup" => "Clean up the disk of",
        "Cache_Clear" => "Clear the cache of",
        "Traffic_Shift" => "Shift the traffic of",
        _ => return None,
    };
    Some(format!("{verb} {service}"))
}

/// Several changes in one plan.
#[must_use]
pub fn several(playbook: &str, changes: usize) -> String {
    format!("{playbook} ({changes} changes)")
}

/// How long an ended run took.
#[must_use]
pub fn took(duration: Duration) -> String {
    format!("took {}", human(duration))
}

/// What an ended run came to, in words.
#[must_use]
pub fn outcome(word: &str) -> String {
    match word {
        "fixed" => "fixed and verified",
        "no_effect" => "no effect",
        "made_worse" => "made it worse",
        "failed" => "failed",
        "rejected" => "rejected",
        "expired" => "nobody decided in time",
        "cancelled" => "cancelled",
        "stuck" => "stuck, a person must look",
        other => other,
    }
    .to_owned()
}

/// Blast radius and undo, below the change.
#[must_use]
pub fn note(radius: &str, undo: Option<&str>) -> String {
    let undo = undo.map_or_else(|| "can't be undone".to_owned(), |undo| format!("undo: {undo}"));
    if radius.is_empty() { undo } else { format!("{radius} · {undo}") }
}

/// How it is checked afterwards.
#[must_use]
pub fn verified_by(what: &str) -> String {
    // A condition is told as text, not as code: nothing renders its ticks.
    format!("verified by: {}", what.replace('`', ""))
}

/// Nothing checks it afterwards.
#[must_use]
pub fn not_verified() -> String {
    "nothing verifies it: look yourself afterwards".to_owned()
}

/// Why it is asked again.
#[must_use]
pub fn moved(difference: &str) -> String {
    format!("changed since the approval: {difference}")
}

/// In the middle of a long value.
#[must_use]
pub fn left_out(bytes: usize) -> String {
    format!("… ({bytes} bytes left out) …")
}

/// More lines than are shown.
#[must_use]
pub fn and_more(count: usize) -> String {
    format!("… and {count} more")
}

/// Who must approve.
#[must_use]
pub fn needs(needed: u32, approvers: &[String], team: &str) -> String {
    let who = if !approvers.is_empty() {
        format!(" ({})", approvers.join(", "))
    } else if team.is_empty() {
        String::new()
    } else {
        format!(" of team {team}")
    };
    match needed {
        0 | 1 => format!("Needs one approver{who}."),
        many => format!("Needs {many} approvers{who}."),
    }
}

/// Who has approved so far.
#[must_use]
pub fn approved_by(names: &[String], needed: u32) -> String {
    format!("{} of {needed} approved: {}.", names.len(), names.join(", "))
}

/// Nobody was asked for what it changes.
#[must_use]
pub fn allowed_by(policy: &str, asks_for_more: bool) -> String {
    // Whether that was done as well the steps say.
    let what = if asks_for_more { "An earlier plan was allowed" } else { "Allowed" };
    format!("{what} by the standing policy {policy}.")
}

/// Until when the request holds, UTC.
#[must_use]
pub fn valid_until(at: Timestamp) -> String {
    format!("Valid until {} UTC.", at.strftime("%H:%M"))
}

/// A step that a person must allow.
pub const NEEDS_APPROVAL: &str = "needs approval";
/// A step that a person must answer.
pub const NEEDS_ANSWER: &str = "needs an answer";
/// A question to a service that nobody answered: that is a finding, not a failure of the run.
pub const NO_ANSWER: &str = "no answer";
/// A step of an ended run that was never begun.
pub const NOT_RUN: &str = "not run";

/// Whether a call's error says that nobody answered, as `action::api_call` words it.
#[must_use]
pub fn is_silence(note: &str) -> bool {
    let note = note.to_lowercase();
    ["no answer", "refused", "timed out", "unreachable"].iter().any(|words| note.contains(words))
}

/// Label of the reject button.
#[must_use]
pub fn reject() -> String {
    "Reject…".to_owned()
}

/// What is asked before rejecting.
#[must_use]
pub fn why_reject() -> String {
    "Why not? (goes into the record)".to_owned()
}

/// Label of the pause button.
#[must_use]
pub fn pause() -> String {
    "Pause after this task".to_owned()
}

/// Label of the resume button.
#[must_use]
pub fn resume() -> String {
    "Go on".to_owned()
}

/// Label of the cancel button.
#[must_use]
pub fn cancel() -> String {
    "End the run".to_owned()
}

/// Label of the cancel button of a run that has done something it can undo.
#[must_use]
pub fn cancel_and_undo(undoes: &[String]) -> String {
    if undoes.is_empty() { cancel() } else { "Cancel and undo".to_owned() }
}

/// What cancelling, or a failure, would take back.
#[must_use]
pub fn undoes(tasks: &[String]) -> String {
    format!("Cancelling it, or a failure, would undo: {}.", tasks.join(", "))
}

/// Label of the button that tries a failed undo again.
#[must_use]
pub fn undo_again() -> String {
    "Try to undo it again".to_owned()
}

/// Label of the retry button.
#[must_use]
pub fn retry() -> String {
    "Try the failed tasks again".to_owned()
}

/// Label of the answer button.
#[must_use]
pub fn answer() -> String {
    "Answer…".to_owned()
}

/// Label: a task in doubt did happen.
#[must_use]
pub fn it_happened(task: &str) -> String {
    format!("It happened: {}", lower_first(task))
}

/// Label: a task in doubt did not happen.
#[must_use]
pub fn it_did_not(task: &str) -> String {
    format!("It did not happen, do it again: {}", lower_first(task))
}

/// Label: a task in doubt went wrong.
#[must_use]
pub fn it_failed(task: &str) -> String {
    format!("It failed: {}", lower_first(task))
}

/// Diagnosis did not finish in time.
#[must_use]
pub fn no_cause_in_time(deadline: Duration) -> String {
    format!("a cause: the search took longer than {}", human(deadline))
}

/// Diagnosis broke off.
#[must_use]
pub fn no_cause() -> String {
    "a cause: the search broke off; `why` starts it again".to_owned()
}

/// A playbook matches and may not run now (cooldown, quota, another run of its kind).
#[must_use]
pub fn not_now(playbook: &str, why: &str) -> String {
    format!("{playbook} matches, but is not proposed: {why}")
}

/// The alert's service is not known, so nothing can be done to it.
#[must_use]
pub fn unknown_service(name: &str) -> String {
    let name = crate::core::text::capped(name, 80);
    if name.is_empty() {
        "the alert names no service".to_owned()
    } else {
        format!("`{name}` is no service of the catalogue; `services:` in mayday.yaml adds one")
    }
}

/// A person has rejected this playbook for this incident.
#[must_use]
pub fn rejected_before(playbook: &str, run: RunId) -> String {
    format!("{playbook} matches again, but {run} was rejected; `run {playbook}` proposes it anyway")
}

/// Why a proposal is taken back when its incident is over.
#[must_use]
pub fn incident_over(incident: IncidentId) -> String {
    format!("{incident} is over")
}

/// Why a proposal is taken back when its incident is another one's consequence.
#[must_use]
pub fn suffers_from(incident: IncidentId, cause: IncidentId) -> String {
    format!("{incident} suffers from {cause}, what helps is proposed there")
}

/// Something a run has to tell.
#[must_use]
pub fn notice(run: RunId, says: &str) -> String {
    format!("{run}: {says}")
}

/// A run needs more people.
#[must_use]
pub fn escalation(run: RunId, says: &str, leader: Option<&str>, team: &str) -> String {
    let whom = leader.map_or_else(|| format!("team {team}"), |leader| format!("@{leader}"));
    format!("{run} needs {whom}: {says}")
}

/// A run without an incident needs more people; nobody leads it.
#[must_use]
pub fn escalation_to_all(run: RunId, says: &str) -> String {
    format!("{run} needs a person: {says}")
}

/// The value a trigger's `when` needs is missing.
#[must_use]
pub fn no_match(reason: &str) -> String {
    format!("No playbook: {reason}")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        // `API call` and `PB-…` keep their capitals.
        Some(first) if !chars.as_str().starts_with(|second: char| second.is_uppercase() || second == '-') => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// The text with a capital first letter.
#[must_use]
pub fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

//! What Mayday says about itself.

use std::time::Duration;

use crate::core::duration::human;
use crate::core::{IncidentId, RunId, Timestamp};

/// The store answers.
#[must_use]
pub fn store_answers(took: Duration) -> String {
    format!("answers in {}", human(took))
}

/// The store is slow.
#[must_use]
pub fn store_slow(took: Duration) -> String {
    format!("answers only after {}; look at the disk", human(took))
}

/// The store does not answer.
#[must_use]
pub fn store_down(why: &str) -> String {
    format!("does not answer: {why}; alerts are refused until it does, and their senders try again")
}

/// The store takes nothing any more.
#[must_use]
pub fn store_failed(why: &str) -> String {
    format!("takes no more commits: {why}; look at the disk (is it full?) and start Mayday again")
}

/// No answer in time.
#[must_use]
pub fn no_answer(after: Duration) -> String {
    format!("no answer within {}", human(after))
}

/// A queue is empty or up to date.
#[must_use]
pub fn queues_fine(queues: usize) -> String {
    format!("{queues} queues up to date")
}

/// Queues are late.
#[must_use]
pub fn queues_late(late: &[(String, Duration)]) -> String {
    let late: Vec<String> = late.iter().map(|(name, age)| format!("{name} is {} behind", human(*age))).collect();
    late.join(", ")
}

/// Playbooks are loaded.
#[must_use]
pub fn playbooks(loaded: usize, refused: usize) -> String {
    match refused {
        0 => format!("{loaded} loaded"),
        refused => format!("{loaded} loaded, {refused} refused; `mayday playbook check` says why"),
    }
}

/// Posts reach their chats.
#[must_use]
pub fn delivery_fine() -> String {
    "every post reached its chat".to_owned()
}

/// Some posts were given up.
#[must_use]
pub fn delivery_lost(lost: usize, within: Duration, why: &str) -> String {
    format!("{lost} posts given up in the last {}; the newest: {why}", human(within))
}

/// What is watched.
#[must_use]
pub fn watch(targets: usize, failing: &[String]) -> String {
    if failing.is_empty() {
        format!("{targets} targets answer")
    } else {
        format!("{} of {targets} targets do not answer: {}", failing.len(), failing.join(", "))
    }
}

/// Nothing is watched.
#[must_use]
pub fn watch_nothing() -> String {
    "nothing is watched; alerts come from webhooks only".to_owned()
}

/// How long Mayday has been up, and what it uses.
#[must_use]
pub fn process(uptime: Duration, rss_bytes: u64) -> String {
    format!("up {}, {} MB", human(uptime), rss_bytes / 1_000_000)
}

/// The auditor: a card is not what the incident is.
#[must_use]
pub fn card_not_shown(incident: IncidentId, version: u64, channel: &str) -> String {
    format!(
        "the card of {incident} does not stand in channel {channel} in its version {version}, and no post is on its way"
    )
}

/// The auditor: a run's own card is not what the run is.
#[must_use]
pub fn run_card_not_shown(run: RunId, version: u64, channel: &str) -> String {
    format!("the card of {run} does not stand in channel {channel} in its version {version}")
}

/// The auditor: alerts that were taken in and went nowhere.
#[must_use]
pub fn alerts_without_incident(alerts: usize, first: &str) -> String {
    format!("{alerts} alerts that fire were taken in and belong to no incident, the newest is {first}; see `health`")
}

/// The auditor: an item waits for too long.
#[must_use]
pub fn item_not_done(queue: &str, shard: u16, due: Timestamp) -> String {
    format!("an item of the queue {queue} (shard {shard}) is due since {due:.0} and not done; see `health` and the log")
}

/// The auditor: items nobody could do.
#[must_use]
pub fn items_given_up(queue: &str, items: usize, or_more: bool, first: &str) -> String {
    let more = if or_more { " or more" } else { "" };
    format!("{items}{more} items of the queue {queue} were given up, the first is kept under {first}; the log says why")
}

/// The auditor: a checkpoint is not the one that was signed.
#[must_use]
pub fn checkpoint_changed(number: u64, why: &str) -> String {
    format!("the audit's checkpoint {number} is not to be trusted: {why}; compare with a copy kept elsewhere")
}

/// The auditor: a chain is not what was signed.
#[must_use]
pub fn audit_cut(chain: &str, seq: u64, at: Timestamp) -> String {
    format!(
        "the audit chain {chain} no longer has the record {seq} that was signed at {at:.0}; run `mayday audit verify`, and if the store was restored from an old backup say so with `mayday audit accept-cut`"
    )
}

/// The auditor: a run's journal does not fold.
#[must_use]
pub fn journal_broken(run: RunId, why: &str) -> String {
    format!("the journal of {run} is not whole: {why}")
}

/// An event is gone.
#[must_use]
pub fn event_missing(number: usize) -> String {
    format!("record {number} is missing")
}

/// An event can't follow the one before.
#[must_use]
pub fn event_wrong(number: usize, why: &str) -> String {
    format!("record {number} does not fit: {why}")
}

/// The end of a journal is gone.
#[must_use]
pub fn events_cut(found: u64, known: u64) -> String {
    format!("it has {found} records, its status knows {known}")
}

/// A stored status is another one than the journal's.
#[must_use]
pub fn status_differs(number: u64) -> String {
    format!("its status says something else than its journal after record {number}")
}

/// The auditor: a run's time is over, and nobody ends it.
#[must_use]
pub fn run_late(run: RunId, due: Timestamp) -> String {
    format!(
        "{run} should have gone on, or ended, at {due:.0}, and nothing has happened since; see `health` and the log"
    )
}

/// The auditor: a run is gone that the audit speaks of.
#[must_use]
pub fn run_missing(run: RunId, who: &str) -> String {
    format!("{who} tells of {run}, and there is no such run")
}

/// The auditor: a record is gone whose number was taken.
#[must_use]
pub fn number_missing(incident: IncidentId, last: u64) -> String {
    format!("the record of {incident} is missing; numbers up to {last} were given")
}

/// The auditor: an incident is marked as open and is not.
#[must_use]
pub fn incident_mark_left(incident: IncidentId) -> String {
    format!("{incident} is marked as open, and has ended or is not there")
}

/// The auditor: an open incident would not be found.
#[must_use]
pub fn incident_mark_missing(incident: IncidentId) -> String {
    format!("{incident} is open and is not marked as open; lists of open incidents leave it out")
}

/// The auditor: a run would not be found after a restart.
#[must_use]
pub fn open_mark_missing(run: RunId) -> String {
    format!("{run} goes on and is not marked as open; a restart would not go on with it")
}

/// The auditor: something says that a run goes on.
#[must_use]
pub fn mark_left(run: RunId, key: &str) -> String {
    format!("{key} is left over from {run}, which has ended")
}

/// The auditor: something was decided or done, and is not in the audit.
#[must_use]
pub fn audit_missing(run: RunId, action: &str, chain: &str) -> String {
    let action = if action.is_empty() { "a record".to_owned() } else { format!("a record of `{action}`") };
    format!("{action} of {run} is missing in the audit chain {chain}; run `mayday audit verify`")
}

/// The auditor: the audit says that something was changed, and the journal does not.
#[must_use]
pub fn step_missing(run: RunId, key: &str) -> String {
    format!("the audit says that {run} performed {key}, its journal does not")
}

/// The auditor: it could look.
#[must_use]
pub fn auditor_looks(findings: usize) -> String {
    match findings {
        0 => "nothing is missing".to_owned(),
        findings => format!("finds {findings} things missing or wrong; each is an alert"),
    }
}

/// The auditor: it could not look.
#[must_use]
pub fn auditor_blind(rounds: u32, why: &str) -> String {
    format!("could not look {rounds} times in a row, so what is missing does not show: {why}")
}

/// The auditor: all is there again.
#[must_use]
pub fn found_again() -> String {
    "what was missing is there again".to_owned()
}

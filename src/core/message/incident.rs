//! What incidents say: timeline, cards, answers to what people do to them.

use std::time::Duration;

use crate::core::duration::human;
use crate::core::{IncidentId, RunId, number};

/// A person's id as people read it: `web:ana` → `ana`.
#[must_use]
pub fn person(id: &str) -> &str {
    id.split_once(':').map_or(id, |(_, name)| name)
}

/// An alert's name in words: `High_CPU_Usage` → `High CPU Usage`.
#[must_use]
pub fn alert_words(name: &str) -> String {
    name.replace('_', " ")
}

/// A count and its noun.
#[must_use]
pub fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

// --- the card's first line

/// What, where, since when. Of the other kinds of alerts that fire, the first two are named.
#[must_use]
pub fn title(place: &str, what: &str, others: &[String], since: &str) -> String {
    let others = match others {
        [] => String::new(),
        [one] => format!(" and {one}"),
        [one, two] => format!(", {one} and {two}"),
        [one, two, more @ ..] => format!(", {one}, {two} and {} more", more.len()),
    };
    if place.is_empty() {
        format!("{what}{others} since {since}")
    } else {
        format!("{place}: {what}{others} since {since}")
    }
}

/// What was, where, and how long it took.
#[must_use]
pub fn title_over(place: &str, what: &str, from: &str, to: &str, lasted: Duration) -> String {
    let lasted = human(lasted);
    let head = if place.is_empty() { what.to_owned() } else { format!("{place}: {what}") };
    format!("{head}, over after {lasted} ({from} to {to})")
}

// --- small words after the state

/// How many alerts the card stands for.
#[must_use]
pub fn folded(alerts: u64, firing: u64) -> String {
    match (alerts, firing) {
        (1, _) => "1 alert".to_owned(),
        (_, 0) => format!("{alerts} alerts folded in"),
        (_, firing) if firing == alerts => format!("{alerts} alerts folded in"),
        (_, firing) => format!("{alerts} alerts folded in, {firing} still firing"),
    }
}

/// Who is on it.
#[must_use]
pub fn acknowledged_note(who: &str) -> String {
    format!("acknowledged by {}", person(who))
}

/// Who leads, when it is not who acknowledged.
#[must_use]
pub fn led_by(who: &str) -> String {
    format!("led by {}", person(who))
}

/// Time to resolve.
#[must_use]
pub fn mttr(time: Duration) -> String {
    format!("MTTR {}", human(time))
}

/// How often it came back.
#[must_use]
pub fn came_back(times: u32) -> String {
    if times == 1 { "came back once".to_owned() } else { format!("came back {times} times") }
}

// --- the card's body

/// Who notices, from the catalogue.
#[must_use]
pub fn impact(journey: Option<&str>, cost_per_minute: Option<f64>) -> Option<String> {
    match (journey, cost_per_minute) {
        (Some(journey), Some(cost)) => {
            Some(format!("Part of {journey}, ≈ {} per minute of outage.", number::human(cost, None)))
        }
        (Some(journey), None) => Some(format!("Part of {journey}.")),
        (None, Some(cost)) => Some(format!("≈ {} per minute of outage.", number::human(cost, None))),
        (None, None) => None,
    }
}

/// Bold beginning of the first finding.
pub const LIKELY_CAUSE: &str = "Likely cause:";
/// Bold beginning of the others.
pub const ALSO_POSSIBLE: &str = "Also possible:";
/// Bold beginning of what follows from the first.
pub const CONSEQUENCE: &str = "Consequence:";
/// While nothing is found yet.
pub const LOOKING: &str = "Looking for the cause in metrics, logs and processes.";
/// When the search came to nothing.
pub const NO_CAUSE: &str = "No cause found yet.";

/// The quiet line under a finding.
#[must_use]
pub fn confidence(confidence: f64, not_seen: &[String]) -> String {
    format!("Confidence {confidence:.2}.{}", not_seen_tail(not_seen))
}

/// What was not seen, as a tail; empty when all was.
#[must_use]
pub fn not_seen_tail(not_seen: &[String]) -> String {
    if not_seen.is_empty() {
        String::new()
    } else {
        format!(" Not seen: {}.", not_seen.join("; ").trim_end_matches('.'))
    }
}

/// Label of the value's fact where the alert is the only kind.
pub const VALUE: &str = "Value";
/// Label of the host's fact.
pub const HOST: &str = "Host";
/// Label of the team's fact.
pub const TEAM: &str = "Team";

/// First words of a card whose cause has an incident of its own.
#[must_use]
pub fn suffers_from(cause: IncidentId, service: &str, over: bool) -> String {
    format!("{} from {cause} {service}", if over { "Suffered" } else { "Suffers" })
}

/// Bold beginning of who suffers.
#[must_use]
pub const fn suffer_lead(over: bool) -> &'static str {
    if over { "Suffered from it:" } else { "Suffer from it:" }
}

/// Who suffers: each service with its incident.
#[must_use]
pub fn sufferers(others: &[(&str, IncidentId)]) -> String {
    let one = |(service, id): &(&str, IncidentId)| format!("{service} ({id})");
    others.iter().map(one).collect::<Vec<_>>().join(", ")
}

// --- the timeline

/// Its cause has an incident of its own.
#[must_use]
pub fn folded_into(cause: IncidentId, service: &str) -> String {
    format!("Suffers from {cause} {service}: what helps there helps here, so nothing is proposed here.")
}

/// What was seen as its cause no longer is.
#[must_use]
pub fn stands_alone(cause: IncidentId) -> String {
    format!("No longer seen as a consequence of {cause}.")
}

/// Another incident suffers from this one.
#[must_use]
pub fn suffers(other: IncidentId, service: &str) -> String {
    format!("{other} {service} suffers from this.")
}

/// It no longer does.
#[must_use]
pub fn no_longer_suffers(other: IncidentId, service: &str) -> String {
    format!("{other} {service} is no longer seen as a consequence of this.")
}

/// The first moment.
#[must_use]
pub fn opened(kinds: &str) -> String {
    format!("Opened by {kinds}.")
}

/// More alerts.
#[must_use]
pub fn joined(alerts: u64, kinds: &str) -> String {
    format!("{} joined: {kinds}.", count(alerts, "alert", "alerts"))
}

/// Alerts ended.
#[must_use]
pub fn ended(alerts: u64, left: u64) -> String {
    let ended = count(alerts, "alert ended", "alerts ended");
    if left == 0 { format!("{ended}; none is left.") } else { format!("{ended}; {left} still firing.") }
}

/// All alerts are over.
#[must_use]
pub fn resolved_by_alerts(time: Duration) -> String {
    format!("Resolved: the last alert ended, {} after the first began.", human(time))
}

/// It came back.
#[must_use]
pub fn reopened_by_alert(name: &str) -> String {
    format!("Reopened: {} fires again.", alert_words(name))
}

/// A person resolved it, and an alert of it goes on.
#[must_use]
pub fn outlasts(name: &str, since: Duration) -> String {
    format!("Reopened: {} still fires, {} after the incident was resolved.", alert_words(name), human(since))
}

/// Alerts of an incident that is over for long fire on, in another one.
#[must_use]
pub fn went_on(kinds: &str, to: IncidentId) -> String {
    format!("Fires on in {to}: {kinds}.")
}

/// The same, where they are now.
#[must_use]
pub fn came_from(from: IncidentId) -> String {
    format!("It fired in {from} already, which is resolved.")
}

/// An alert of an open incident had ended and fires again.
#[must_use]
pub fn fires_again(name: &str) -> String {
    format!("{} fires again.", alert_words(name))
}

/// The worst alert is another one now.
#[must_use]
pub fn severity_follows(before: &str, after: &str) -> String {
    format!("Severity {before} → {after}, as the alerts say.")
}

/// The harm has stopped.
#[must_use]
pub fn mitigated(run: RunId) -> String {
    format!("Mitigated: {run} fixed it; alerts may still be ending.")
}

/// A run fixed what it was proposed for (none: a person started it), and other kinds of alerts still fire.
#[must_use]
pub fn fixed_in_part(run: RunId, alert: Option<&str>, others: &[&str]) -> String {
    let what = alert.map_or_else(|| "what it was for".to_owned(), alert_words);
    let fire = if others.len() == 1 { "fires" } else { "fire" };
    let others: Vec<String> = others.iter().map(|name| alert_words(name)).collect();
    format!("{run} fixed {what}; {} still {fire}.", others.join(" and "))
}

/// A run moved; when it has ended, why so.
#[must_use]
pub fn run_moved(run: RunId, playbook: &str, state: &str, why: Option<&str>) -> String {
    let why = why.map(str::trim).filter(|why| !why.is_empty());
    let why = why.map_or_else(String::new, |why| format!(": {}", why.trim_end_matches('.')));
    format!("{run} ({playbook}): {}{why}.", state.replace('_', " "))
}

/// A run's plan waits for people.
#[must_use]
pub fn run_waits(run: RunId, playbook: &str) -> String {
    format!("{run} ({playbook}): its plan waits for an approval.")
}

/// A person approved a run's plan.
#[must_use]
pub fn run_approved(run: RunId, playbook: &str, who: &str) -> String {
    format!("{run} ({playbook}): approved by {}.", person(who))
}

/// What a run changes was allowed in advance.
#[must_use]
pub fn run_allowed(run: RunId, playbook: &str, policy: &str) -> String {
    format!("{run} ({playbook}): allowed by the standing policy {policy}.")
}

/// Diagnosis has a first or another conclusion.
#[must_use]
pub fn found(says: &str, confidence: f64) -> String {
    format!("Likely cause: {} (confidence {confidence:.2}).", says.trim_end_matches('.'))
}

/// A person did something.
#[must_use]
pub fn acknowledged(who: &str) -> String {
    format!("Acknowledged by {}.", person(who))
}

/// A person leads now.
#[must_use]
pub fn assigned(to: &str) -> String {
    format!("{} leads now.", person(to))
}

/// A person set the severity.
#[must_use]
pub fn severity_set(before: &str, after: &str, who: &str) -> String {
    format!("Severity {before} → {after}, set by {}.", person(who))
}

/// A person ended it.
#[must_use]
pub fn resolved(who: &str, firing: u64) -> String {
    let who = person(who);
    match firing {
        0 => format!("Resolved by {who}."),
        _ => format!("Resolved by {who} while {} still fired.", count(firing, "alert", "alerts")),
    }
}

/// A person took the end back.
#[must_use]
pub fn reopened(who: &str) -> String {
    format!("Reopened by {}.", person(who))
}

/// The timeline has reached its limit.
pub const TIMELINE_FULL: &str = "The timeline is full; what happens from here on changes the card but is not listed.";

// --- what can't be done, and what to do instead

/// Unknown incident.
#[must_use]
pub fn no_such(id: IncidentId) -> String {
    format!("There is no {id}. `incidents` lists what is open.")
}

/// Acknowledged twice.
#[must_use]
pub fn already_acknowledged(id: IncidentId, who: Option<&str>) -> String {
    match who {
        Some(who) => format!("{id} is already acknowledged by {}. `assign` gives it to someone else.", person(who)),
        None => format!("{id} is already acknowledged."),
    }
}

/// Something only an open incident takes.
#[must_use]
pub fn is_over(id: IncidentId) -> String {
    format!("{id} is resolved. `reopen {id}` takes that back.")
}

/// Reopening what is open.
#[must_use]
pub fn is_open(id: IncidentId, phase: &str) -> String {
    format!("{id} is open ({phase}); there is nothing to reopen.")
}

/// Resolving twice.
#[must_use]
pub fn already_resolved(id: IncidentId) -> String {
    format!("{id} is already resolved.")
}

/// Assigning to who leads already.
#[must_use]
pub fn already_leads(id: IncidentId, who: &str) -> String {
    format!("{} leads {id} already.", person(who))
}

/// Setting the severity it has.
#[must_use]
pub fn already_severity(id: IncidentId, severity: &str) -> String {
    format!("{id} is {severity} already.")
}

/// A note without text.
pub const EMPTY_NOTE: &str = "The note is empty; write what happened after the command.";

/// The change is durable but not applied yet.
#[must_use]
pub fn slow(id: IncidentId) -> String {
    format!("{id} has a lot waiting; this is noted and will be applied after it.")
}

/// Someone else was faster.
#[must_use]
pub fn overtaken(id: IncidentId, phase: &str) -> String {
    format!("{id} changed meanwhile and is {phase} now; look again.")
}

// --- buttons

/// "I am on it."
pub const ACKNOWLEDGE: &str = "Acknowledge";
/// Root cause.
pub const WHY: &str = "Why?";
/// Everything about it.
pub const DETAILS: &str = "Details";
/// Ends it.
pub const RESOLVE: &str = "Mark resolved";
/// Takes the end back.
pub const REOPEN: &str = "Reopen";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_names_two_more_kinds_and_counts_the_rest() {
        let others: Vec<String> = ["B", "C", "D", "E"].map(str::to_owned).to_vec();
        assert_eq!(title("shop", "A", &[], "14:02"), "shop: A since 14:02");
        assert_eq!(title("shop", "A", &others[..1], "14:02"), "shop: A and B since 14:02");
        assert_eq!(title("shop", "A", &others[..2], "14:02"), "shop: A, B and C since 14:02");
        assert_eq!(title("shop", "A", &others, "14:02"), "shop: A, B, C and 2 more since 14:02");
    }
}

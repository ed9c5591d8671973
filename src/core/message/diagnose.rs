//! What diagnosis says: facts as evidence, conclusions, and what could not be seen.

use std::time::Duration;

pub use super::watch::amount;
use crate::core::Timestamp;
use crate::core::duration::human;

/// A time of day in a sentence.
#[must_use]
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S UTC").to_string()
}

/// `normal is 12 ms`.
#[must_use]
pub fn normal(value: f64, unit: &str) -> String {
    format!("normal is {}", amount(value, unit))
}

/// A metric moved to another level.
#[must_use]
pub fn moved(service: &str, what: &str, (before, after): (f64, f64), unit: &str, at: Timestamp) -> String {
    format!("{service}: {what} is {} since {}, was {}", amount(after, unit), clock(at), amount(before, unit))
}

/// A metric had moved to another level, and is back.
#[must_use]
pub fn moved_back(
    service: &str,
    what: &str,
    (before, after): (f64, f64),
    unit: &str,
    (at, end): (Timestamp, Timestamp),
) -> String {
    let (before, after) = (amount(before, unit), amount(after, unit));
    format!("{service}: {what} was {after} from {} to {}, is again about {before}", clock(at), clock(end))
}

/// A share of a bounded thing is high without having moved lately.
#[must_use]
pub fn high(service: &str, what: &str, value: f64, unit: &str) -> String {
    format!("{service}: {what} is {}", amount(value, unit))
}

/// A service does not answer while its process lives.
#[must_use]
pub fn hangs(service: &str, since: Option<Timestamp>, pid: Option<u32>) -> String {
    let since = since.map_or_else(String::new, |since| format!(" since {}", clock(since)));
    match pid {
        Some(pid) => format!("{service}: answers nothing{since} (process alive, pid {pid})"),
        None => format!("{service}: answers nothing{since} (the port accepts, no answer comes)"),
    }
}

/// The kernel holds a process.
#[must_use]
pub fn held(service: &str, process: &str) -> String {
    format!("{service}: process {process} is stopped by a signal (SIGSTOP) and does nothing until it is continued")
}

/// Nobody listens.
#[must_use]
pub fn unreachable(service: &str, since: Option<Timestamp>, why: &str) -> String {
    let since = since.map_or_else(String::new, |since| format!(" since {}", clock(since)));
    format!("{service}: can't be reached{since} ({why})")
}

/// A health check or a page answers with something else than it should.
#[must_use]
pub fn unwell(service: &str, why: &str) -> String {
    format!("{service}: its own health check fails ({why})")
}

/// A health check is fine.
#[must_use]
pub fn well(service: &str, took: Duration) -> String {
    format!("{service}: its health check answers within {}", human(took))
}

/// A process ended by itself and is still gone.
#[must_use]
pub fn ended(service: &str, process: &str, how: &str, at: Timestamp) -> String {
    format!("{service}: process {process} ended with {how} at {}", clock(at))
}

/// The lines right before a process ended; whether one of them is an error, and when that came (else the last).
#[must_use]
pub fn last_words(service: &str, process: &str, lines: usize, error: bool, at: Timestamp) -> String {
    let which = match lines {
        1 => "the last log line".to_owned(),
        many => format!("the last {many} log lines"),
    };
    let error = match (error, lines) {
        (true, 1) => ", an error,",
        (true, _) => ", with an error",
        (false, 1) => ",",
        (false, _) => ", the newest",
    };
    format!("{service}: {which} before process {process} ended{error} at {}", clock(at))
}

/// A process ended by itself and runs again.
#[must_use]
pub fn came_back(service: &str, process: &str, how: &str, at: Timestamp, exits: u64) -> String {
    format!(
        "{service}: process {process} ended with {how} at {} and was started again; it ended by itself {exits} times so far",
        clock(at)
    )
}

/// A process can't be started.
#[must_use]
pub fn not_started(service: &str, process: &str, why: &str) -> String {
    format!("{service}: process {process} can't be started: {why}")
}

/// A process runs.
#[must_use]
pub fn runs(service: &str, process: &str, pid: u32, since: Option<Timestamp>) -> String {
    let since = since.map_or_else(String::new, |since| format!(" since {}", clock(since)));
    format!("{service}: process {process} runs as pid {pid}{since}")
}

/// Lines of a kind that was never seen before. What they say stands in the evidence's sample: a sentence of ours never
/// repeats text from outside. `named` is a service of the catalogue.
#[must_use]
pub fn new_lines(service: &str, level: &str, count: u64, at: Timestamp, named: Option<&str>) -> String {
    format!("{service}: {count} new {level}log line{} of one kind since {}{}", plural(count), clock(at), naming(named))
}

/// Lines of a kind that come more often than before.
#[must_use]
pub fn more_lines(service: &str, level: &str, (during, before): (u64, u64), named: Option<&str>) -> String {
    format!("{service}: {during} {level}log line{} of one kind, {before} before that{}", plural(during), naming(named))
}

fn naming(named: Option<&str>) -> String {
    named.map_or_else(String::new, |named| format!(", naming {named}"))
}

/// Others report errors about a service that shows nothing itself.
#[must_use]
pub fn named_by(service: &str, callers: &[String]) -> String {
    let names: Vec<&str> = callers.iter().map(String::as_str).collect();
    let verb = if callers.len() == 1 { "reports" } else { "report" };
    format!("{service}: {} {verb} errors that name it", listed(&names, 3))
}

/// Added to a conclusion: who suffers from it, up to three by name.
#[must_use]
pub fn callers_wait(says: &str, callers: &[&str]) -> String {
    format!("{says}; {} wait{} for it", listed(callers, 3), if callers.len() == 1 { "s" } else { "" })
}

/// `a`, `a and b`, `a, b and 4 more`: at most `most` names.
fn listed(names: &[&str], most: usize) -> String {
    let more = format!("{} more", names.len().saturating_sub(most));
    let mut parts: Vec<&str> = names.iter().take(most).copied().collect();
    if names.len() > most {
        parts.push(&more);
    }
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => String::new(),
    }
}

/// A service suffers from another.
#[must_use]
pub fn suffers(service: &str, from: &str, symptom: &str) -> String {
    let symptom = symptom.strip_prefix(service).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(symptom);
    format!("{service}: suffers from {from}; {symptom}")
}

/// Whether a conclusion says that a service suffers from another: a consequence, no other explanation.
#[must_use]
pub fn is_consequence(says: &str) -> bool {
    says.split_once(": ").is_some_and(|(_, rest)| rest.starts_with("suffers from "))
}

/// A source did not answer in time.
#[must_use]
pub fn too_slow(service: &str, source: &str) -> String {
    format!("{service}: {source} did not answer in time")
}

/// A source failed.
#[must_use]
pub fn failed(service: &str, source: &str, why: &str) -> String {
    format!("{service}: {source} could not be read ({why})")
}

/// A source has nothing.
#[must_use]
pub fn nothing(service: &str, source: &str) -> String {
    format!("{service}: {source} have nothing for this time")
}

/// A source did not answer in time, for these services.
#[must_use]
pub fn all_too_slow(source: &str, services: &[&str]) -> String {
    format!("{} did not answer in time for {}", capital(source), listed(services, 2))
}

/// A source failed, for these services.
#[must_use]
pub fn all_failed(source: &str, why: &str, services: &[&str]) -> String {
    format!("{} could not be read for {} ({why})", capital(source), listed(services, 2))
}

/// A source has nothing, for these services.
#[must_use]
pub fn all_nothing(source: &str, services: &[&str]) -> String {
    format!("{} have nothing from this time for {}", capital(source), listed(services, 2))
}

/// No lines to compare with, for these services.
#[must_use]
pub fn no_comparison(services: &[&str]) -> String {
    format!("No log lines from before the incident for {}", listed(services, 2))
}

/// The catalogue does not know the service.
#[must_use]
pub fn not_in_catalogue(service: &str) -> String {
    format!("{service} is not in the catalogue, so what it depends on is not known")
}

/// The incident names no service.
#[must_use]
pub fn no_service() -> String {
    "The alert names no service, so there is nothing to look at".to_owned()
}

/// More services are related than are looked at.
#[must_use]
pub fn scope_cut(looked_at: usize) -> String {
    format!("More services are related; the nearest {looked_at} were looked at")
}

/// Kinds of sources that this installation does not have.
#[must_use]
pub fn no_such_sources() -> String {
    "Traces and deployments are not connected".to_owned()
}

/// A chart's caption.
#[must_use]
pub fn caption(what: &str, service: &str, over: Duration) -> String {
    format!("{} of {service}, last {}", capital(what), human(over))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

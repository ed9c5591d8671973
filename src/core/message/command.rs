//! What the commands answer. Dense lines for a phone at 3 a.m.; what refuses says what to do instead.

pub mod grammar;

use std::time::Duration;

use crate::core::duration::human;
use crate::core::{IncidentId, RunId, Timestamp};

/// A moment exactly, in UTC, with its date when it was another day.
fn exact(at: Timestamp, now: Timestamp) -> String {
    let same_day = at.strftime("%F").to_string() == now.strftime("%F").to_string();
    at.strftime(if same_day { "%H:%M:%S UTC" } else { "%F %H:%M UTC" }).to_string()
}

/// How long something has been going on, or went on until it ended: relative, and its beginning exactly.
#[must_use]
pub fn lasting(from: Timestamp, ended: Option<Timestamp>, now: Timestamp) -> String {
    // A sender's clock may be ahead of ours.
    let so_far = |until: Timestamp| human(Duration::try_from(until.duration_since(from)).unwrap_or_default());
    let exact = exact(from, now);
    match ended {
        Some(ended) => format!("lasted {} (from {exact})", so_far(ended)),
        None => format!("for {} (since {exact})", so_far(now)),
    }
}

/// A moment as people read it: relative, and exactly in UTC.
#[must_use]
pub fn when(at: Timestamp, now: Timestamp) -> String {
    let exact = exact(at, now);
    match Duration::try_from(now.duration_since(at)) {
        Ok(ago) if ago < Duration::from_secs(1) => format!("just now ({exact})"),
        Ok(ago) => format!("{} ago ({exact})", human(ago)),
        Err(_) => {
            let ahead = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            format!("in {} ({exact})", human(ahead))
        }
    }
}

/// A count with its noun: `1 alert`, `1,204 lines`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// With a comma between thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The person's role does not suffice.
#[must_use]
pub fn needs_role(command: &str, role: &str, has: &str) -> String {
    format!("`{command}` needs the role {role}; you are {has}. Ask someone with that role.")
}

/// A decision can't be given as someone else.
#[must_use]
pub fn own_word(command: &str, person: &str, admin: &str) -> String {
    format!(
        "`{command}` is a person's own word, and {admin} can't give it as {person}. Sign in as yourself and say it \
         without `as`; {person} signs in to say it as {person}."
    )
}

/// The command has no back end yet.
#[must_use]
pub fn not_there_yet(command: &str, instead: &str) -> String {
    format!("`{command}` is understood, but this Mayday can't do it yet. {instead}")
}

/// What to use while a command is not there yet.
#[must_use]
pub fn instead(command: &str) -> String {
    match command {
        "silence" => "Until then: acknowledge the incident (`ack`), or silence the alert at its source.",
        "ask" => "Until then: `why`, `logs` and `metrics` look things up.",
        "trace" => "Until then: `logs <service> 30m <trace id>` finds lines that carry the id.",
        "anomalies" => "Until then: `incidents` and `why` show what is wrong now.",
        "forecast" | "capacity" => "Until then: `metrics <metric> 24h` shows where it comes from.",
        "oncall" => "Until then: `show` names the incident's commander, `assign` makes one.",
        "postmortem" => "Until then: `timeline` has everything that happened, in order.",
        "report" => "Until then: `incidents all` and `runs` list what happened.",
        "feedback" => "Until then: say it in the incident's thread.",
        "usage" => "No language model is connected, so nothing is used.",
        _ => "",
    }
    .to_owned()
}

/// No incident is named and none is near.
#[must_use]
pub fn which_incident(command: &str, open: &[String]) -> String {
    let hint = if open.is_empty() { "None is open.".to_owned() } else { format!("Open: {}.", open.join(", ")) };
    format!("Which incident? Say it in the incident's thread, or name it: `{command} INC-7`. {hint}")
}

/// No such incident.
#[must_use]
pub fn no_incident(id: IncidentId, near: Option<&str>) -> String {
    with_near(format!("There is no {id}."), near, "`incidents all` lists them.")
}

/// No such run.
#[must_use]
pub fn no_run(id: RunId, near: Option<&str>) -> String {
    with_near(format!("There is no {id}."), near, "`runs` lists them.")
}

/// No such service.
#[must_use]
pub fn no_service(name: &str, near: Option<&str>) -> String {
    with_near(
        format!("`{}` is no service of the catalogue.", short(name)),
        near,
        "`services:` in mayday.yaml adds one.",
    )
}

/// No such playbook.
#[must_use]
pub fn no_playbook(name: &str, near: Option<&str>) -> String {
    with_near(format!("There is no playbook `{}`.", short(name)), near, "`playbooks` lists them.")
}

/// No such person.
#[must_use]
pub fn no_person(name: &str, near: Option<&str>) -> String {
    with_near(format!("Nobody here is called `{}`.", short(name)), near, "`access.users` in mayday.yaml adds people.")
}

fn with_near(what: String, near: Option<&str>, otherwise: &str) -> String {
    match near {
        Some(near) => format!("{what} {}", grammar::did_you_mean(near)),
        None => format!("{what} {otherwise}"),
    }
}

/// Something inside failed; it is in the log.
#[must_use]
pub fn broken(command: &str, why: &str) -> String {
    format!(
        "`{command}` could not be carried out: {why}. Nothing is known to have changed; `health` shows which part is ill."
    )
}

/// It took too long.
#[must_use]
pub fn too_slow(after: Duration) -> String {
    format!("no answer within {}", human(after))
}

/// It can't be written down who did it, so it is not done.
#[must_use]
pub fn not_audited(why: &str) -> String {
    format!("the audit can't be written ({why})")
}

/// Heading of the help.
#[must_use]
pub fn help_heading(role: &str) -> String {
    format!("What you can say here as {role} (in an incident's thread its id may be left out):")
}

/// End of the help.
#[must_use]
pub fn help_ending() -> String {
    "`help <command>` shows one with an example.".to_owned()
}

/// Example of a command.
#[must_use]
pub fn example(line: &str) -> String {
    format!("example: {line}")
}

/// Which role a command needs.
#[must_use]
pub fn for_role(role: &str) -> String {
    format!("needs the role {role}")
}

/// No incidents.
#[must_use]
pub fn no_incidents(all: bool) -> String {
    if all { "No incident so far." } else { "No incident is open. `incidents all` lists the past ones." }.to_owned()
}

/// Heading of the list when not all open incidents are shown; `at_least` when there may be more than were counted.
#[must_use]
pub fn open_heading(shown: usize, total: usize, at_least: bool) -> String {
    let total = grouped(total as u64);
    let total = if at_least { format!("at least {total}") } else { total };
    format!(
        "{shown} of {total} open incidents, worst first, then newest; /incidents and /api/v1/incidents list the rest:"
    )
}

/// Heading of a list of incidents.
#[must_use]
pub fn incidents_heading(shown: usize, all: bool, more: bool) -> String {
    match (all, more) {
        (true, true) => format!("The {shown} newest incidents:"),
        (true, false) => format!("{}:", count(shown as u64, "incident")),
        (false, true) => format!("The {shown} newest open incidents:"),
        (false, false) => format!("{shown} open:"),
    }
}

/// One incident in a line.
#[must_use]
pub fn incident_line(id: IncidentId, severity: &str, phase: &str, what: &str, alerts: u64, lasting: &str) -> String {
    format!("{id}  {severity} · {phase} · {what} · {} · {lasting}", count(alerts, "alert"))
}

/// Who leads.
#[must_use]
pub fn commander(name: &str) -> String {
    format!("Commander: {name}.")
}

/// A finding in a sentence with its confidence and evidence.
#[must_use]
pub fn finding(rank: usize, says: &str, confidence: f64, evidence: &[String]) -> String {
    let lead = match rank {
        0 => "Likely cause",
        _ if super::diagnose::is_consequence(says) => "Consequence",
        _ => "Also possible",
    };
    let cites = if evidence.is_empty() { String::new() } else { format!(" [{}]", evidence.join(" ")) };
    format!("{lead}: {} (confidence {confidence:.2}){cites}", says.trim_end_matches('.'))
}

/// A line of a log that proves something, below its evidence.
#[must_use]
pub fn sample(line: &str) -> String {
    format!("| {line}")
}

/// One piece of evidence.
#[must_use]
pub fn evidence(id: &str, says: &str, source: &str, query: &str) -> String {
    format!("{id}  {} ({source}: {query})", says.trim_end_matches('.'))
}

/// What could not be seen.
#[must_use]
pub fn not_seen(what: &[String]) -> String {
    format!("Not seen: {}.", what.join("; ").trim_end_matches('.'))
}

/// Nothing was found.
#[must_use]
pub fn no_finding(incident: IncidentId) -> String {
    format!("No cause of {incident} stands out in what Mayday can see.")
}

/// Acknowledged.
#[must_use]
pub fn acknowledged(id: IncidentId, name: &str) -> String {
    format!("{id} acknowledged by {name}.")
}

/// Whom `assign` takes.
#[must_use]
pub fn can_be_assigned(people: &[String]) -> String {
    format!("People here: {}.", people.join(", "))
}

/// A rejection without a reason.
#[must_use]
pub fn reject_why(run: RunId) -> String {
    format!("Why not? `reject {run} <reason>` says it; the reason goes into the record.")
}

/// Assigned.
#[must_use]
pub fn assigned(id: IncidentId, name: &str) -> String {
    format!("{id} is led by {name} now.")
}

/// Severity set.
#[must_use]
pub fn severity_set(id: IncidentId, severity: &str) -> String {
    format!("{id} is {severity} now; alerts no longer change that.")
}

/// Resolved.
#[must_use]
pub fn resolved(id: IncidentId, took: Duration, firing: u64) -> String {
    let still = match firing {
        0 => String::new(),
        1 => format!(
            " 1 alert still fires: when its sender repeats that in two minutes or later, the incident opens again; `reopen {id}` does so now."
        ),
        many => format!(
            " {many} alerts still fire: when a sender repeats that in two minutes or later, the incident opens again; `reopen {id}` does so now."
        ),
    };
    format!("{id} resolved after {}.{still}", human(took))
}

/// Reopened.
#[must_use]
pub fn reopened(id: IncidentId) -> String {
    format!("{id} is open again.")
}

/// Summary of a log search.
#[must_use]
pub fn logs_summary(service: &str, span: Duration, total: u64, matched: u64, errors: u64, words: &[String]) -> String {
    let mut text = format!("{} of {service} in the last {}", count(total, "line"), human(span));
    if !words.is_empty() {
        text.push_str(&format!(", {} with {}", grouped(matched), words.join(" or ")));
    }
    text.push_str(&format!(", {}.", count(errors, "error")));
    text
}

/// There are more lines than are shown.
#[must_use]
pub fn newest_of(shown: usize) -> String {
    format!("Newest {shown}:")
}

/// The source does not reach back so far.
#[must_use]
pub fn truncated() -> String {
    "The source does not reach back so far; older lines are missing.".to_owned()
}

/// An expression has no data.
#[must_use]
pub fn no_series(expression: &str, span: Duration) -> String {
    format!("`{}` has no data in the last {}.", short(expression), human(span))
}

/// One series in numbers; `old` says how old the last one is, if it is too old to be the present one.
#[must_use]
pub fn series(labels: &str, last: &str, old: Option<Duration>, least: &str, mean: &str, most: &str) -> String {
    let now = match old {
        None => format!("now {last}"),
        Some(old) => format!("last {last}, {} ago", human(old)),
    };
    format!("{labels}  {now} · least {least} · mean {mean} · most {most}")
}

/// Caption of a chart.
#[must_use]
pub fn chart_caption(labels: &str, span: Duration) -> String {
    format!("{labels}, last {}", human(span))
}

/// More of them than are shown.
#[must_use]
pub fn and_more(more: usize, noun: &str) -> String {
    format!("… and {}", count(more as u64, noun))
}

/// No playbooks are loaded.
#[must_use]
pub fn no_playbooks() -> String {
    "No playbook is loaded; `playbooks.folder` in mayday.yaml names where they are.".to_owned()
}

/// One playbook in a line.
#[must_use]
pub fn playbook_line(id: &str, name: &str, triggers: &str) -> String {
    if triggers.is_empty() { format!("{id}  {name}") } else { format!("{id}  {name} · on {triggers}") }
}

/// One parameter of a playbook.
#[must_use]
pub fn parameter_line(name: &str, kind: &str, default: Option<&str>, says: &str) -> String {
    let default = default.map_or_else(|| "required".to_owned(), |default| format!("default {default}"));
    let says = if says.is_empty() { String::new() } else { format!(": {says}") };
    format!("  {name}  {kind}, {default}{says}")
}

/// One task of a playbook.
#[must_use]
pub fn task_line(number: usize, name: &str, kind: &str, note: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!(" · {note}") };
    format!("  {number}. {name}  {kind}{note}")
}

/// What a playbook is proposed for.
#[must_use]
pub fn trigger(alert: &str, service: Option<&str>, severity: Option<&str>, when: Option<&str>) -> String {
    let mut text = alert.to_owned();
    if let Some(service) = service.filter(|service| !service.eq_ignore_ascii_case("any")) {
        text.push_str(&format!(" of {service}"));
    }
    if let Some(severity) = severity.filter(|severity| !severity.eq_ignore_ascii_case("any")) {
        text.push_str(&format!(", {severity}"));
    }
    if let Some(when) = when {
        text.push_str(&format!(", when {when}"));
    }
    text
}

/// A value a run would have.
#[must_use]
pub fn value_line(name: &str, value: &str) -> String {
    format!("  {name} = {}", short(value))
}

/// What a plan says of a task, below its line.
#[must_use]
pub fn plan_line(words: &str) -> String {
    format!("       {words}")
}

/// How risky a change is, and how many people must approve it.
#[must_use]
pub fn needs_people(risk: &str, people: u32) -> String {
    if people == 1 { format!("{risk}, one person approves") } else { format!("{risk}, {people} people approve") }
}

/// How risky a change is, and that people allowed it in advance.
#[must_use]
pub fn needs_policy(risk: &str, people: u32, policy: &str, left: u32) -> String {
    let people = needs_people(risk, people);
    format!("{people}; where Mayday proposes it, the standing policy {policy} covers it ({left} more in 24 hours)")
}

/// A task that is there to undo another one.
#[must_use]
pub const fn plan_undoes() -> &'static str {
    "only to undo, if the run fails or is cancelled"
}

/// A condition of a task in a plan.
#[must_use]
pub fn plan_condition(condition: &str) -> String {
    let bare = condition.trim().trim_start_matches("{{").trim_end_matches("}}").trim();
    format!("only if `{}`", short(bare))
}

/// One field that would change.
#[must_use]
pub fn plan_change(object: &str, field: &str, before: &str, after: &str) -> String {
    format!("{object}  {field}: {before} → {after}")
}

/// A change that only the run can plan.
#[must_use]
pub fn plan_later(why: &str) -> String {
    format!("planned in the run: {}", why.strip_prefix("planned in the run: ").unwrap_or(why))
}

/// A change that can't be planned here now.
#[must_use]
pub fn plan_not_here(why: &str) -> String {
    format!("can't be done now: {why}")
}

/// End of a plan that changed nothing.
#[must_use]
pub fn plan_ending(command: &str) -> String {
    format!("Nothing was changed or proposed. `{command}` proposes it; what it changes waits for an approval.")
}

/// A run was proposed.
#[must_use]
pub fn proposed(run: RunId, playbook: &str, incident: Option<IncidentId>) -> String {
    let place = incident.map_or_else(
        || format!("Its plan comes to a card of its own; `runs {run}` shows it."),
        |id| format!("Its plan comes to the card of {id}."),
    );
    format!("{run} proposed: {playbook}. {place}")
}

/// The same run was asked for a moment ago.
#[must_use]
pub fn proposed_already(run: RunId) -> String {
    format!("That is {run} already; `runs {run}` shows how it stands.")
}

/// No runs.
#[must_use]
pub fn no_runs() -> String {
    "No run so far. `playbooks` lists what can be run.".to_owned()
}

/// One run in a line.
#[must_use]
pub fn run_line(run: RunId, state: &str, playbook: &str, incident: Option<IncidentId>, since: &str) -> String {
    let incident = incident.map(|id| format!(" · {id}")).unwrap_or_default();
    format!("{run}  {state} · {playbook}{incident} · {since}")
}

/// A step of a run.
#[must_use]
pub fn step_line(name: &str, state: &str, note: Option<&str>) -> String {
    note.map_or_else(|| format!("  {state}  {name}"), |note| format!("  {state}  {name}: {note}"))
}

/// The run asks nothing.
#[must_use]
pub fn asks_nothing(run: RunId) -> String {
    format!("{run} asks nothing now; `runs {run}` shows how it stands.")
}

/// The run asks several things.
#[must_use]
pub fn asks_several(run: RunId, tasks: &[String]) -> String {
    format!(
        "{run} asks more than one thing; say which: `answer {run} --task <task> …` with one of {}.",
        tasks.join(", ")
    )
}

/// The plan that was shown is not the one that waits.
#[must_use]
pub fn plan_moved(run: RunId) -> String {
    format!("The plan of {run} has changed since this card was shown; look at the newest one and decide again.")
}

/// Nothing happened yet.
#[must_use]
pub fn no_timeline(id: IncidentId) -> String {
    format!("Nothing stands in the timeline of {id} yet.")
}

/// One moment of a timeline.
#[must_use]
pub fn moment(at: Timestamp, who: &str, says: &str) -> String {
    format!("{}  {who}: {says}", at.strftime("%F %H:%M:%S"))
}

/// Heading of a timeline.
#[must_use]
pub fn timeline_heading(id: IncidentId, moments: usize, cut: bool) -> String {
    let all = if cut { "newest " } else { "" };
    format!("{id}, {all}{} (UTC):", count(moments as u64, "moment"))
}

/// What a service calls, or who calls it.
#[must_use]
pub fn topology(service: &str, team: &str, calls: &[String], callers: &[String]) -> String {
    let list = |names: &[String]| if names.is_empty() { "nothing known".to_owned() } else { names.join(", ") };
    format!(
        "{service} (team {team})\n  calls: {}\n  called by: {}\nAs the catalogue says; traffic is not looked at yet.",
        list(calls),
        list(callers)
    )
}

/// One part of Mayday.
#[must_use]
pub fn health_line(part: &str, state: &str, says: &str) -> String {
    format!("{state:<8}  {part}  {says}")
}

/// Mayday as a whole.
#[must_use]
pub fn health_heading(state: &str) -> String {
    format!("Mayday is {state}.")
}

/// Words from outside, cut so that a sentence stays one.
fn short(word: &str) -> String {
    crate::core::text::capped(word, 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_relative_and_exact() {
        let now: Timestamp = "2026-11-21T14:06:00Z".parse().unwrap();
        assert_eq!(when("2026-11-21T14:02:00Z".parse().unwrap(), now), "4 min ago (14:02:00 UTC)");
        assert_eq!(when("2026-11-19T14:06:00Z".parse().unwrap(), now), "2 d ago (2026-11-19 14:06 UTC)");
        assert_eq!(when("2026-11-21T14:21:00Z".parse().unwrap(), now), "in 15 min (14:21:00 UTC)");
        assert_eq!(when(now, now), "just now (14:06:00 UTC)");
    }

    #[test]
    fn what_goes_on_says_for_how_long_and_what_is_over_how_long_it_took() {
        let now: Timestamp = "2026-11-21T03:30:53Z".parse().unwrap();
        let from = "2026-11-21T03:30:49Z".parse().unwrap();
        assert_eq!(lasting(from, None, now), "for 4 s (since 03:30:49 UTC)");
        assert_eq!(lasting(now, None, from), "for 0 ms (since 03:30:53 UTC)");
        let yesterday = "2026-11-20T03:30:00Z".parse().unwrap();
        let ended = "2026-11-20T03:35:00Z".parse().unwrap();
        assert_eq!(lasting(yesterday, Some(ended), now), "lasted 5 min (from 2026-11-20 03:30 UTC)");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(1, "line"), "1 line");
        assert_eq!(count(1_204, "line"), "1,204 lines");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }
}

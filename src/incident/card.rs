//! An incident as a card. Pure: the same incident at the same time gives the same card.
//!
//! The title alone tells what is wrong, where, and since when; the severity stands beside it in a word.

use jiff::tz::TimeZone;

use super::{Incident, Kind, Phase, RunBrief};
use crate::analysis::{EvidenceId, Finding};
use crate::catalog;
use crate::chat::{Button, ButtonStyle, Card, EvidenceRef, Fact, Line, Section};
use crate::core::message::diagnose::is_consequence;
use crate::core::message::incident as say;
use crate::core::redact::shown;
use crate::core::{IncidentId, Timestamp, number};

/// Longest place or alert name in a title, bytes: it is read on a phone.
const IN_TITLE: usize = 80;
/// Longest name of another kind of alert in a title, bytes.
const OTHER: usize = 40;
/// Kinds whose value is shown.
const VALUES: usize = 5;
/// Longest subtitle, bytes.
const SUBTITLE: usize = 280;
/// Longest line of a finding, bytes.
const FINDING: usize = 600;
/// Findings shown; the rest is in the details.
const FINDINGS: usize = 3;

/// The card of an incident. `service` is the catalogue's entry, if there is one; `now` decides whether times need a date.
#[must_use]
pub fn card(incident: &Incident, service: Option<&catalog::Service>, now: Timestamp) -> Card {
    let over = incident.phase.is_over();
    Card {
        id: incident.id.to_string(),
        severity: Some(incident.severity),
        state: incident.phase.word().to_owned(),
        over,
        since: Some(since(incident)),
        notes: notes(incident),
        title: title(incident, now),
        subtitle: subtitle(incident, service),
        facts: facts(incident),
        // The cause's card has the picture.
        chart: incident.chart.clone().filter(|_| !incident.is_folded()),
        sections: sections(incident),
        plan: incident.runs.last().filter(|run| !taken_back(incident, run)).map(|run| run.plan.clone()),
        buttons: buttons(incident),
    }
}

/// Whether a run is the proposal that was taken back because the incident is another one's consequence.
fn taken_back(incident: &Incident, run: &RunBrief) -> bool {
    incident.is_folded() && run.ended && run.state == "cancelled"
}

/// When the phase began, as far as the record knows.
fn since(incident: &Incident) -> Timestamp {
    match incident.phase {
        Phase::Resolved => incident.resolved_at.unwrap_or(incident.opened_at),
        Phase::Acknowledged => incident.acknowledged_at.unwrap_or(incident.started_at),
        Phase::Mitigated => incident.known.mitigated_at.unwrap_or(incident.started_at),
        Phase::Triggered | Phase::Reopened => incident.started_at,
    }
}

fn title(incident: &Incident, now: Timestamp) -> String {
    let place = match incident.service.as_data() {
        "" => incident.known.host.as_data(),
        service => service,
    };
    let place = shown(place, IN_TITLE);
    let mut what = shown(&say::alert_words(incident.alert_name.as_data()), IN_TITLE);
    if let (Some(took), Some(resolved)) = (incident.time_to_resolve(), incident.over_at()) {
        // The zone and the day are said once.
        let began = clock(incident.started_at, resolved);
        return say::title_over(&place, &what, began.trim_end_matches(" UTC"), &clock(resolved, now), took);
    }
    let kinds = incident.known.kinds_now();
    if let Some(value) = kinds.first().and_then(|kind| measured(kind)) {
        what = format!("{what} at {value}");
    }
    let words = |kind: &&Kind| shown(&say::alert_words(kind.name.as_data()), OTHER);
    let others: Vec<String> = kinds.iter().skip(1).map(words).collect();
    // What fires from before it came back does not make the beginning an earlier one.
    let since = kinds.iter().map(|kind| kind.since).min().unwrap_or(incident.started_at);
    say::title(&place, &what, &others, &clock(since.max(incident.started_at), now))
}

/// A kind's value; a number without a unit says nothing to whoever reads it.
fn measured(kind: &Kind) -> Option<String> {
    let unit = kind.unit.as_deref().map(str::trim).filter(|unit| !unit.is_empty())?;
    Some(number::human(kind.value?, Some(unit)))
}

/// `14:02 UTC`; with the date when that is not today.
fn clock(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.to_zoned(TimeZone::UTC), now.to_zoned(TimeZone::UTC));
    let form = if at.date() == now.date() { "%H:%M UTC" } else { "%-d %b %H:%M UTC" };
    at.strftime(form).to_string()
}

fn notes(incident: &Incident) -> Vec<String> {
    let mut notes = vec![say::folded(incident.alerts, incident.firing)];
    let acknowledged = incident.known.acknowledged_by.as_ref();
    if let Some(person) = acknowledged {
        notes.push(say::acknowledged_note(&person.0));
    }
    if let Some(leader) = incident.commander.as_ref().filter(|leader| Some(*leader) != acknowledged) {
        notes.push(say::led_by(&leader.0));
    }
    if incident.known.reopened > 0 {
        notes.push(say::came_back(incident.known.reopened));
    }
    if let Some(time) = incident.time_to_resolve() {
        notes.push(say::mttr(time));
    }
    notes
}

fn subtitle(incident: &Incident, service: Option<&catalog::Service>) -> Option<String> {
    let first = incident.description.as_data().lines().map(str::trim).find(|line| !line.is_empty());
    let said = first.map(|line| shown(line, SUBTITLE));
    let impact = service.and_then(|service| say::impact(service.journey.as_deref(), service.cost_per_minute));
    let over = incident.phase.is_over();
    let cause = incident.known.relations.suffers_from.as_ref();
    let cause = cause.map(|cause| say::suffers_from(cause.incident, &shown(&cause.service, IN_TITLE), over));
    let mut sentences: Vec<String> = [cause, said].into_iter().flatten().collect();
    // Whom the cause harms stands on its card.
    sentences.extend(impact.filter(|_| !over && !incident.is_folded()));
    let whole = sentences.len() > 1;
    let sentence = |text: &String| if whole { format!("{}.", text.trim_end_matches('.')) } else { text.clone() };
    (!sentences.is_empty()).then(|| sentences.iter().map(sentence).collect::<Vec<_>>().join(" "))
}

fn facts(incident: &Incident) -> Vec<Fact> {
    let plain = |name: &str, value: String| Fact { name: name.to_owned(), value, normal: None, evidence: Vec::new() };
    let kinds = incident.known.kinds_now();
    let alone = kinds.len() == 1;
    let values = kinds.iter().filter_map(|kind| Some((kind, measured(kind)?))).take(VALUES);
    let from_alerts = values.map(|(kind, value)| {
        let words = shown(&say::alert_words(kind.name.as_data()), IN_TITLE);
        plain(if alone { say::VALUE } else { &words }, value)
    });
    // What was measured for the finding knows what is normal, so it goes first; what is measured of the cause stands there.
    let measured = incident.known.facts.iter().filter(|_| !incident.is_folded());
    let mut facts: Vec<Fact> = measured.cloned().collect();
    // The same number once: with what is normal, if that is known.
    for fact in from_alerts {
        if !(alone && facts.iter().any(|known| known.value == fact.value)) {
            facts.push(fact);
        }
    }
    let host = incident.known.host.as_data();
    if !host.is_empty() && !incident.service.as_data().is_empty() {
        facts.push(plain(say::HOST, shown(host, IN_TITLE)));
    }
    facts.push(plain(say::TEAM, incident.team.clone()));
    facts
}

fn sections(incident: &Incident) -> Vec<Section> {
    let quiet = |text: String| Line { lead: None, text, quiet: true, evidence: Vec::new() };
    let mut lines = Vec::new();
    let most = if incident.is_folded() { 1 } else { FINDINGS };
    for (index, finding) in incident.findings.iter().take(most).enumerate() {
        let consequence = index > 0 && is_consequence(&finding.says);
        // Who has a card of its own is listed below.
        if consequence && incident.known.relations.sufferers.iter().any(|one| one.service == finding.component) {
            continue;
        }
        let lead = match index {
            0 => say::LIKELY_CAUSE,
            _ if consequence => say::CONSEQUENCE,
            _ => say::ALSO_POSSIBLE,
        };
        lines.push(Line {
            lead: Some(lead.to_owned()),
            text: shown(&finding.says, FINDING),
            quiet: index > 0,
            evidence: references(incident, finding),
        });
        if index == 0 {
            lines.push(quiet(shown(&say::confidence(finding.confidence, &incident.not_seen), FINDING)));
        }
    }
    if lines.is_empty() {
        let searched = !incident.not_seen.is_empty() || !incident.evidence.is_empty();
        if searched {
            let text = format!("{}{}", say::NO_CAUSE, say::not_seen_tail(&incident.not_seen));
            lines.push(quiet(shown(&text, FINDING)));
        } else if !incident.phase.is_over() {
            lines.push(quiet(say::LOOKING.to_owned()));
        }
    }
    let others = &incident.known.relations.sufferers;
    if !others.is_empty() {
        let names: Vec<(&str, IncidentId)> = others.iter().map(|one| (one.service.as_str(), one.incident)).collect();
        lines.push(Line {
            lead: Some(say::suffer_lead(incident.phase.is_over()).to_owned()),
            text: shown(&say::sufferers(&names), FINDING),
            quiet: false,
            evidence: Vec::new(),
        });
    }
    if lines.is_empty() { Vec::new() } else { vec![Section { heading: None, lines }] }
}

fn references(incident: &Incident, finding: &Finding) -> Vec<EvidenceRef> {
    let path = |id: &EvidenceId| format!("/incidents/{}/evidence/{}", incident.id, id.0);
    finding.evidence.iter().map(|id| EvidenceRef { id: id.0.clone(), path: path(id) }).collect()
}

fn buttons(incident: &Incident) -> Vec<Button> {
    let id = incident.id;
    let button = |label: &str, command: String, style| Button { label: label.to_owned(), command, style, ask: None };
    let details = button(say::DETAILS, format!("show {id}"), ButtonStyle::Plain);
    let why = button(say::WHY, format!("why {id}"), ButtonStyle::Plain);
    let resolve = button(say::RESOLVE, format!("resolve {id}"), ButtonStyle::Plain);
    // One primary button at most: the plan's, if a plan waits.
    let plan_waits = incident.runs.last().is_some_and(|run| !run.plan.buttons.is_empty());
    let style = if plan_waits || incident.is_folded() { ButtonStyle::Plain } else { ButtonStyle::Primary };
    match incident.phase {
        Phase::Triggered | Phase::Reopened => {
            vec![button(say::ACKNOWLEDGE, format!("ack {id}"), style), why, details, resolve]
        }
        Phase::Acknowledged | Phase::Mitigated => vec![why, details, resolve],
        Phase::Resolved => {
            vec![why, details, button(say::REOPEN, format!("reopen {id}"), ButtonStyle::Plain)]
        }
    }
}

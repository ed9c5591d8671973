//! Incidents: the list, one with its timeline and evidence, one piece of evidence with what was asked and what came back.

use maud::{Markup, html};

use super::card::{card, severity_class, severity_word};
use super::layout::{Frame, Live, page as framed};
use super::words::{ago, clock, exact, linked};
use crate::access::Actor;
use crate::analysis::{Evidence, Outcome};
use crate::chat::Content;
use crate::chat::web::Message;
use crate::core::message::incident::{alert_words, suffers_from};
use crate::core::message::web as say;
use crate::core::redact::shown;
use crate::http::session::encoded;
use crate::incident::{Incident, Moment, Phase};
use crate::store::Revision;

/// Longest name shown, bytes.
const NAME: usize = 200;

/// `GET /incidents`
pub(in crate::http) fn list(frame: &Frame<'_>, incidents: &[Incident], limit: usize) -> Markup {
    let (open, over): (Vec<_>, Vec<_>) = incidents.iter().partition(|incident| incident.phase != Phase::Resolved);
    let main = html! {
        h2.page { "Incidents" }
        @if incidents.is_empty() {
            div.empty {
                @match frame.faults.first() {
                    Some(fault) => { p { (say::try_a_fault()) } pre { "mayday demo break " (fault.name) } }
                    None => { p { (say::send_an_alert()) } pre { "mayday alert send alert.json" } }
                }
            }
        }
        @for (heading, incidents) in [("Open", open), ("Resolved", over)] {
            @if !incidents.is_empty() {
                h3.group { (heading) " " span.normal { (incidents.len()) } }
                ul.incidents { @for incident in incidents { (row(incident)) } }
            }
        }
        @if incidents.len() == limit { p.quiet { "The newest " (limit) " are shown. `incidents all` and /api/v1/incidents go further back." } }
    };
    framed(frame, "Incidents · Mayday", Live::No, &main, &html! {})
}

fn row(incident: &Incident) -> Markup {
    let over = if incident.phase == Phase::Resolved { "over" } else { "open" };
    html! {
        li class={ (severity_class(Some(incident.severity))) " " (over) } {
            a href={ "/incidents/" (incident.id) } {
                span.id { (incident.id) }
                span.sev { (severity_word(incident.severity)) }
                span.what { strong { (shown(incident.service.as_data(), NAME)) } " " (shown(&alert_words(incident.alert_name.as_data()), NAME))
                    @if let Some(cause) = &incident.known.relations.suffers_from {
                        " " span.normal { (suffers_from(cause.incident, &shown(&cause.service, NAME), incident.phase == Phase::Resolved)) }
                    }
                }
                span.state { (phase(incident.phase)) " " (ago(incident.resolved_at.unwrap_or(incident.started_at))) }
            }
        }
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Triggered => "triggered",
        Phase::Acknowledged => "acknowledged",
        Phase::Mitigated => "mitigated",
        Phase::Resolved => "resolved",
        Phase::Reopened => "reopened",
    }
}

/// `GET /incidents/{id}`
pub(in crate::http) fn one(
    frame: &Frame<'_>,
    incident: &Incident,
    posted: Option<&Message>,
    timeline: &[Moment],
    revision: Revision,
) -> Markup {
    let main = html! {
        p.crumbs {
            a href="/incidents" { "Incidents" } " / " (incident.id) " · in "
            a href={ "/channels/" (encoded(&incident.channel.name)) "#" (incident.id) } { "#" (incident.channel.name) }
        }
        div id="incident" data-slot=(incident.id) data-channel-of=(incident.channel.name) {
            @match posted.map(|message| &message.content) {
                Some(Content::Card(posted)) => (card(posted, "page")),
                _ => article class={ "card " (severity_class(Some(incident.severity))) } {
                    div.head {
                        span.sev { (severity_word(incident.severity)) }
                        span.state { (phase(incident.phase)) " " (ago(incident.started_at)) }
                        span.id { (incident.id) }
                    }
                    h2 { (shown(incident.service.as_data(), NAME)) ": " (shown(&alert_words(incident.alert_name.as_data()), NAME)) }
                    p.sub { (shown(incident.description.as_data(), 600)) }
                },
            }
        }
        (details(incident))
        h3.group { "Timeline" }
        @if timeline.is_empty() { p.quiet { "Nothing is written down yet." } }
        ol.timeline {
            @for moment in timeline {
                li { (clock(moment.at)) span.by { (actor(&moment.by)) } span { (linked(&moment.says)) } }
            }
        }
        @if !incident.evidence.is_empty() {
            h3.group { "Evidence" }
            ul.evidence { @for evidence in &incident.evidence { (evidence_row(incident, evidence)) } }
        }
        @for missing in &incident.not_seen { p.quiet { "Not seen: " (missing) } }
    };
    framed(frame, &format!("{} · Mayday", incident.id), Live::Card(revision), &main, &html! {})
}

fn details(incident: &Incident) -> Markup {
    html! {
        dl.facts.wide {
            dt { "Service" } dd { (shown(incident.service.as_data(), NAME)) }
            dt { "Team" } dd { (incident.team) }
            dt { "Grouped by" } dd { code { (shown(&incident.group_key, 600)) } }
            dt { "Alerts" } dd.num { (incident.firing) " firing of " (incident.alerts) " folded in" }
            dt { "Started" } dd { (ago(incident.started_at)) }
            @if let Some(at) = incident.acknowledged_at { dt { "Acknowledged" } dd { (ago(at)) } }
            @if let Some(at) = incident.resolved_at { dt { "Resolved" } dd { (ago(at)) } }
            @if let Some(commander) = &incident.commander { dt { "Leads" } dd { (commander.0) } }
        }
    }
}

fn evidence_row(incident: &Incident, evidence: &Evidence) -> Markup {
    html! {
        li {
            a.ev href={ "/incidents/" (incident.id) "/evidence/" (encoded(&evidence.id.0)) } { (evidence.id.0) }
            span { (shown(&evidence.says, 600)) } span.normal { (shown(&evidence.source, NAME)) ", " (outcome(&evidence.outcome)) }
        }
    }
}

fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Person(person) => person.0.clone(),
        Actor::Mayday(part) => format!("Mayday ({part})"),
        Actor::Impersonated { admin, person } => format!("{} as {}", admin.0, person.0),
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Data { rows, truncated } => say::outcome_data(*rows, *truncated),
        Outcome::Empty => say::outcome_empty().to_owned(),
        Outcome::Timeout => say::outcome_timeout().to_owned(),
        Outcome::Failed { why } => shown(&say::outcome_failed(why), 600),
    }
}

/// `GET /incidents/{id}/evidence/{evidence}`
pub(in crate::http) fn evidence(frame: &Frame<'_>, incident: &Incident, evidence: &Evidence) -> Markup {
    let main = html! {
        p.crumbs {
            a href="/incidents" { "Incidents" } " / " a href={ "/incidents/" (incident.id) } { (incident.id) } " / " (evidence.id.0)
        }
        article.card.plain {
            h2 { (shown(&evidence.says, 600)) }
            dl.facts {
                dt { "Source" } dd { (shown(&evidence.source, NAME)) }
                dt { "Asked" } dd { code { (shown(&evidence.query, 600)) } }
                dt { "From" } dd { time datetime=(evidence.from) data-exact { (exact(evidence.from)) } }
                dt { "To" } dd { time datetime=(evidence.to) data-exact { (exact(evidence.to)) } }
                dt { "Answer" } dd { (outcome(&evidence.outcome)) }
            }
            @if !evidence.samples.is_empty() {
                h3.group { "Samples" }
                ol.samples { @for sample in &evidence.samples { li { code { (shown(sample.as_data(), 4_000)) } } } }
            }
        }
    };
    framed(frame, &format!("{} {} · Mayday", incident.id, evidence.id.0), Live::No, &main, &html! {})
}

/// Something that is not there.
pub(in crate::http) fn missing(frame: &Frame<'_>, says: &str) -> Markup {
    let main = html! { div.empty { h2 { "Not here" } p { (says) } p { a href="/incidents" { "All incidents" } } } };
    framed(frame, "Not here · Mayday", Live::No, &main, &html! {})
}

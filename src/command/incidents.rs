//! `incidents`: what is open, or what was.

use serde_json::json;

use super::speaker::Speaker;
use super::{Answer, data_of, done};
use crate::chat::grammar::Filter;
use crate::core::message::command as say;
use crate::core::message::incident::{alert_words, suffers_from};
use crate::core::redact::shown;
use crate::incident::{Incident, Phase};

/// So many are listed.
const SHOWN: usize = 20;
/// So many open ones are counted and put in order.
const COUNTED: usize = 1000;

pub(super) async fn incidents(speaker: &Speaker<'_>, filter: Filter) -> Answer {
    let all = filter == Filter::All;
    let mut incidents = speaker.deps.incidents.list(!all, if all { SHOWN + 1 } else { COUNTED }).await?;
    if incidents.is_empty() {
        return Ok(done(say::no_incidents(all), json!({ "incidents": [] })));
    }
    let total = incidents.len();
    let more = total > SHOWN;
    if !all {
        // What is worst is never among those that are left out; of the same severity causes stand before what suffers from
        // them, and the newest first.
        incidents.sort_by_key(|incident| std::cmp::Reverse((incident.severity, !incident.is_folded(), incident.id)));
    }
    incidents.truncate(SHOWN);
    let heading = if more && !all {
        say::open_heading(SHOWN, total, total >= COUNTED)
    } else {
        say::incidents_heading(incidents.len(), all, more)
    };
    let mut lines = vec![heading];
    lines.extend(incidents.iter().map(|incident| line(speaker, incident)));
    Ok(done(lines.join("\n"), json!({ "incidents": data_of(&incidents)?, "more": more })))
}

/// One incident in a line.
pub(super) fn line(speaker: &Speaker<'_>, incident: &Incident) -> String {
    let severity = format!("{:?}", incident.severity);
    let ended = incident.over_at();
    let lasting = say::lasting(incident.started_at, ended, speaker.now);
    let line = say::incident_line(
        incident.id,
        &severity,
        phase_word(incident.phase),
        &what(incident),
        incident.alerts,
        &lasting,
    );
    match &incident.known.relations.suffers_from {
        Some(cause) => {
            let words = suffers_from(cause.incident, &shown(&cause.service, 80), incident.phase == Phase::Resolved);
            format!("{line} · {}", words.replacen('S', "s", 1))
        }
        None => line,
    }
}

/// `order-service: Service Down`.
pub(super) fn what(incident: &Incident) -> String {
    let words = alert_words(incident.alert_name.as_data());
    let (service, alert) = (shown(incident.service.as_data(), 80), shown(&words, 80));
    if service.is_empty() { alert } else { format!("{service}: {alert}") }
}

/// The lifecycle's word.
pub(super) const fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Triggered => "triggered",
        Phase::Acknowledged => "acknowledged",
        Phase::Mitigated => "mitigated",
        Phase::Resolved => "resolved",
        Phase::Reopened => "reopened",
    }
}

//! What people do to an incident, and what they are told when it makes no sense in its phase.

use super::apply::{Illegal, Outcome, end, reopen};
use super::{Act, Incident, Phase, Signal, group, runs};
use crate::access::Actor;
use crate::core::message::incident as say;
use crate::core::text::capped;
use crate::core::{Tainted, Timestamp};

/// Longest note kept, bytes.
const NOTE: usize = 2000;

/// Whether an act makes sense now; the same rules as when it is applied.
pub(super) fn check(incident: &Incident, by: &Actor, act: &Act) -> Result<(), Illegal> {
    let mut outcome = Outcome::of(incident.clone());
    self::act(&mut outcome, by.clone(), act.clone(), incident.opened_at)
}

pub(super) fn act(outcome: &mut Outcome, by: Actor, act: Act, now: Timestamp) -> Result<(), Illegal> {
    let incident = &mut outcome.incident;
    let id = incident.id;
    let illegal = |says: String| Err(Illegal(says));
    let who = group::person(&by).cloned();
    let name = match (&who, &by) {
        (Some(person), _) => person.0.clone(),
        (None, Actor::Mayday(part)) => format!("Mayday ({part})"),
        (None, _) => "Mayday".to_owned(),
    };
    let says = match (act, incident.phase) {
        (Act::Acknowledge, Phase::Triggered | Phase::Reopened | Phase::Mitigated) => {
            if incident.phase != Phase::Mitigated {
                incident.phase = Phase::Acknowledged;
            } else if incident.known.acknowledged_by.is_some() {
                return illegal(say::already_acknowledged(id, by_whom(incident)));
            }
            incident.acknowledged_at.get_or_insert(now);
            incident.known.acknowledged_by.clone_from(&who);
            if incident.commander.is_none() {
                incident.commander = who;
            }
            say::acknowledged(&name)
        }
        (Act::Acknowledge, Phase::Acknowledged) => return illegal(say::already_acknowledged(id, by_whom(incident))),
        (Act::Assign { to }, Phase::Triggered | Phase::Acknowledged | Phase::Mitigated | Phase::Reopened) => {
            if incident.commander.as_ref() == Some(&to) {
                return illegal(say::already_leads(id, &to.0));
            }
            let says = say::assigned(&to.0);
            incident.commander = Some(to);
            says
        }
        (Act::Acknowledge | Act::Assign { .. }, Phase::Resolved) => return illegal(say::is_over(id)),
        (
            Act::SetSeverity { severity },
            Phase::Triggered | Phase::Acknowledged | Phase::Mitigated | Phase::Resolved | Phase::Reopened,
        ) => {
            if incident.severity == severity && incident.severity_by_person {
                return illegal(say::already_severity(id, severity.word()));
            }
            let before = std::mem::replace(&mut incident.severity, severity);
            incident.severity_by_person = true;
            say::severity_set(before.word(), severity.word(), &name)
        }
        (Act::Resolve, Phase::Triggered | Phase::Acknowledged | Phase::Mitigated | Phase::Reopened) => {
            let firing = incident.firing;
            end(outcome, now);
            say::resolved(&name, firing)
        }
        (Act::Resolve, Phase::Resolved) => return illegal(say::already_resolved(id)),
        (Act::Reopen, Phase::Resolved) => {
            runs::forget_fixes(incident);
            reopen(incident);
            if let Some(alert) = incident.latest_alerts.last().cloned() {
                outcome.signals.push(Signal::Opened { incident: id, alert });
            }
            say::reopened(&name)
        }
        (Act::Reopen, phase @ (Phase::Triggered | Phase::Acknowledged | Phase::Mitigated | Phase::Reopened)) => {
            return illegal(say::is_open(id, phase.word()));
        }
        (
            Act::Note { text },
            Phase::Triggered | Phase::Acknowledged | Phase::Mitigated | Phase::Resolved | Phase::Reopened,
        ) => {
            let text = Tainted::as_data(&text).trim();
            if text.is_empty() {
                return illegal(say::EMPTY_NOTE.to_owned());
            }
            capped(text, NOTE)
        }
    };
    outcome.changed = true;
    outcome.moment(now, by, says);
    Ok(())
}

fn by_whom(incident: &Incident) -> Option<&str> {
    incident.known.acknowledged_by.as_ref().map(|person| person.0.as_str())
}

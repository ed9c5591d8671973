//! What a change does to an incident: pure, total, and an error value for what makes no sense.
//!
//! | phase | firing alert joins | last alert ends | acknowledge | resolve | reopen | a run fixed it |
//! |---|---|---|---|---|---|---|
//! | triggered | stays | resolved | acknowledged | resolved | illegal | mitigated |
//! | acknowledged | stays | resolved | illegal | resolved | illegal | mitigated |
//! | mitigated | reopened, unless what was fixed only ends late | resolved | noted | resolved | illegal | stays |
//! | resolved | reopened | stays | illegal | illegal | reopened | stays |
//! | reopened | stays | resolved | acknowledged | resolved | illegal | mitigated |
//!
//! A run fixed it when no kind of alert fires but those that runs were proposed for and fixed ([`runs`]).
//!
//! What a person resolved while alerts of it fire opens again when one of them is said to fire still, two minutes later or
//! after that; when the window to reopen it is over, the alert goes to another incident.
//!
//! An alert that had ended and fires again reopens what is mitigated or resolved. Whether it does is read from its record,
//! which is the newest word: a beginning in the inbox may be older than the end.
//!
//! The severity is that of the worst alert that fires (once over: that fired in the episode), unless a person set it. Whether anything else still fires is not
//! counted here but read from the links and given as [`Known`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::held::GRACE;
use super::links::Class;
use super::{Act, AlertSeen, Incident, Kind, Moment, Phase, Related, RunBrief, Signal, acts, fold, group, runs};
use crate::access::Actor;
use crate::alert::{Alert, AlertId, Severity, Status};
use crate::analysis::{Evidence, Finding};
use crate::chat::{Chart, Fact};
use crate::core::message::incident as say;
use crate::core::redact::shown;
use crate::core::text::capped;
use crate::core::{IncidentId, Tainted, Timestamp};

/// Newest alerts named in the record.
const LATEST: usize = 20;
/// Kinds of alerts remembered; from there on none is signalled as new.
const KINDS: usize = 50;
/// Kinds named in a moment.
const NAMED: usize = 5;
/// What an alert says, as far as it is remembered with its kind, bytes.
const SAYS: usize = 600;
/// Numbers of a finding that are shown.
const FACTS: usize = 6;
/// Longest moment kept, bytes.
const MOMENT: usize = 4000;

/// A change to a known incident.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Alerts(Vec<AlertSeen>),
    Act {
        by: Actor,
        act: Act,
    },
    Found {
        findings: Vec<Finding>,
        evidence: Vec<Evidence>,
        not_seen: Vec<String>,
        chart: Option<Chart>,
        facts: Vec<Fact>,
        cause: Option<String>,
    },
    Run(Box<RunBrief>),
    SuffersFrom(Option<Related>),
    Sufferer {
        other: Related,
        suffers: bool,
    },
    /// Alerts of it, which is over for long, still fire (again): they went to another incident.
    Left {
        alerts: Vec<(AlertSeen, Class)>,
        to: IncidentId,
    },
    /// The other side of that.
    Came {
        from: IncidentId,
    },
}

/// What the store says beside the incident.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The links, in this incident, of the alerts in the change.
    pub(super) links: BTreeMap<AlertId, Class>,
    /// The worst of the incident's other alerts that fire.
    pub(super) others: Option<Severity>,
    /// Records of the alerts in the change, as far as they are needed.
    pub(super) alerts: BTreeMap<AlertId, Alert>,
    /// Those of the change whose link says that they have ended, while their record says that they fire.
    pub(super) again: BTreeSet<AlertId>,
}

/// What a change came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) incident: Incident,
    /// Alerts whose class in this incident is new.
    pub(super) links: Vec<(AlertId, Class)>,
    pub(super) moments: Vec<Moment>,
    pub(super) signals: Vec<Signal>,
    /// Whether the record changed at all.
    pub(super) changed: bool,
}

/// A change that makes no sense in the incident's phase; the sentence says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Illegal(pub String);

impl Outcome {
    /// Nothing has changed yet.
    pub(super) fn of(incident: Incident) -> Self {
        Self { incident, links: Vec::new(), moments: Vec::new(), signals: Vec::new(), changed: false }
    }

    /// The timeline is shown in chats and reports, so no secret goes into it.
    pub(super) fn moment(&mut self, at: Timestamp, by: Actor, says: String) {
        self.moments.push(Moment { at, by, says: shown(&says, MOMENT) });
    }
}

/// Applies one change.
///
/// # Errors
/// [`Illegal`]; nothing changes then.
pub(super) fn apply(incident: Incident, change: Change, known: &Known, now: Timestamp) -> Result<Outcome, Illegal> {
    let mut outcome = Outcome::of(incident);
    match change {
        Change::Alerts(alerts) => fold_alerts(&mut outcome, &alerts, known, now),
        Change::Act { by, act } => acts::act(&mut outcome, by, act, now)?,
        Change::Found { findings, evidence, not_seen, chart, mut facts, cause } => {
            let incident = &mut outcome.incident;
            let best = findings.first().map(|finding| finding.says.clone());
            let news = best.is_some() && best != incident.findings.first().map(|finding| finding.says.clone());
            incident.findings = findings;
            incident.evidence = evidence;
            incident.not_seen = not_seen;
            facts.truncate(FACTS);
            incident.known.facts = facts;
            incident.known.relations.blames = cause;
            if chart.is_some() {
                incident.chart = chart;
            }
            if let Some(first) = incident.findings.first().filter(|_| news) {
                let says = say::found(&first.says, first.confidence);
                outcome.moment(now, Actor::Mayday("diagnose".to_owned()), says);
            }
            outcome.changed = true;
        }
        Change::Run(brief) => runs::take(&mut outcome, *brief, now),
        Change::SuffersFrom(cause) => fold::suffers_from(&mut outcome, cause, now),
        Change::Sufferer { other, suffers } => fold::sufferer(&mut outcome, other, suffers, now),
        Change::Left { alerts, to } => leave(&mut outcome, &alerts, to, now),
        Change::Came { from } => {
            outcome.changed = true;
            outcome.moment(now, group::mayday(), say::came_from(from));
        }
    }
    if outcome.changed {
        outcome.incident.version += 1;
    }
    Ok(outcome)
}

fn fold_alerts(outcome: &mut Outcome, alerts: &[AlertSeen], known: &Known, now: Timestamp) {
    let mut links = known.links.clone();
    let (mut opener, mut joined, mut ended) = (None, Vec::new(), 0_u64);
    for seen in alerts {
        let before = links.get(&seen.alert_id).copied();
        let after = match (before, seen.status) {
            (None, Status::Firing) => {
                if outcome.incident.alerts == 0 {
                    opener = Some(seen);
                } else {
                    joined.push(seen);
                }
                join(outcome, seen, now);
                outcome.incident.firing += 1;
                note_firing(&mut outcome.incident, seen, true);
                Class::Firing(seen.severity)
            }
            // Its beginning was never heard of; it belongs here all the same.
            (None, Status::Resolved) => {
                remember(&mut outcome.incident, seen);
                Class::Ended
            }
            (Some(Class::Firing(_)), Status::Firing) => {
                if outcome.incident.phase.is_over() && !outlast(outcome, seen, now) {
                    continue;
                }
                note_firing(&mut outcome.incident, seen, false);
                Class::Firing(seen.severity)
            }
            (Some(Class::Firing(_)), Status::Resolved) => {
                count_out(&mut outcome.incident, seen);
                ended += 1;
                Class::Ended
            }
            (Some(Class::Ended), Status::Firing) if known.again.contains(&seen.alert_id) => {
                fire_again(outcome, seen, now);
                outcome.incident.firing += 1;
                note_firing(&mut outcome.incident, seen, true);
                let mut kinds = outcome.incident.known.episode.iter_mut();
                kinds.find(|kind| kind.name == seen.name).into_iter().for_each(|kind| kind.fixed = None);
                Class::Firing(seen.severity)
            }
            // A beginning that comes late, or an end that comes twice.
            (Some(Class::Ended), Status::Firing | Status::Resolved) => continue,
        };
        outcome.changed = true;
        links.insert(seen.alert_id.clone(), after);
        let episode = &mut outcome.incident.known;
        episode.worst = episode.worst.max(after.firing());
        if seen.status == Status::Resolved && before != Some(after) {
            // What the sender's clock says beyond ours is not believed.
            let end = seen.ended_at.map_or(now, |end| end.min(now));
            episode.last_end = episode.last_end.max(Some(end));
        }
        if before != Some(after) {
            outcome.links.retain(|(alert, _)| *alert != seen.alert_id);
            outcome.links.push((seen.alert_id.clone(), after));
        }
        if let Some(alert) = known.alerts.get(&seen.alert_id).filter(|_| seen.status == Status::Firing) {
            note_words(&mut outcome.incident, alert);
        }
    }
    if !outcome.changed {
        return;
    }
    let by = group::mayday();
    if let Some(seen) = opener {
        outcome.moment(now, by.clone(), say::opened(&kinds([&[seen][..], &joined].concat().as_slice())));
    } else if !joined.is_empty() {
        outcome.moment(now, by.clone(), say::joined(joined.len() as u64, &kinds(&joined)));
    }
    let worst = links.values().filter_map(|class| class.firing()).chain(known.others).max();
    if worst.is_none() {
        outcome.incident.firing = 0;
        outcome.incident.known.episode.iter_mut().for_each(|kind| kind.firing = 0);
    }
    follow_worst(&mut outcome.incident);
    follow_severity(outcome, worst, now);
    if ended > 0 {
        let left = outcome.incident.firing;
        outcome.moment(now, by.clone(), say::ended(ended, left));
    }
    if ended > 0 && worst.is_some() {
        runs::mitigate(outcome, now);
    }
    if worst.is_none() && !outcome.incident.phase.is_over() && (ended > 0 || opener.is_some()) {
        end(outcome, now);
        let incident = &mut outcome.incident;
        incident.known.over_at = incident.known.last_end.map(|end| end.max(incident.started_at));
        let took = outcome.incident.time_to_resolve().unwrap_or_default();
        outcome.moment(now, by, say::resolved_by_alerts(took));
    }
}

/// An alert not yet in the incident fires.
fn join(outcome: &mut Outcome, seen: &AlertSeen, now: Timestamp) {
    let opens = outcome.incident.alerts == 0;
    let new_kind = remember(&mut outcome.incident, seen);
    let incident = &mut outcome.incident;
    let back = match incident.phase {
        Phase::Resolved => true,
        Phase::Mitigated => !runs::has_fixed(incident, seen),
        Phase::Triggered | Phase::Acknowledged | Phase::Reopened => false,
    };
    let (id, alert) = (incident.id, seen.alert_id.clone());
    if back {
        begin_episode(incident, seen.start);
        reopen(incident);
        outcome.moment(now, group::mayday(), say::reopened_by_alert(seen.name.as_data()));
    }
    if !back && outcome.incident.known.calm_since.is_none_or(|end| seen.start >= end) {
        outcome.incident.started_at = outcome.incident.started_at.min(seen.start);
    }
    if opens || back {
        outcome.signals.push(Signal::Opened { incident: id, alert });
    } else if new_kind {
        outcome.signals.push(Signal::Joined { incident: id, alert });
    }
}

/// An alert of the incident that had ended fires again: the same occurrence, so it is not counted anew.
fn fire_again(outcome: &mut Outcome, seen: &AlertSeen, now: Timestamp) {
    let incident = &mut outcome.incident;
    let back = matches!(incident.phase, Phase::Resolved | Phase::Mitigated);
    let (incident, alert, name) = (incident.id, seen.alert_id.clone(), seen.name.as_data());
    if back {
        outcome.incident.known.worst = None;
        reopen(&mut outcome.incident);
        outcome.moment(now, group::mayday(), say::reopened_by_alert(name));
        outcome.signals.push(Signal::Opened { incident, alert });
    } else {
        outcome.moment(now, group::mayday(), say::fires_again(name));
    }
}

/// An alert of the incident, which a person resolved, is said to fire still; says whether that opens it again.
fn outlast(outcome: &mut Outcome, seen: &AlertSeen, now: Timestamp) -> bool {
    let incident = &mut outcome.incident;
    let said = seen.repeated_at.unwrap_or(now);
    let since = incident.resolved_at.and_then(|end| Duration::try_from(said.duration_since(end)).ok());
    let Some(since) = since.filter(|since| *since >= GRACE) else { return false };
    let (id, alert) = (incident.id, seen.alert_id.clone());
    // The same fault goes on: what was found stays on the card until the next search.
    runs::forget_fixes(incident);
    reopen(incident);
    outcome.moment(now, group::mayday(), say::outlasts(seen.name.as_data(), since));
    outcome.signals.push(Signal::Opened { incident: id, alert });
    true
}

/// One alert fires less.
fn count_out(incident: &mut Incident, seen: &AlertSeen) {
    incident.firing = incident.firing.saturating_sub(1);
    if let Some(kind) = incident.known.episode.iter_mut().find(|kind| kind.name == seen.name) {
        kind.firing = kind.firing.saturating_sub(1);
    }
}

/// Alerts go to another incident, since this one is over for long. They stay counted as alerts that it had.
fn leave(outcome: &mut Outcome, alerts: &[(AlertSeen, Class)], to: IncidentId, now: Timestamp) {
    for (seen, class) in alerts {
        if class.firing().is_some() {
            count_out(&mut outcome.incident, seen);
        }
    }
    let left: Vec<&AlertSeen> = alerts.iter().map(|(seen, _)| seen).collect();
    outcome.changed = true;
    outcome.moment(now, group::mayday(), say::went_on(&kinds(&left), to));
}

/// Counts the alert in; says whether its kind is new here.
fn remember(incident: &mut Incident, seen: &AlertSeen) -> bool {
    incident.alerts += 1;
    incident.latest_alerts.push(seen.alert_id.clone());
    let surplus = incident.latest_alerts.len().saturating_sub(LATEST);
    incident.latest_alerts.drain(..surplus);
    let kinds = &mut incident.known.kinds;
    let known = kinds.iter().any(|(name, severity)| *name == seen.name && *severity == seen.severity);
    if known || kinds.len() >= KINDS {
        return false;
    }
    kinds.push((seen.name.clone(), seen.severity));
    true
}

/// What the card says is of what fires now: nothing of a repaired fault stays, but what still fires.
fn begin_episode(incident: &mut Incident, start: Timestamp) {
    incident.known.calm_since = incident.resolved_at.or(incident.known.mitigated_at);
    incident.started_at = start;
    incident.known.episode.retain(|kind| kind.firing > 0);
    incident.known.worst = incident.known.episode.iter().map(|kind| kind.severity).max();
    incident.known.facts.clear();
    incident.known.relations = super::Relations::default();
    incident.findings.clear();
    incident.evidence.clear();
    incident.not_seen.clear();
    incident.chart = None;
}

/// Counts a firing alert into its kind (`new`), or notes how bad a known one is now.
fn note_firing(incident: &mut Incident, seen: &AlertSeen, new: bool) {
    let episode = &mut incident.known.episode;
    let Some(kind) = episode.iter_mut().find(|kind| kind.name == seen.name) else {
        if episode.len() < KINDS {
            episode.push(Kind {
                name: seen.name.clone(),
                severity: seen.severity,
                firing: 1,
                since: seen.start,
                newest: seen.start,
                value: None,
                unit: None,
                says: Tainted::default(),
                fixed: None,
            });
        }
        return;
    };
    let others = kind.firing.saturating_sub(u64::from(!new));
    kind.severity = if others == 0 { seen.severity } else { kind.severity.max(seen.severity) };
    if !new {
        return;
    }
    kind.since = if others == 0 { seen.start } else { kind.since.min(seen.start) };
    kind.newest = kind.newest.max(seen.start);
    kind.firing += 1;
    // What began before it was fixed is only late.
    kind.fixed = kind.fixed.filter(|(_, at)| seen.start <= *at);
}

fn note_words(incident: &mut Incident, alert: &Alert) {
    let kind = incident.known.episode.iter_mut().find(|kind| kind.name == alert.alert_name);
    if let Some(kind) = kind {
        (kind.value, kind.unit) = (alert.metric_value, alert.metric_unit.clone());
        kind.says = capped(alert.description.as_data(), SAYS).into();
    }
}

/// The worst kind that fires gives name and description.
fn follow_worst(incident: &mut Incident) {
    let Some(worst) = incident.known.kinds_now().first().map(|kind| (kind.name.clone(), kind.says.clone())) else {
        return;
    };
    if !worst.1.as_data().is_empty() || incident.alert_name != worst.0 {
        incident.description = worst.1;
    }
    incident.alert_name = worst.0;
}

/// The worst firing alert gives the severity, unless a person set it.
fn follow_severity(outcome: &mut Outcome, worst: Option<Severity>, now: Timestamp) {
    let Some(worst) = worst else { return };
    let incident = &mut outcome.incident;
    if incident.severity_by_person || incident.severity == worst {
        return;
    }
    let before = std::mem::replace(&mut incident.severity, worst);
    // The first alert has just made it: nothing to tell.
    if incident.version > 0 {
        outcome.moment(now, group::mayday(), say::severity_follows(before.word(), worst.word()));
    }
}

pub(super) fn end(outcome: &mut Outcome, now: Timestamp) {
    let incident = &mut outcome.incident;
    incident.phase = Phase::Resolved;
    incident.resolved_at = Some(now);
    incident.known.over_at = None;
    // The last alert to end is often the mildest; what is over is remembered for how bad it was.
    if let Some(worst) = incident.known.worst.filter(|_| !incident.severity_by_person) {
        incident.severity = worst;
    }
    outcome.signals.push(Signal::Resolved { incident: incident.id });
}

pub(super) fn reopen(incident: &mut Incident) {
    incident.phase = Phase::Reopened;
    incident.resolved_at = None;
    incident.known.mitigated_at = None;
    (incident.known.over_at, incident.known.last_end) = (None, None);
    incident.known.reopened += 1;
}

/// `JobErrors ×9, CpuBusy`.
fn kinds(alerts: &[&AlertSeen]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for seen in alerts {
        let name = seen.name.as_data();
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let more = counts.len().saturating_sub(NAMED);
    let shown = counts.iter().take(NAMED).map(|(name, count)| {
        let name = capped(&say::alert_words(name), 120);
        if *count == 1 { name } else { format!("{name} ×{count}") }
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more kinds"));
    }
    text
}

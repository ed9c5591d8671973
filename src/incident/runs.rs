//! What runs for an incident do to it: their briefs, their moments, and when the harm has stopped.

use super::apply::Outcome;
use super::{AlertSeen, Incident, Kind, Phase, RunBrief, group};
use crate::access::Actor;
use crate::core::message::incident as say;
use crate::core::{RunId, Tainted, Timestamp};

/// Runs kept in the record.
const RUNS: usize = 10;
/// Kinds named that still fire.
const NAMED: usize = 3;

/// A run moved.
pub(super) fn take(outcome: &mut Outcome, brief: RunBrief, now: Timestamp) {
    let incident = &mut outcome.incident;
    let before = incident.runs.iter().position(|known| known.run == brief.run);
    if before.is_some_and(|at| incident.runs[at].version >= brief.version) {
        return;
    }
    let moved = before.is_none_or(|at| incident.runs[at].state != brief.state);
    let (run, state, playbook) = (brief.run, brief.state.clone(), brief.playbook.clone());
    let waits = brief.plan.buttons.iter().any(|button| button.command.starts_with("approve "));
    let says = if waits {
        say::run_waits(run, &brief.playbook)
    } else {
        say::run_moved(
            run,
            &brief.playbook,
            &state,
            brief.why.as_deref().filter(|_| brief.ended && brief.state != "fixed"),
        )
    };
    // Each approval is told once, as its person's own word, and before what came of it.
    let told = before.map_or(0, |at| incident.runs[at].approved_by.len());
    let approvals: Vec<_> = brief.approved_by.iter().skip(told).cloned().collect();
    let told = before.map_or(0, |at| incident.runs[at].allowed_by.len());
    let allowed: Vec<_> = brief.allowed_by.iter().skip(told).cloned().collect();
    let fixed = brief.ended && state == "fixed";
    let (alert, part_of) = (brief.alert_name.clone(), brief.part_of);
    match before {
        Some(at) => incident.runs[at] = brief,
        None => incident.runs.push(brief),
    }
    let newest = incident.known.newest_runs.entry(playbook.clone()).or_insert(run);
    *newest = run.max(*newest);
    while incident.runs.len() > RUNS {
        // Runs that still go on are what people look for.
        let oldest = incident.runs.iter().position(|run| run.ended).unwrap_or(0);
        incident.runs.remove(oldest);
    }
    outcome.changed = true;
    for person in approvals {
        let says = say::run_approved(run, &playbook, &person.0);
        outcome.moment(now, Actor::Person(person), says);
    }
    for policy in allowed {
        outcome.moment(now, Actor::Mayday("playbook".to_owned()), say::run_allowed(run, &playbook, &policy));
    }
    if moved {
        outcome.moment(now, Actor::Mayday("playbook".to_owned()), says);
    }
    // A part of another run speaks for itself only: what is fixed is for the whole to say.
    if fixed && moved && part_of.is_none() && may_be_mitigated(outcome.incident.phase) {
        note_fixed(outcome, run, alert.as_ref(), now);
    }
}

const fn may_be_mitigated(phase: Phase) -> bool {
    match phase {
        Phase::Triggered | Phase::Acknowledged | Phase::Reopened => true,
        Phase::Mitigated | Phase::Resolved => false,
    }
}

/// A run fixed what the alerts of one kind are about: the one it was proposed for, or the only one there is. The harm has
/// stopped only when nothing else fires.
fn note_fixed(outcome: &mut Outcome, run: RunId, alert: Option<&Tainted>, now: Timestamp) {
    let mut open: Vec<&mut Kind> = still_firing(&mut outcome.incident.known.episode).collect();
    let alone = open.len() == 1;
    for kind in open.iter_mut().filter(|kind| alert.map_or(alone, |name| kind.name == *name)) {
        kind.fixed = Some((run, now));
    }
    if open.iter().all(|kind| kind.fixed.is_some()) {
        outcome.incident.phase = Phase::Mitigated;
        outcome.incident.known.mitigated_at = Some(now);
        return outcome.moment(now, group::mayday(), say::mitigated(run));
    }
    let others = open.iter().filter(|kind| kind.fixed.is_none()).map(|kind| kind.name.as_data());
    let says = say::fixed_in_part(run, alert.map(Tainted::as_data), &others.take(NAMED).collect::<Vec<_>>());
    outcome.moment(now, group::mayday(), says);
}

/// An alert ended. What still fires may all be fixed now.
pub(super) fn mitigate(outcome: &mut Outcome, now: Timestamp) {
    let incident = &mut outcome.incident;
    let firing = || incident.known.episode.iter().filter(|kind| kind.firing > 0);
    let newest = firing().filter_map(|kind| kind.fixed).max_by_key(|(_, at)| *at);
    if let Some((run, _)) = newest
        && firing().all(|kind| kind.fixed.is_some())
        && may_be_mitigated(incident.phase)
    {
        incident.phase = Phase::Mitigated;
        incident.known.mitigated_at = Some(now);
        outcome.moment(now, group::mayday(), say::mitigated(run));
    }
}

/// Whether an alert is one of those that a run fixed, and only late.
pub(super) fn has_fixed(incident: &Incident, seen: &AlertSeen) -> bool {
    let kinds = incident.known.episode.iter().filter(|kind| kind.name == seen.name);
    kinds.filter_map(|kind| kind.fixed).any(|(_, at)| seen.start <= at)
}

/// It goes on: what was called fixed is not.
pub(super) fn forget_fixes(incident: &mut Incident) {
    incident.known.episode.iter_mut().for_each(|kind| kind.fixed = None);
}

/// The kinds that fire and that no run fixed.
fn still_firing(episode: &mut [Kind]) -> impl Iterator<Item = &mut Kind> {
    episode.iter_mut().filter(|kind| kind.firing > 0 && kind.fixed.is_none())
}

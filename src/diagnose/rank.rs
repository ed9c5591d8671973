//! Whom to blame, and how sure. Pure.
//!
//! The score of a service is a noisy-or over its clues: `1 − Π(1 − wᵢ)`, its best clue counting whole and each further
//! one a third, since facts about one service are rarely independent. A service whose trouble may come from below is
//! explained by the faulty service furthest down that it (indirectly) calls; it keeps [`EXPLAINED`] of its score, and the
//! one below gains for each caller that suffers. Scores are the findings' confidence, capped at [`MOST_SURE`]: what is
//! only read from outside is never certain. Where a source was slow or broken, a fifth is taken off.

use std::collections::{BTreeMap, BTreeSet};

use super::observe::{Clue, Nature, Observed};
use super::scope::Scope;
use crate::analysis::{Evidence, EvidenceId, FaultKind, Finding};
use crate::core::Timestamp;
use crate::core::message::diagnose as say;

/// What is left of a score that another service explains.
const EXPLAINED: f64 = 0.4;
/// No conclusion is surer than this.
const MOST_SURE: f64 = 0.97;
/// From this score on a service is faulty enough to explain others.
const FAULTY: f64 = 0.4;
/// Each suffering caller takes this share of the remaining doubt away.
const CALLER: f64 = 0.15;
/// Below this, a conclusion is not worth a person's time.
const WORTH_SAYING: f64 = 0.15;
const FINDINGS: usize = 3;
const EVIDENCE: usize = 30;
/// Evidence cited by one finding.
const CITED: usize = 5;

/// A conclusion with the indices of its evidence.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub service: String,
    pub kind: FaultKind,
    pub score: f64,
    pub says: String,
    pub evidence: Vec<usize>,
    onset: Option<Timestamp>,
}

/// Conclusions, and whom the subject suffers from.
#[derive(Debug)]
pub(super) struct Ranked {
    pub verdicts: Vec<Verdict>,
    pub cause: Option<String>,
}

pub(super) fn verdicts(observed: &Observed, scope: &Scope) -> Ranked {
    let mut by_service: BTreeMap<&str, Vec<&Clue>> = BTreeMap::new();
    for clue in &observed.clues {
        by_service.entry(&clue.service).or_default().push(clue);
    }
    for clues in by_service.values_mut() {
        // A cause before a symptom of the same weight; the earlier before the later.
        clues.sort_by(|one, other| {
            other
                .weight
                .total_cmp(&one.weight)
                .then(one.onset.cmp(&other.onset))
                .then(one.evidence.cmp(&other.evidence))
        });
    }
    let own: BTreeMap<&str, f64> = by_service.iter().map(|(service, clues)| (*service, noisy_or(clues))).collect();
    let roots = Roots { by_service: &by_service, own: &own, scope };

    let mut verdicts = Vec::new();
    for (service, clues) in &by_service {
        let root = roots.final_of(service);
        let half_seen = observed.half_seen.iter().any(|other| other == service);
        let sure = |score: f64| (score * if half_seen { 0.8 } else { 1.0 }).min(MOST_SURE);
        let mut evidence: Vec<usize> = Vec::new();
        for clue in clues {
            if !evidence.contains(&clue.evidence) && evidence.len() < CITED {
                evidence.push(clue.evidence);
            }
        }
        let best = best_clue(clues);
        let onset = clues.iter().filter_map(|clue| clue.onset).min();
        let verdict = if root == *service {
            let callers: Vec<&str> = scope.callers(service).filter(|caller| by_service.contains_key(caller)).collect();
            for clue in callers.iter().filter_map(|caller| by_service.get(caller)).filter_map(|clues| clues.first()) {
                if !evidence.contains(&clue.evidence) && evidence.len() < CITED {
                    evidence.push(clue.evidence);
                }
            }
            let doubt = (1.0 - own[service]) * (1.0 - CALLER).powi(i32::try_from(callers.len()).unwrap_or(1));
            let says = match callers.len() {
                0 => best.says.clone(),
                _ => say::callers_wait(&best.says, &callers),
            };
            Verdict { service: (*service).to_owned(), kind: best.kind, score: sure(1.0 - doubt), says, evidence, onset }
        } else {
            // What explains it is part of its own proof.
            if let Some(proof) = by_service.get(root.as_str()).and_then(|clues| clues.first()) {
                evidence.truncate(CITED - 1);
                evidence.push(proof.evidence);
            }
            let says = say::suffers(service, &root, &best.says);
            Verdict {
                service: (*service).to_owned(),
                kind: FaultKind::Dependency,
                score: sure(own[service]) * EXPLAINED,
                says,
                evidence,
                onset,
            }
        };
        verdicts.push(verdict);
    }
    verdicts.retain(|verdict| verdict.score >= WORTH_SAYING);
    verdicts.sort_by(|one, other| {
        other.score.total_cmp(&one.score).then(one.onset.cmp(&other.onset)).then(one.service.cmp(&other.service))
    });
    about_the_subject(&mut verdicts, &roots, scope);
    verdicts.truncate(FINDINGS);
    let subject = scope.services.first().map(|service| service.name.as_str());
    let cause = subject.map(|subject| (subject, roots.final_of(subject)));
    let cause = cause.filter(|(subject, root)| root != subject).map(|(_, root)| root);
    let cause = cause.filter(|root| verdicts.first().is_some_and(|first| first.service == *root));
    Ranked { verdicts, cause }
}

/// What explains the subject comes first. Once that is known, a fault next door that can't reach the subject, because
/// nothing it calls is faulty and it suffers from something else, is another incident's finding and not this one's.
fn about_the_subject(verdicts: &mut Vec<Verdict>, roots: &Roots<'_>, scope: &Scope) {
    let Some(subject) = scope.services.first().map(|service| service.name.as_str()) else { return };
    let root = roots.final_of(subject);
    let below = scope.below(subject);
    let Some(at) = verdicts.iter().position(|verdict| verdict.service == root) else {
        // Nothing explains it: who calls it may be ill, but is not why.
        verdicts.retain(|verdict| below.contains(&verdict.service));
        return;
    };
    let first = verdicts.remove(at);
    verdicts.retain(|verdict| below.contains(&verdict.service) || roots.final_of(&verdict.service) == root);
    verdicts.insert(0, first);
}

/// The clue that names the fault: a cause if one weighs at least two thirds of the best.
fn best_clue<'a>(clues: &[&'a Clue]) -> &'a Clue {
    let first = clues[0];
    let cause = clues.iter().find(|clue| clue.nature != Nature::Symptom && clue.weight >= first.weight * 0.66);
    cause.copied().unwrap_or(first)
}

fn noisy_or(clues: &[&Clue]) -> f64 {
    let doubt = clues.iter().enumerate().map(|(index, clue)| 1.0 - clue.weight * if index == 0 { 1.0 } else { 0.33 });
    1.0 - doubt.product::<f64>()
}

struct Roots<'a> {
    by_service: &'a BTreeMap<&'a str, Vec<&'a Clue>>,
    own: &'a BTreeMap<&'a str, f64>,
    scope: &'a Scope,
}

impl Roots<'_> {
    /// The service that explains this one's trouble. Two that explain each other (they call each other) explain nothing:
    /// then each stands for itself.
    fn final_of(&self, service: &str) -> String {
        let root = self.of(service, &mut BTreeSet::new());
        let circle = root != service && self.of(&root, &mut BTreeSet::new()) == service;
        if circle { service.to_owned() } else { root }
    }

    /// The service that explains this one's trouble: itself, if it has a cause of its own, else the faultiest root of
    /// what it calls. Silence is explained only by one that is silent, held or gone. `seen` ends circles of calls.
    fn of(&self, service: &str, seen: &mut BTreeSet<String>) -> String {
        seen.insert(service.to_owned());
        if self.shows(service, |clue| clue.nature == Nature::Cause) {
            return service.to_owned();
        }
        let silent = self.shows(service, |clue| clue.nature == Nature::Silence);
        let mut best: Option<(f64, String)> = None;
        for called in self.scope.called_by(service) {
            if seen.contains(called) {
                continue;
            }
            let root = self.of(called, seen);
            let score = self.own.get(root.as_str()).copied().unwrap_or(0.0);
            if silent && !self.shows(&root, takes_no_work) {
                continue;
            }
            if score >= FAULTY && best.as_ref().is_none_or(|(most, _)| score > *most) {
                best = Some((score, root));
            }
        }
        best.map_or_else(|| service.to_owned(), |(_, root)| root)
    }

    /// Whether a clue of the service that weighs enough is of this sort.
    fn shows(&self, service: &str, sort: impl Fn(&Clue) -> bool) -> bool {
        let clues = self.by_service.get(service);
        clues.is_some_and(|clues| clues.iter().any(|clue| clue.weight >= 0.5 && sort(clue)))
    }
}

/// What can keep a caller waiting without an answer: silence, a process that is held or gone.
fn takes_no_work(clue: &Clue) -> bool {
    let own = clue.nature == Nature::Cause;
    clue.nature == Nature::Silence
        || own && matches!(clue.kind, FaultKind::Crash | FaultKind::Saturation | FaultKind::Network)
}

/// Findings that cite evidence by its id; the evidence cited comes first, numbered in the order it is read. Each piece
/// keeps its old index.
pub(super) fn cite(verdicts: &[Verdict], evidence: Vec<Evidence>) -> (Vec<Finding>, Vec<(usize, Evidence)>) {
    let mut order: Vec<usize> = Vec::new();
    for index in verdicts.iter().flat_map(|verdict| verdict.evidence.iter().copied()).chain(0..evidence.len()) {
        if !order.contains(&index) {
            order.push(index);
        }
    }
    order.truncate(EVIDENCE);
    let id = |index: usize| order.iter().position(|one| *one == index).map(|at| EvidenceId(format!("E{}", at + 1)));
    let findings = verdicts
        .iter()
        .map(|verdict| Finding {
            component: verdict.service.clone(),
            kind: verdict.kind,
            confidence: (verdict.score * 100.0).round() / 100.0,
            says: verdict.says.clone(),
            evidence: verdict.evidence.iter().filter_map(|index| id(*index)).collect(),
        })
        .collect();
    let mut pieces: Vec<Option<Evidence>> = evidence.into_iter().map(Some).collect();
    let ordered = order.iter().filter_map(|index| {
        let mut piece = pieces[*index].take()?;
        piece.id = id(*index)?;
        Some((*index, piece))
    });
    let ordered = ordered.collect();
    (findings, ordered)
}

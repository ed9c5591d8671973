//! Answers of the sources as evidence and clues. Pure.
//!
//! A clue is one fact that speaks for a fault, with a weight from 0 to 1: how often such a fact, alone, means that this
//! service is at fault. The weights are judgement, written down in one place ([`weight`]) so that they can be argued with.
//!
//! Text from outside: what a log line says stands only in an evidence's samples ([`Tainted`]), never in a sentence;
//! what an error answer says is redacted, cut and put in parentheses ([`outside`]).

use super::gather::{Asked, Seen, Window};
use super::ports::HealthAnswer;
use super::scope::Scope;
use super::signal::{self, Signal};
use crate::analysis::{Change, Comparison, Evidence, EvidenceId, FaultKind, Outcome, TemplateChange, change_since};
use crate::core::message::diagnose as say;
use crate::core::redact::redact;
use crate::core::{Tainted, Timestamp, text};
use crate::source::{LogLine, LogPage, Series};
use crate::watch::logs::is_error;
use crate::watch::process::State;
use crate::watch::scrape::Answer;

/// How much a fact weighs on its own.
pub(super) mod weight {
    /// What is left of a clue whose level is back where it was.
    pub const OVER: f64 = 0.5;
    /// The process ended by itself, or can't be started.
    pub const ENDED: f64 = 0.95;
    /// The process lives and answers nothing, or the kernel holds it.
    pub const HANGS: f64 = 0.9;
    /// Nobody listens (and no process of ours is known).
    pub const UNREACHABLE: f64 = 0.8;
    /// It ended by itself around the beginning and runs again.
    pub const CAME_BACK: f64 = 0.6;
    /// Its own health check says no.
    pub const UNWELL: f64 = 0.5;
    /// A bounded thing is (nearly) full: disk, CPU.
    pub const FULL: f64 = 0.85;
    /// A level changed: the most it can weigh, by kind, is in `moved`.
    pub const NEW_ERRORS: f64 = 0.5;
    /// An unusual line that is no error.
    pub const NEW_LINES: f64 = 0.3;
    /// Many more of a known error.
    pub const MORE_ERRORS: f64 = 0.4;
    /// What it wrote right before it ended, with an error in it.
    pub const LAST_ERROR: f64 = 0.55;
    /// The same without one.
    pub const LAST_WORDS: f64 = 0.2;
    /// Others' errors name it.
    pub const NAMED: f64 = 0.45;
}

/// A change of level this long before the incident's start still belongs to it: alerts wait before they fire.
const EARLY: jiff::SignedDuration = jiff::SignedDuration::from_secs(120);
/// Lines up to this long before the start count as lines of the incident.
const EARLY_LINES: jiff::SignedDuration = jiff::SignedDuration::from_secs(45);
/// Lines up to this long before a process ended are its last words.
const LAST: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);
/// An end is noticed, and a line without a time is read, a little later than it happened.
const LAG: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);
/// So many last lines are kept.
const LAST_LINES: usize = 5;
/// Samples per piece of evidence.
const SAMPLES: usize = 10;
/// Templates of one service that become clues.
const TEMPLATES: usize = 3;

/// Whether a clue is a reason or a consequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// Found in the service itself: its process, its disk, its CPU.
    Cause,
    /// It answers nothing: a cause, unless something it calls is silent or gone too, for which it then waits.
    Silence,
    /// May as well come from something it calls.
    Symptom,
}

#[derive(Debug, Clone)]
pub(super) struct Clue {
    pub service: String,
    pub kind: FaultKind,
    pub nature: Nature,
    pub weight: f64,
    pub onset: Option<Timestamp>,
    pub says: String,
    /// Index into the evidence.
    pub evidence: usize,
    /// Another service that the lines name.
    pub names: Option<String>,
}

/// A signal with its change, for the chart.
#[derive(Debug, Clone)]
pub(super) struct Moved {
    pub service: String,
    pub signal: Signal,
    pub change: Change,
    pub evidence: usize,
}

#[derive(Debug, Default)]
pub(super) struct Observed {
    pub evidence: Vec<Evidence>,
    pub clues: Vec<Clue>,
    pub moved: Vec<Moved>,
    /// What could not be seen, each reason once, with the services it holds for.
    not_seen: Vec<(Unseen, Vec<String>)>,
    /// Services of which a source was slow or broken: conclusions about them are less sure.
    pub half_seen: Vec<String>,
}

/// Why something of a service could not be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unseen {
    TooSlow { source: String },
    Failed { source: String, why: String },
    Nothing { source: String },
    NoComparison,
}

impl Observed {
    fn not_seen(&mut self, reason: Unseen, service: &str) {
        match self.not_seen.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, services)) => services.push(service.to_owned()),
            None => self.not_seen.push((reason, vec![service.to_owned()])),
        }
    }

    /// What could not be seen, in words: one sentence for each reason.
    pub(super) fn unseen(&self) -> Vec<String> {
        let sentence = |(reason, services): &(Unseen, Vec<String>)| {
            let services: Vec<&str> = services.iter().map(String::as_str).collect();
            match reason {
                Unseen::TooSlow { source } => say::all_too_slow(source, &services),
                Unseen::Failed { source, why } => say::all_failed(source, why, &services),
                Unseen::Nothing { source } => say::all_nothing(source, &services),
                Unseen::NoComparison => say::no_comparison(&services),
            }
        };
        self.not_seen.iter().map(sentence).collect()
    }
}

pub(super) fn all(seen: &[Seen], scope: &Scope, window: &Window) -> Observed {
    let mut observed = Observed::default();
    for one in seen {
        let mut eye = Eye { observed: &mut observed, window, service: &one.service };
        eye.process(one);
        eye.answers(one);
        eye.metrics(one);
        eye.logs(&one.logs, scope);
    }
    named_only(&mut observed, seen);
    observed
}

struct Eye<'a> {
    observed: &'a mut Observed,
    window: &'a Window,
    service: &'a str,
}

impl Eye<'_> {
    fn evidence(&mut self, source: &str, query: &str, outcome: Outcome, says: String, samples: Vec<Tainted>) -> usize {
        self.observed.evidence.push(Evidence {
            // Numbered when it is known which are cited.
            id: EvidenceId(String::new()),
            source: source.to_owned(),
            query: query.to_owned(),
            from: self.window.from,
            to: self.window.to,
            outcome,
            says,
            samples,
        });
        self.observed.evidence.len() - 1
    }

    fn fact(&mut self, source: &str, query: &str, says: String) -> usize {
        self.evidence(source, query, Outcome::Data { rows: 1, truncated: false }, says, Vec::new())
    }

    fn clue(
        &mut self,
        kind: FaultKind,
        nature: Nature,
        weight: f64,
        onset: Option<Timestamp>,
        says: String,
        evidence: usize,
    ) {
        let service = self.service.to_owned();
        self.observed.clues.push(Clue { service, kind, nature, weight, onset, says, evidence, names: None });
    }

    fn process(&mut self, seen: &Seen) {
        for process in &seen.processes {
            let query = format!("status of process {}", process.name);
            let early = self.window.since - EARLY;
            match &process.state {
                State::Exited { exit } if self.window.lasts && !exit.ordered => {
                    let says = say::ended(self.service, &process.name, &exit.to_string(), exit.at);
                    let evidence = self.fact("process table", &query, says.clone());
                    self.clue(FaultKind::Crash, Nature::Cause, weight::ENDED, Some(exit.at), says, evidence);
                    self.last_words(&seen.logs, &process.name, exit.at, exit.at + LAG);
                }
                State::Failed { why } if self.window.lasts => {
                    let says = say::not_started(self.service, &process.name, &outside(why));
                    let evidence = self.fact("process table", &query, says.clone());
                    self.clue(FaultKind::Crash, Nature::Cause, weight::ENDED, None, says, evidence);
                }
                State::Running { pid } => match &process.last_exit {
                    Some(exit) if !exit.ordered && exit.at >= early && exit.at <= self.window.to => {
                        let says =
                            say::came_back(self.service, &process.name, &exit.to_string(), exit.at, process.exits);
                        let evidence = self.fact("process table", &query, says.clone());
                        self.clue(FaultKind::Crash, Nature::Cause, weight::CAME_BACK, Some(exit.at), says, evidence);
                        // What follows is the next process's.
                        self.last_words(&seen.logs, &process.name, exit.at, exit.at);
                    }
                    _ => {
                        let says = say::runs(self.service, &process.name, *pid, process.started_at);
                        self.fact("process table", &query, says);
                    }
                },
                State::New | State::Exited { .. } | State::Failed { .. } => {}
            }
            let held = seen.metrics.data().and_then(|series| signal::last(series, "process_stopped"));
            if self.window.lasts && held == Some(1.0) && process.pid().is_some() {
                let says = say::held(self.service, &process.name);
                let evidence = self.fact("own metrics", "process_stopped", says.clone());
                // It lives and takes no work: the caller sees the same as of one that is overrun.
                self.clue(FaultKind::Saturation, Nature::Cause, weight::HANGS, None, says, evidence);
            }
        }
    }

    /// What a process wrote right before it ended tells most about why, though it may have said the same before, or a
    /// while before the alert's start.
    fn last_words(&mut self, logs: &Asked<LogPage>, process: &str, ended: Timestamp, until: Timestamp) {
        let Asked::Data(page) = logs else { return };
        let near = page.lines.iter().filter(|line| line.at >= ended - LAST && line.at <= until);
        let mut lines: Vec<&LogLine> = near.collect();
        lines.sort_by_key(|line| line.at);
        let total = lines.len() as u64;
        let lines = &lines[lines.len().saturating_sub(LAST_LINES)..];
        let Some(last) = lines.last() else { return };
        let telling = lines.iter().rfind(|line| line.level.as_deref().is_some_and(is_error));
        let at = telling.map_or(last.at, |line| line.at);
        let says = say::last_words(self.service, process, lines.len(), telling.is_some(), at);
        // The newest first: it is most likely the reason.
        let samples = lines.iter().rev().map(|line| Tainted::new(text::capped(line.text.as_data(), 400))).collect();
        let query = format!("last lines of {}", self.service);
        let outcome = Outcome::Data { rows: total, truncated: page.truncated };
        let evidence = self.evidence("own logs", &query, outcome, says.clone(), samples);
        let weight = if telling.is_some() { weight::LAST_ERROR } else { weight::LAST_WORDS };
        self.clue(FaultKind::Crash, Nature::Symptom, weight, Some(at), says, evidence);
    }

    /// Health check and scrape say the same thing twice when a service is gone: the first that does makes the clue.
    fn answers(&mut self, seen: &Seen) {
        let pid = seen.processes.iter().find_map(crate::watch::process::Status::pid);
        let ended = !seen.processes.is_empty() && pid.is_none();
        let since = seen.targets.iter().filter(|target| target.answer.as_ref().is_some_and(|answer| !answer.is_up()));
        let since = since.filter_map(|target| target.since).min();
        let mut told = false;
        if let Some((url, answer)) = &seen.health {
            let query = format!("GET {url}");
            match answer {
                HealthAnswer::Well(took) => {
                    self.fact("health check", &query, say::well(self.service, *took));
                }
                HealthAnswer::Unwell(why) => {
                    let why = &outside(why);
                    let says = say::unwell(self.service, why);
                    let evidence = self.evidence(
                        "health check",
                        &query,
                        Outcome::Failed { why: why.clone() },
                        says.clone(),
                        Vec::new(),
                    );
                    self.clue(FaultKind::Error, Nature::Symptom, weight::UNWELL, None, says, evidence);
                }
                HealthAnswer::Silent => {
                    let says = say::hangs(self.service, since, pid);
                    let evidence = self.evidence("health check", &query, Outcome::Timeout, says.clone(), Vec::new());
                    self.clue(silent_kind(ended), Nature::Silence, weight::HANGS, since, says, evidence);
                    told = true;
                }
                HealthAnswer::Unreachable(why) => {
                    let why = &outside(why);
                    let says = say::unreachable(self.service, since, why);
                    let evidence = self.evidence(
                        "health check",
                        &query,
                        Outcome::Failed { why: why.clone() },
                        says.clone(),
                        Vec::new(),
                    );
                    // That nobody listens follows from the process having ended; it supports that, and adds nothing.
                    let weight = if ended { 0.3 } else { weight::UNREACHABLE };
                    self.clue(unreachable_kind(pid, why), Nature::Cause, weight, since, says, evidence);
                    told = true;
                }
            }
        }
        if !self.window.lasts {
            return;
        }
        let well = matches!(seen.health, Some((_, HealthAnswer::Well(_))));
        for target in &seen.targets {
            let query = format!("GET {}", target.url);
            let (says, outcome, kind, nature, weight) = match &target.answer {
                Some(Answer::Silent(_)) => {
                    let says = say::hangs(self.service, target.since, pid);
                    (says, Outcome::Timeout, silent_kind(ended), Nature::Silence, weight::HANGS)
                }
                Some(Answer::Unreachable(why)) => {
                    let why = outside(why);
                    let weight = if ended { 0.3 } else { weight::UNREACHABLE };
                    let says = say::unreachable(self.service, target.since, &why);
                    let kind = unreachable_kind(pid, &why);
                    (says, Outcome::Failed { why }, kind, Nature::Cause, weight)
                }
                Some(Answer::Unreadable(why)) => {
                    let why = outside(why);
                    let says = say::failed(self.service, "its metrics page", &why);
                    self.evidence("scrape", &query, Outcome::Failed { why: why.clone() }, says, Vec::new());
                    self.observed.not_seen(Unseen::Failed { source: "the metrics page".to_owned(), why }, self.service);
                    continue;
                }
                Some(Answer::Up) | None => continue,
            };
            let evidence = self.evidence("scrape", &query, outcome, says.clone(), Vec::new());
            // A health check that is fine right now outweighs a page that failed a moment ago.
            if !told && !well {
                self.clue(kind, nature, weight, target.since, says, evidence);
                told = true;
            }
        }
    }

    fn metrics(&mut self, seen: &Seen) {
        let query = &seen.metric_query;
        let series = match &seen.metrics {
            Asked::Data(series) => series,
            other => return self.unseen("own metrics", query, &other.outcome(|_| (0, false))),
        };
        let mut best: Vec<Moved> = Vec::new();
        for signal in signal::signals(series, self.window.step) {
            let full = signal.full.filter(|_| self.window.lasts).zip(signal.points.last().map(|(_, value)| *value));
            let change = change_since(&signal.points, signal.noise, self.window.since - EARLY);
            let change = change.filter(Change::is_rise);
            if let Some(change) = change {
                // Two metrics of one kind tell one story: the clearer one tells it.
                match best.iter_mut().find(|other| other.signal.kind == signal.kind) {
                    Some(other) if other.change.score >= change.score => {}
                    Some(other) => (other.signal, other.change) = (signal, change),
                    None => best.push(Moved { service: self.service.to_owned(), signal, change, evidence: 0 }),
                }
            } else if let Some((limit, value)) = full.filter(|(limit, value)| value >= limit) {
                let says = say::high(self.service, signal.what, value, signal.unit);
                let evidence = self.evidence("own metrics", query, rows(series), says.clone(), samples(&signal.points));
                let weight = weight::FULL * (0.7 + 0.3 * (value / limit - 1.0).clamp(0.0, 1.0));
                self.clue(signal.kind, Nature::Cause, weight, None, says, evidence);
            }
        }
        for mut moved in best {
            let (signal, change) = (&moved.signal, &moved.change);
            let levels = (change.before, change.after);
            let over = self.window.lasts.then(|| back_since(signal, change)).flatten();
            let says = match over {
                Some(end) => say::moved_back(self.service, signal.what, levels, signal.unit, (change.at, end)),
                None => say::moved(self.service, signal.what, levels, signal.unit, change.at),
            };
            let evidence = self.evidence("own metrics", query, rows(series), says.clone(), samples(&signal.points));
            moved.evidence = evidence;
            if let Some((nature, weight)) = moved_weight(signal, change) {
                let weight = if over.is_some() { weight * weight::OVER } else { weight };
                self.clue(signal.kind, nature, weight, Some(change.at), says, evidence);
            }
            self.observed.moved.push(moved);
        }
    }

    fn logs(&mut self, logs: &Asked<LogPage>, scope: &Scope) {
        let query = format!("lines of {}", self.service);
        let page = match logs {
            Asked::Data(page) => page,
            other => return self.unseen("own logs", &query, &other.outcome(|_| (0, false))),
        };
        let split = self.window.since - EARLY_LINES;
        let mut comparison = Comparison::default();
        let mut earlier = 0u64;
        for line in &page.lines {
            if line.at < split {
                earlier += 1;
                comparison.before(line.text.as_data());
            } else {
                comparison.during(line.at, line.text.as_data(), line.level.as_deref().is_some_and(is_error));
            }
        }
        let comparable = earlier > 0;
        if !comparable {
            self.observed.not_seen(Unseen::NoComparison, self.service);
        }
        let mut telling: Vec<(f64, TemplateChange)> = comparison
            .changes()
            .into_iter()
            .filter_map(|change| Some((line_weight(&change, comparable)?, change)))
            .collect();
        telling.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.first_at.cmp(&other.1.first_at)));
        for (weight, change) in telling.into_iter().take(TEMPLATES) {
            let others =
                scope.services.iter().map(|service| service.name.as_str()).filter(|name| *name != self.service);
            let named = others.filter(|name| names(&change.sample, name)).max_by_key(|name| name.len());
            let level = if change.errors > 0 { "error " } else { "" };
            // Names and counts only: what a log says is text from outside, and stays in the samples, which are tainted.
            let says = if change.is_new() {
                say::new_lines(self.service, level, change.during, change.first_at, named)
            } else {
                say::more_lines(self.service, level, (change.during, change.before), named)
            };
            let outcome = Outcome::Data { rows: change.during, truncated: page.truncated };
            let sample = text::capped(&change.sample, 400);
            let template = text::capped(&without_stamp(&change.template), 160);
            let samples = [sample, template].map(Tainted::new).to_vec();
            let evidence = self.evidence("own logs", &query, outcome, says.clone(), samples);
            self.clue(FaultKind::Error, Nature::Symptom, weight, Some(change.first_at), says, evidence);
            if let Some(clue) = self.observed.clues.last_mut() {
                clue.names = named.map(str::to_owned);
            }
        }
    }

    /// A source that gave nothing: evidence of its own kind, and a sentence.
    fn unseen(&mut self, source: &str, query: &str, outcome: &Outcome) {
        let (source_name, outcome) = (source.to_owned(), outcome.clone());
        let (says, reason) = match &outcome {
            Outcome::Timeout => (say::too_slow(self.service, source), Unseen::TooSlow { source: source_name }),
            Outcome::Failed { why } => {
                (say::failed(self.service, source, why), Unseen::Failed { source: source_name, why: why.clone() })
            }
            Outcome::Empty | Outcome::Data { .. } => {
                (say::nothing(self.service, source), Unseen::Nothing { source: source_name })
            }
        };
        if !matches!(outcome, Outcome::Empty) {
            self.observed.half_seen.push(self.service.to_owned());
        }
        self.evidence(source, query, outcome, says, Vec::new());
        self.observed.not_seen(reason, self.service);
    }
}

/// Since when a share of something bounded is back where it was before its rise: the newest two samples or more are nearer
/// to the old level than a quarter of the rise. Rates come back for a moment by chance, so they are not asked.
fn back_since(signal: &Signal, change: &Change) -> Option<Timestamp> {
    if !matches!(signal.kind, FaultKind::Disk | FaultKind::Memory) {
        return None;
    }
    let limit = change.before + (change.after - change.before) * 0.25;
    let back: Vec<_> =
        signal.points.iter().rev().take_while(|(at, value)| *at > change.at && *value <= limit).collect();
    back.last().filter(|_| back.len() >= 2).map(|(at, _)| *at)
}

/// What a changed level weighs: more the clearer it is, at most the kind's part. None where a rise alone is no fault.
fn moved_weight(signal: &Signal, change: &Change) -> Option<(Nature, f64)> {
    let (nature, most) = match signal.kind {
        FaultKind::Error => (Nature::Symptom, 0.65),
        FaultKind::Latency => (Nature::Symptom, 0.6),
        FaultKind::Saturation => (Nature::Symptom, 0.5),
        FaultKind::Disk if change.after >= 80.0 => (Nature::Cause, weight::FULL),
        FaultKind::Disk => (Nature::Cause, 0.4),
        FaultKind::Cpu if change.after >= 80.0 => (Nature::Cause, 0.75),
        FaultKind::Cpu if change.after >= 30.0 => (Nature::Cause, 0.4),
        FaultKind::Memory if change.factor().is_none_or(|factor| factor >= 1.5) => (Nature::Cause, 0.45),
        _ => return None,
    };
    // From 3.5 robust deviations (half) to 35 (all of it).
    let clear = ((change.score / crate::analysis::change::MIN_SCORE).log10()).clamp(0.0, 1.0);
    Some((nature, most * (0.5 + 0.5 * clear)))
}

fn line_weight(change: &TemplateChange, comparable: bool) -> Option<f64> {
    let error = change.errors > 0;
    match (change.is_new() && comparable, error) {
        (true, true) => Some(weight::NEW_ERRORS),
        // One odd line is nothing; a warning is often the only word before the silence.
        (true, false) if change.sample.contains("WARN") => Some(weight::NEW_LINES),
        (true, false) => None,
        // Three times as many as in the longer time before.
        (false, true) if !comparable || change.during > 3 * change.before.max(1) => Some(weight::MORE_ERRORS),
        (false, _) => None,
    }
}

/// Services that nobody saw fail, but whose callers' errors name them.
fn named_only(observed: &mut Observed, seen: &[Seen]) {
    // Who names it, in which evidence, since when.
    type Caller = (String, usize, Option<Timestamp>);
    let mut found: Vec<(String, Vec<Caller>)> = Vec::new();
    for clue in &observed.clues {
        if let Some(named) = &clue.names {
            let caller = (clue.service.clone(), clue.evidence, clue.onset);
            match found.iter_mut().find(|(service, _)| service == named) {
                Some((_, callers)) => callers.push(caller),
                None => found.push((named.clone(), vec![caller])),
            }
        }
    }
    for (service, callers) in found {
        // One that just answered its health check is not to blame for what its callers say about a moment ago.
        let well =
            seen.iter().any(|one| one.service == service && matches!(one.health, Some((_, HealthAnswer::Well(_)))));
        let mut names: Vec<String> = callers.iter().map(|(caller, ..)| caller.clone()).collect();
        names.sort();
        names.dedup();
        let weight = if well { weight::NAMED / 2.0 } else { weight::NAMED };
        let onset = callers.iter().filter_map(|(.., onset)| *onset).min();
        let says = say::named_by(&service, &names);
        let evidence = callers[0].1;
        observed.clues.push(Clue {
            service,
            kind: FaultKind::Dependency,
            nature: Nature::Symptom,
            weight,
            onset,
            says,
            evidence,
            names: None,
        });
    }
}

/// Alive but silent: it has more to do than it gets done. Gone, if its process is known to have ended.
fn silent_kind(ended: bool) -> FaultKind {
    if ended { FaultKind::Crash } else { FaultKind::Saturation }
}

/// Nobody listens: gone, unless its process is known to live or the way to it is what failed.
fn unreachable_kind(pid: Option<u32>, why: &str) -> FaultKind {
    if pid.is_none() && why.to_lowercase().contains("refused") { FaultKind::Crash } else { FaultKind::Network }
}

/// What someone else's program answered, fit for a sentence: without secrets and control characters, and short.
pub(super) fn outside(words: &str) -> String {
    let plain: String = words.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    text::capped(&redact(&plain), 160)
}

/// Whether a line names a service, as a word of its own.
fn names(line: &str, service: &str) -> bool {
    line.match_indices(service).any(|(at, found)| {
        let part = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
        !line[..at].ends_with(part) && !line[at + found.len()..].starts_with(part)
    })
}

/// A template without the masked time at its start, which says nothing.
fn without_stamp(template: &str) -> String {
    template.trim_start_matches(['<', '*', '>', ' ', '[', ']']).to_owned()
}

fn rows(series: &[Series]) -> Outcome {
    Outcome::Data { rows: series.iter().map(|one| one.points.len() as u64).sum(), truncated: false }
}

fn samples(points: &[(Timestamp, f64)]) -> Vec<Tainted> {
    let recent = &points[points.len().saturating_sub(SAMPLES)..];
    recent.iter().map(|(at, value)| Tainted::new(format!("{} {value:.3}", say::clock(*at)))).collect()
}

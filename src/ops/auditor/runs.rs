//! Runs: the journal, the audit of what was decided and changed, and the marks of open runs agree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AUDITED, Auditor, Finding, RUNS, readable, say};
use crate::access::audit;
use crate::core::redact::redact;
use crate::core::{RunId, Timestamp};
use crate::playbook::engine::{Together, part_of};
use crate::playbook::run::{Event, Stage, Status, apply};
use crate::playbook::view::RunOutcome;
use crate::store::{self, Key, Range, Record};
use crate::work::Shard;

/// Younger runs are looked at.
const WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Events of a run; the engine ends a run long before.
const EVENTS: usize = 20_000;
/// Marks of open runs, and locks.
const MARKS: usize = 2_000;

/// What marks an open run, and what holds a lock.
#[derive(Serialize, Deserialize)]
struct Mark {
    run: RunId,
}
impl Record for Mark {}

/// A run as its journal has it.
struct Recomputed {
    status: Status,
    events: Vec<Event>,
}

/// How the runs stand that are parts of another which waits for them.
enum Parts {
    /// It waits for none.
    None,
    /// One of them goes on, or is not known.
    Open,
    /// All have ended, the last one then.
    Ended(Timestamp),
}

/// One thing the audit must have: what, and to what exactly.
type Trace = (&'static str, String);

impl Auditor {
    pub(super) async fn runs(&self) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        let newest = self.store.scan(&Range::under(&Key::of(["run"]), RUNS).backward()).await?;
        let since = self.clock.now().checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
        let mut by_chain: BTreeMap<String, Vec<Recomputed>> = BTreeMap::new();
        let mut own_cards = Vec::new();
        for entry in newest {
            let Ok(run) = entry.key.last().parse::<RunId>() else { continue };
            // What a later Mayday wrote is not broken; but where none runs any more, the run goes on nowhere.
            let Some(found) = readable(self.recompute(run).await, &mut findings)? else { continue };
            match found {
                Ok(found) if found.status.head.at < since && found.status.ended.is_some() => {}
                Ok(found) => {
                    findings.extend(self.marked(&found.status).await?);
                    findings.extend(self.stands_still(&found.status).await?);
                    // By then the card has been delivered, or its post is late, which is a finding of its queue.
                    if found.status.head.incident.is_none() && self.is_late(found.status.at) {
                        own_cards.push((run, found.status.seq));
                    }
                    by_chain.entry(format!("run-{}", Shard::of(&run.to_string()).key())).or_default().push(found);
                }
                Err(why) => {
                    let says = say::journal_broken(run, &why);
                    findings.push(Finding::new("journal_broken", run.to_string(), says));
                }
            }
        }
        findings.extend(self.run_cards(&own_cards).await?);
        // Also the chains that only lost runs have written to.
        for shard in Shard::all() {
            let chain = format!("run-{}", shard.key());
            let runs = by_chain.remove(&chain).unwrap_or_default();
            findings.extend(self.audited(&chain, &runs, since).await?);
        }
        findings.extend(self.marks("run-open", "open_mark_left").await?);
        findings.extend(self.marks("run-lock", "lock_left").await?);
        Ok(findings)
    }

    /// The run folded from the first event on, and what is wrong with its journal instead.
    ///
    /// # Errors
    /// The store's; [`store::Error::TooNew`] where a later Mayday wrote some of it.
    async fn recompute(&self, run: RunId) -> Result<Result<Recomputed, String>, store::Error> {
        let snapshot = self.store.read(&Key::of(["run", &run.key()])).await?;
        let entries = self.store.scan(&Range::under(&Key::of(["run-event", &run.key()]), EVENTS)).await?;
        let stored: Option<Status> = match snapshot.map(|entry| entry.decode()).transpose() {
            Ok(stored) => stored,
            Err(error @ store::Error::TooNew { .. }) => return Err(error),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut status: Option<Status> = None;
        let mut events = Vec::new();
        for entry in &entries {
            // A record stands under the number of its first event.
            let wanted = events.len();
            if entry.key.last().parse::<usize>().ok() != Some(wanted) {
                return Ok(Err(say::event_missing(wanted)));
            }
            let together = match entry.decode::<Together>() {
                Ok(together) => together.0,
                Err(error @ store::Error::TooNew { .. }) => return Err(error),
                Err(error) => return Ok(Err(error.to_string())),
            };
            for journaled in together {
                match apply(&journaled.event, journaled.at, status.take()) {
                    Ok(next) => status = Some(next),
                    Err(why) => return Ok(Err(say::event_wrong(wanted, &why.to_string()))),
                }
                events.push(journaled.event);
            }
            // The snapshot is an event's, always the last one of a commit.
            if let (Some(folded), Some(stored)) = (&status, &stored)
                && folded.seq == stored.seq
                && says_of(folded) != says_of(stored)
            {
                return Ok(Err(say::status_differs(stored.seq)));
            }
        }
        let Some(status) = status else { return Ok(Err(say::event_missing(0))) };
        // The snapshot was read first, so it can't be ahead of the journal.
        let ahead = stored.filter(|stored| stored.seq > status.seq);
        match ahead {
            Some(stored) => Ok(Err(say::events_cut(status.seq, stored.seq))),
            None => Ok(Ok(Recomputed { status, events })),
        }
    }

    /// A run that goes on is marked as open, or a start would not find it.
    async fn marked(&self, status: &Status) -> Result<Option<Finding>, store::Error> {
        let run = status.head.run;
        if status.ended.is_some() || self.store.read(&Key::of(["run-open", &run.key()])).await?.is_some() {
            return Ok(None);
        }
        // It may have ended between the two looks.
        let goes_on = matches!(self.recompute(run).await?, Ok(now) if now.status.ended.is_none());
        Ok(goes_on.then(|| Finding::new("open_mark_missing", run.to_string(), say::open_mark_missing(run))))
    }

    /// An open run whose time is over is ended by its driver; where nothing has happened since, that stands still. An effect
    /// that is under way may go on until its own deadline.
    async fn stands_still(&self, status: &Status) -> Result<Option<Finding>, store::Error> {
        let run = status.head.run;
        if self.overdue(status).await?.is_none() {
            return Ok(None);
        }
        // It may have gone on between the two looks.
        let Ok(now) = self.recompute(run).await? else { return Ok(None) };
        let due = self.overdue(&now.status).await?;
        Ok(due.map(|due| Finding::new("run_late", run.to_string(), say::run_late(run, due))))
    }

    /// Since when something should have happened to a run.
    async fn overdue(&self, status: &Status) -> Result<Option<Timestamp>, store::Error> {
        // One that waits for another Mayday says so itself.
        if status.ended.is_some() || status.held.is_some() {
            return Ok(None);
        }
        let running = status.tasks.iter().filter(|task| matches!(task.stage, Stage::Running));
        let effects = running.filter_map(|task| task.intent.as_ref()).map(|intent| intent.deadline).max();
        // While a person holds the run nobody is late to approve.
        let asked = status.ask.as_ref().filter(|_| status.paused.is_none()).map(|ask| ask.request.expires);
        // A run that unwinds may ask past its own time: the request's time is then the one that counts.
        let unwinds = status.unwinding.is_some() && asked.is_some();
        let deadline = match self.parts(status).await? {
            Parts::Open => None,
            Parts::Ended(at) => Some(status.head.deadline.max(at)),
            Parts::None => Some(status.head.deadline),
        };
        let due = [asked, effects, deadline.filter(|_| !unwinds)].into_iter().flatten();
        // Until the latest effect is over nothing else need happen; and whatever happened last may have taken long.
        let due = due.min().map(|due| due.max(status.at)).map(|due| due.max(effects.unwrap_or(due)));
        Ok(due.filter(|due| self.is_late(*due)))
    }

    /// How the parts stand that a run waits for: they have times of their own.
    async fn parts(&self, status: &Status) -> Result<Parts, store::Error> {
        let mut ended = None;
        for index in 0..status.tasks.len() {
            let Some(part) = part_of(&self.store, status, index).await? else { continue };
            let end = match self.recompute(part).await {
                Ok(found) => found.ok().and_then(|found| Some(found.status.ended?.at)),
                Err(store::Error::TooNew { .. }) => None,
                Err(error) => return Err(error),
            };
            let Some(end) = end else { return Ok(Parts::Open) };
            ended = ended.max(Some(end));
        }
        Ok(ended.map_or(Parts::None, Parts::Ended))
    }

    /// A mark, or a lock, whose run has ended would hold others up for ever.
    async fn marks(&self, prefix: &str, kind: &'static str) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        for entry in self.store.scan(&Range::under(&Key::of([prefix]), MARKS)).await? {
            let Some(Mark { run }) = readable(entry.decode(), &mut findings)? else { continue };
            let over = match self.recompute(run).await {
                // Told already, by the run.
                Err(store::Error::TooNew { .. }) => continue,
                Err(error) => return Err(error),
                Ok(Ok(found)) => found.status.ended.is_some(),
                // Said as a broken journal, unless there is nothing of the run at all.
                Ok(Err(_)) => self.store.read(&Key::of(["run", &run.key()])).await?.is_none(),
            };
            // It may have been taken away between the two looks.
            let now = self.store.read(&entry.key).await?.map(|now| now.revision);
            if over && now == Some(entry.revision) {
                findings.push(Finding::new(kind, run.to_string(), say::mark_left(run, entry.key.as_str())));
            }
        }
        Ok(findings)
    }

    /// Each decision and each change has its audit record, and each audited change its step.
    async fn audited(&self, chain: &str, runs: &[Recomputed], since: Timestamp) -> Result<Vec<Finding>, store::Error> {
        let first = runs.iter().map(|run| run.status.head.at).min().map_or(since, |first| first.min(since));
        let audit::Since { records, unreadable } = self.audit.since(chain, first, AUDITED).await?;
        let mut findings: Vec<Finding> = unreadable.iter().filter_map(Finding::unreadable).collect();
        // Runs that the audit knows, and nothing else does.
        let known: BTreeSet<String> = runs.iter().map(|run| run.status.head.run.to_string()).collect();
        let named = records.iter().filter(|record| trace_of_record(record).is_some()).map(|record| &record.subject);
        for subject in named.filter(|subject| !known.contains(*subject)).collect::<BTreeSet<_>>() {
            let Ok(run) = subject.parse::<RunId>() else { continue };
            if self.store.read(&Key::of(["run", &run.key()])).await?.is_none() {
                findings.push(Finding::new(
                    "run_missing",
                    subject.clone(),
                    say::run_missing(run, &format!("the audit chain {chain}")),
                ));
            }
        }
        let reaches = match records.last() {
            // What lies before the oldest that was read is not known.
            Some(oldest) if records.len() + unreadable.len() >= AUDITED => oldest.at,
            _ => Timestamp::MIN,
        };
        let mut seen: HashMap<(&str, Trace), i64> = HashMap::new();
        // An erasure's own record is younger than what it erased; a marker that none speaks of is a removal.
        let erasures: BTreeSet<&str> = records
            .iter()
            .filter(|record| record.action == "erase_audit")
            .map(|record| record.subject.as_str())
            .collect();
        let mut erased = 0_i64;
        for record in &records {
            erased += i64::from(record.erased && erasures.contains(format!("{chain}:{}", record.seq).as_str()));
            if let Some(trace) = trace_of_record(record) {
                *seen.entry((record.subject.as_str(), trace)).or_default() += 1;
            }
        }
        for run in runs.iter().filter(|run| run.status.head.at > reaches) {
            let name = run.status.head.run.to_string();
            let wanted = wanted_of(run);
            let missing: i64 = wanted
                .iter()
                .map(|(trace, times)| times - seen.get(&(name.as_str(), trace.clone())).copied().unwrap_or(0))
                .filter(|missing| *missing > 0)
                .sum();
            // Records whose text was erased say no longer what they were; they may be the missing ones.
            if missing > erased {
                let what = wanted.keys().find(|trace| !seen.contains_key(&(name.as_str(), (*trace).clone())));
                let what = what.map_or_else(String::new, |(action, _)| (*action).to_owned());
                let says = say::audit_missing(run.status.head.run, &what, chain);
                findings.push(Finding::new("audit_missing", name.clone(), says));
            } else {
                // Each can be but one of them.
                erased -= missing;
            }
            let more = |wanted: &BTreeMap<Trace, i64>| {
                let mut steps = seen.iter().filter(|((subject, trace), _)| *subject == name && trace.0 == "perform");
                let unknown = steps.find(|((_, trace), times)| **times > wanted.get(trace).copied().unwrap_or(0));
                unknown.map(|((_, (_, key)), _)| key.clone())
            };
            // The audit was read after the journal, which may have grown meanwhile.
            if more(&wanted).is_some()
                && let Ok(now) = self.recompute(run.status.head.run).await?
                && let Some(key) = more(&wanted_of(&now))
            {
                let says = say::step_missing(run.status.head.run, &key);
                findings.push(Finding::new("step_missing", name.clone(), says));
            }
        }
        Ok(findings)
    }
}

/// What a stored status and its journal must agree in. Not in all: what later versions fold beside it is not in what an
/// earlier one has written.
fn says_of(status: &Status) -> (Vec<Stage>, Option<RunOutcome>, Vec<String>, usize, bool) {
    let stages = status.tasks.iter().map(|task| task.stage).collect();
    let votes = status.votes.iter().map(|vote| vote.by.to_string()).collect();
    let outcome = status.ended.as_ref().map(|end| end.outcome);
    (stages, outcome, votes, status.grants.len(), status.rejected.is_some())
}

/// What a run must have left in the audit, and how often.
fn wanted_of(run: &Recomputed) -> BTreeMap<Trace, i64> {
    let mut wanted = BTreeMap::new();
    for trace in run.events.iter().filter_map(|event| trace_of_event(event, &run.status)) {
        *wanted.entry(trace).or_default() += 1;
    }
    wanted
}

/// What an event of a journal must have left in the audit.
fn trace_of_event(event: &Event, status: &Status) -> Option<Trace> {
    match event {
        Event::Voted { vote } => Some(("approve", vote.by.to_string())),
        Event::GlassBroken { vote } => Some(("break_glass", vote.by.to_string())),
        Event::Allowed { policy, .. } => Some(("allow", redact(&policy.id).into_owned())),
        Event::Rejected { by, .. } => Some(("reject", by.to_string())),
        Event::Started { task, intent, .. } => {
            let changes = status.head.tasks.iter().any(|head| head.id == *task && head.changes);
            // As the audit keeps it: a task's id may look like a secret.
            let key = redact(&intent.idempotency_key);
            changes.then(|| ("perform", format!("{key}/{}", intent.attempt)))
        }
        _ => None,
    }
}

/// The same from the audit's side.
fn trace_of_record(record: &audit::Entry) -> Option<Trace> {
    let actor = || record.actor.as_ref().and_then(|actor| actor.person()).map(ToString::to_string).unwrap_or_default();
    match record.action.as_str() {
        "approve" => Some(("approve", actor())),
        "reject" => Some(("reject", actor())),
        "break_glass" => Some(("break_glass", actor())),
        "allow" => Some(("allow", record.detail["policy"].as_str()?.to_owned())),
        // Undoing is performing, too.
        "perform" | "undo" => {
            let (key, attempt) = (record.detail["idempotency_key"].as_str()?, record.detail["attempt"].as_u64()?);
            Some(("perform", format!("{key}/{attempt}")))
        }
        _ => None,
    }
}

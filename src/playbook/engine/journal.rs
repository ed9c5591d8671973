//! A run's journal in the store: one record per commit, and now and then the status folded from them.
//!
//! `run-event/<n>/<seq>` is the truth: the events of one commit, under the number of the first. `run/<n>` is the status as of some event, rewritten when the run's own state changes
//! and every sixteenth event, unless it is too large to be written at once: reading a run folds what came after it. So a step costs one small record (the outcome of one task and the
//! intent of the next are decided together), not a whole status.

use serde::{Deserialize, Serialize};

use crate::core::{RunId, Timestamp};
use crate::playbook::run::{Event, FailureKind, Given, Status, TaskPlan, TaskStatus, apply};
use crate::store::{self, Batch, Key, Range, Record, SharedStore, Write};

/// The status is rewritten at least every so many events.
const SNAPSHOT_EVERY: u64 = 16;

/// A larger status is not written, bytes: the events suffice, and the store takes no batch of any size.
const SNAPSHOT_MOST: usize = 1024 * 1024;

/// One event with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journaled {
    /// When it was decided.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// The events of one commit, in order: one record, since the store's price is per key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Together(pub Vec<Journaled>);

impl Record for Together {
    const VERSION: u32 = 3;
    const READS_SINCE: u32 = 2;

    /// Since 3 a plan says how a task undoes the change, which its digest covers: a Mayday before would find no approval. And
    /// there are standing policies, and failures that people report, of which it knows nothing.
    fn version(&self) -> u32 {
        let says = |journaled: &Journaled| match &journaled.event {
            Event::Planned { plan, .. } | Event::Moved { plan, .. } => plan.rollback.is_some(),
            Event::Cancelled { reopens, .. } => *reopens,
            Event::Allowed { .. } | Event::Failed { kind: FailureKind::Reported, .. } => true,
            _ => false,
        };
        if self.0.iter().any(says) { Self::VERSION } else { 2 }
    }

    fn upgrade(_: u32, value: serde_json::Value) -> Result<serde_json::Value, String> {
        // Before, each event was a record of its own.
        Ok(serde_json::Value::Array(vec![value]))
    }
}
impl Record for Status {
    const VERSION: u32 = 2;
    const READS_SINCE: u32 = 1;

    /// As its journal: since 2 a plan says how a task undoes the change, a standing policy may have given the right, and a
    /// person may have said that a task failed.
    fn version(&self) -> u32 {
        let says = |plan: &Option<TaskPlan>| plan.as_ref().is_some_and(|plan| plan.rollback.is_some());
        let reported = |task: &TaskStatus| task.failure == Some(FailureKind::Reported);
        let task =
            |task: &TaskStatus| reported(task) || says(&task.plan) || task.earlier.iter().any(|done| says(&done.plan));
        let allowed = self.grants.iter().any(|grant| grant.given != Given::ByVotes);
        if allowed || self.tasks.iter().any(task) { Self::VERSION } else { 1 }
    }
}

/// Where a run's folded status stands.
pub fn status_key(run: RunId) -> Key {
    Key::of(["run", &run.key()])
}

/// Where the events of a commit stand, by the number of the first of them; a run's first is 0.
pub fn event_key(run: RunId, seq: u64) -> Key {
    Key::of(["run-event", &run.key(), &format!("{seq:010}")])
}

/// Marks a run that has not ended, so that a start finds it without reading all.
pub fn open_key(run: RunId) -> Key {
    Key::of(["run-open", &run.key()])
}

/// Whether the status is worth writing after these events.
pub fn wants_snapshot(events: &[Journaled], before: u64) -> bool {
    let after = before + events.len() as u64;
    before / SNAPSHOT_EVERY != after / SNAPSHOT_EVERY || events.iter().any(|journaled| journaled.event.task().is_none())
}

/// Writes the status with a batch, unless it is too large for that: then the run is folded from its events.
///
/// # Errors
/// [`store::Error::Encode`].
pub fn put_snapshot(batch: &mut Batch, status: &Status) -> Result<(), store::Error> {
    batch.put(status_key(status.head.run), status)?;
    if matches!(batch.writes.last(), Some(Write::Put(_, value)) if value.len() > SNAPSHOT_MOST) {
        batch.writes.pop();
    }
    Ok(())
}

/// A run as the journal has it.
///
/// # Errors
/// The store's; [`store::Error::Corrupt`] when the journal does not fold.
pub async fn load(store: &SharedStore, run: RunId) -> Result<Option<Status>, store::Error> {
    let mut status = match store.read(&status_key(run)).await? {
        Some(entry) => entry.decode::<Status>()?,
        None => return Ok(None),
    };
    let prefix = Key::of(["run-event", &run.key()]);
    loop {
        let mut range = Range::under(&prefix, 500);
        range.from = event_key(run, status.seq);
        let events = store.scan(&range).await?;
        for entry in &events {
            for journaled in entry.decode::<Together>()?.0 {
                status = apply(&journaled.event, journaled.at, Some(status))
                    .map_err(|illegal| store::Error::Corrupt { key: entry.key.clone(), why: illegal.to_string() })?;
            }
        }
        if events.len() < 500 {
            return Ok(Some(status));
        }
    }
}

/// Every event of a run, oldest first.
///
/// # Errors
/// The store's.
pub async fn events(store: &SharedStore, run: RunId) -> Result<Vec<Journaled>, store::Error> {
    let range = Range::under(&Key::of(["run-event", &run.key()]), 100_000);
    let mut events = Vec::new();
    for entry in store.scan(&range).await? {
        events.extend(entry.decode::<Together>()?.0);
    }
    Ok(events)
}

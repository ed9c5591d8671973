//! One commit of a run: its events, the status when it is worth it, notices, audit, and the fences.

use std::sync::atomic::Ordering;

use super::journal::{Journaled, Together, event_key, open_key, put_snapshot, wants_snapshot};
use super::share::Taken;
use super::standing::Count;
use super::{Shared, shard_of};
use crate::access::AuditRecord;
use crate::playbook::RunChanged;
use crate::playbook::notices::Notice;
use crate::playbook::run::Status;
use crate::playbook::view::Decided;
use crate::store::{self, Batch};
use crate::work::Lease;

/// What one commit writes.
#[derive(Debug, Default)]
pub struct Pending {
    /// Events, in order.
    pub events: Vec<Journaled>,
    /// Things to tell.
    pub notices: Vec<Notice>,
    /// Things to audit.
    pub audit: Vec<AuditRecord>,
    /// What standing policies have allowed with this.
    pub(super) counts: Vec<Count>,
    /// Orders of other replicas that this carries out, with their answers.
    pub taken: Vec<(Taken, Decided)>,
}

impl Pending {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// Why a run's task can't go on.
#[derive(Debug)]
pub enum Lost {
    /// The process is to die here, on purpose.
    Crashed,
    /// Another process has taken the shard over.
    Lease,
    /// The store did not take it, or it is not known whether it did: read again what there is.
    Store(store::Error),
    /// What follows does not fit the run: a mistake in Mayday.
    Illegal(String),
}

/// Writes what is pending. `status` is the one after it. Returns when it is durable.
pub async fn commit(shared: &Shared, lease: &Lease, status: &Status, pending: &Pending) -> Result<(), Lost> {
    commit_with(shared, lease, Batch::new(), status, pending).await
}

/// The same with more in one batch.
pub async fn commit_with(
    shared: &Shared,
    lease: &Lease,
    batch: Batch,
    status: &Status,
    pending: &Pending,
) -> Result<(), Lost> {
    let first = status.seq - pending.events.len() as u64;
    let records = first..status.seq;
    if shared.crashed.load(Ordering::SeqCst) {
        return Err(Lost::Crashed);
    }
    if shared.tools.faults.before(&records) {
        shared.crash();
        return Err(Lost::Crashed);
    }
    let snapshot = wants_snapshot(&pending.events, first);
    let mut committed = write(shared, lease, batch.clone(), status, pending, snapshot).await;
    if snapshot && matches!(committed, Err(store::Error::TooLarge { .. })) {
        // The events alone are the truth; nothing was written yet.
        committed = write(shared, lease, batch, status, pending, false).await;
    }
    match committed {
        Ok(_) => {}
        Err(store::Error::Conflict(key)) if key == lease.key => return Err(Lost::Lease),
        Err(error) => return Err(Lost::Store(error)),
    }
    pending.counts.iter().for_each(Count::tell);
    metrics::counter!("mayday_playbook_journal_records_total").increment(pending.events.len() as u64);
    if let Some(end) = &status.ended {
        let outcome = serde_json::to_value(end.outcome).ok().and_then(|word| word.as_str().map(str::to_owned));
        metrics::counter!("mayday_runs_ended_total", "outcome" => outcome.unwrap_or_default()).increment(1);
    }
    if shared.tools.faults.after(&records) {
        shared.crash();
        return Err(Lost::Crashed);
    }
    Ok(())
}

async fn write(
    shared: &Shared,
    lease: &Lease,
    batch: Batch,
    status: &Status,
    pending: &Pending,
    snapshot: bool,
) -> Result<store::Revision, store::Error> {
    let batch = filled(batch, shared, lease, status, pending, snapshot)?;
    if pending.audit.is_empty() {
        shared.parts.store.commit(batch).await
    } else {
        // In the chain of the shard: runs of other shards don't wait for it.
        shared.parts.audit.commit_all(&format!("run-{}", lease.shard.key()), batch, &pending.audit).await
    }
}

fn filled(
    mut batch: Batch,
    shared: &Shared,
    lease: &Lease,
    status: &Status,
    pending: &Pending,
    snapshot: bool,
) -> Result<Batch, store::Error> {
    let head = &status.head;
    let shard = shard_of(head.run);
    let first = status.seq - pending.events.len() as u64;
    lease.guard(&mut batch);
    batch.require_absent(event_key(head.run, first));
    batch.put(event_key(head.run, first), &Together(pending.events.clone()))?;
    if snapshot {
        put_snapshot(&mut batch, status)?;
    }
    if status.ended.is_some() {
        batch.delete(open_key(head.run));
        if let Some(lock) = &head.lock {
            batch.delete(super::propose::lock_key(lock));
        }
    }
    super::propose::count(&mut batch, status, &pending.events)?;
    for count in &pending.counts {
        count.write(&mut batch)?;
    }
    for notice in &pending.notices {
        shared.notices.tell(&mut batch, shard, notice)?;
    }
    for (taken, decided) in &pending.taken {
        taken.settle(shared, &mut batch, decided)?;
    }
    shared.changed.push(&mut batch, shard, &RunChanged { run: head.run, incident: head.incident })?;
    Ok(batch)
}

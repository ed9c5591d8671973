//! A run whose records can't be read, or whose playbook is gone: it ends as stuck in one commit, which lets go of what the
//! run holds and tells people. What stands in its journal stays there, for whoever looks.

use super::journal::{self, Journaled, Together, event_key, open_key, put_snapshot, status_key};
use super::propose::Made;
use super::{Shared, shard_of};
use crate::core::RunId;
use crate::core::message::playbook as say;
use crate::playbook::RunChanged;
use crate::playbook::notices;
use crate::playbook::run::{End, Event, FailureKind, Stage, Status, apply};
use crate::playbook::view::RunOutcome;
use crate::store::{self, Batch, Key, Range, SharedStore, Write};

/// Ends a run that can't go on.
///
/// # Errors
/// The store's; nothing was written then.
pub async fn end(shared: &Shared, run: RunId, why: &str) -> Result<(), store::Error> {
    let store = &shared.parts.store;
    let shard = shard_of(run);
    let now = shared.parts.clock.now();
    let why = why.to_owned();
    let mut batch = Batch::new();
    // Another process's: that one ends it.
    let Some(lease) = shared.parts.leases.of(shard) else { return Ok(()) };
    lease.guard(&mut batch);
    batch.delete(open_key(run));
    for lock in locks(store, run).await? {
        batch.delete(lock);
    }
    let is_snapshot = |write: &&Write| matches!(write, Write::Put(key, _) if *key == status_key(run));
    let mut incident = None;
    let mut playbook = run.to_string();
    if let Ok(Some(mut status)) = journal::load(store, run).await {
        // All of it can be read: it ends like any other, with what was under way left as it is known.
        let first = status.seq;
        let mut events = under_way(&status, &why);
        events.push(Event::Ended { outcome: RunOutcome::Stuck, why: why.clone() });
        let mut together = Vec::new();
        for event in events {
            status
                .step(&event, now)
                .map_err(|illegal| store::Error::Corrupt { key: status_key(run), why: illegal.to_string() })?;
            together.push(Journaled { at: now, event });
        }
        batch.require_absent(event_key(run, first));
        batch.put(event_key(run, first), &Together(together))?;
        put_snapshot(&mut batch, &status)?;
        incident = status.head.incident;
        playbook = status.head.playbook;
    } else if let Some(mut status) = readable(store, run).await? {
        let seq = last(store, run).await?.map_or(status.seq, |last| last + 1).max(status.seq);
        let event = Event::Ended { outcome: RunOutcome::Stuck, why: why.clone() };
        batch.require_absent(event_key(run, seq));
        batch.put(event_key(run, seq), &Together(vec![Journaled { at: now, event }]))?;
        // Past all that can't be folded, so that the run can be looked at from now on.
        status.seq = seq + 1;
        status.at = now;
        status.ask = None;
        status.ended = Some(End { outcome: RunOutcome::Stuck, why: why.clone(), at: now });
        batch.put(status_key(run), &status)?;
        incident = status.head.incident;
        playbook = status.head.playbook;
    }
    shared.notices.tell(&mut batch, shard, &notices::ended(run, incident, playbook, &why))?;
    shared.changed.push(&mut batch, shard, &RunChanged { run, incident })?;
    let lean =
        Batch { writes: batch.writes.iter().filter(|write| !is_snapshot(write)).cloned().collect(), ..batch.clone() };
    match store.commit(batch).await {
        // The events alone tell the same.
        Err(store::Error::TooLarge { .. }) => store.commit(lean).await?,
        committed => committed?,
    };
    metrics::counter!("mayday_runs_ended_total", "outcome" => "stuck").increment(1);
    Ok(())
}

/// What becomes of what was under way: of a change a person must say whether it happened.
fn under_way(status: &Status, why: &str) -> Vec<Event> {
    let running = status.tasks.iter().zip(&status.head.tasks).filter(|(task, _)| task.stage == Stage::Running);
    running
        .map(|(_, head)| {
            let task = head.id.clone();
            if head.changes {
                let why = say::in_doubt(&task, why);
                return Event::Doubted { task, why };
            }
            let why = why.to_owned();
            Event::Failed { task, kind: FailureKind::Permanent, why, retry_at: None, output: None }
        })
        .collect()
}

/// The run as far as it can be read: its folded status, else what its first events say.
async fn readable(store: &SharedStore, run: RunId) -> Result<Option<Status>, store::Error> {
    if let Some(entry) = store.read(&status_key(run)).await?
        && let Ok(status) = entry.decode::<Status>()
    {
        return Ok(Some(status));
    }
    let mut status = None;
    for entry in store.scan(&Range::under(&Key::of(["run-event", &run.key()]), 10_000)).await? {
        let Ok(together) = entry.decode::<Together>() else { break };
        for journaled in together.0 {
            match apply(&journaled.event, journaled.at, status.clone()) {
                Ok(next) => status = Some(next),
                Err(_) => return Ok(status),
            }
        }
    }
    Ok(status)
}

/// The number under which the newest events stand.
async fn last(store: &SharedStore, run: RunId) -> Result<Option<u64>, store::Error> {
    let newest = store.scan(&Range::under(&Key::of(["run-event", &run.key()]), 1).backward()).await?;
    Ok(newest.first().and_then(|entry| entry.key.last().parse().ok()))
}

/// The locks that a run holds, found without its head.
async fn locks(store: &SharedStore, run: RunId) -> Result<Vec<Key>, store::Error> {
    let all = store.scan(&Range::under(&Key::of(["run-lock"]), 20_000)).await?;
    let of_run = |entry: &&store::Entry| entry.decode::<Made>().is_ok_and(|made| made.run == run);
    Ok(all.iter().filter(of_run).map(|entry| entry.key.clone()).collect())
}

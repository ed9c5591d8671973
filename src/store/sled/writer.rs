//! The one thread that writes: group commit.
//!
//! Takes one request and all that wait with it (bounded), checks each one's conditions against what stands there and what
//! the group has written so far, appends all that hold to the write-ahead log as one record, syncs, makes them visible, and
//! answers. With more load the groups grow by themselves; with little load a commit waits for nobody. When enough has come
//! together the writer hands it to the settler (`settle.rs`), and waits for it only when far more has come meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, mpsc as channel};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::super::{Batch, Condition, Error, Key, Revision, Write};
use super::recent::{Layer, Value};
use super::settle::Settle;
use super::wal::Wal;
use super::{MOST_BYTES, Options, Shared, layout, unavailable};

/// At most so many requests in a group: bounds how long the first of them waits.
const GROUP: usize = 4_096;
/// So many times what is handed over may come together before commits wait for the settler.
const AHEAD: usize = 2;

/// The log may be so many times as large as what is held in memory before it is handed over.
const LOG: usize = 2;

/// What a commit is told.
type Answer = Result<Revision, Error>;

/// One commit that waits.
pub(super) struct Request {
    pub batch: Batch,
    pub bytes: usize,
    pub done: oneshot::Sender<Answer>,
}

/// The writer's own state; nobody else writes.
pub(super) struct Writer {
    shared: Arc<Shared>,
    wal: Wal,
    requests: mpsc::Receiver<Request>,
    group_bytes: usize,
    recent_bytes: usize,
    last: u64,
    settler: channel::SyncSender<Settle>,
    settled: channel::Receiver<()>,
    settling: bool,
}

/// A write of a group: the commit that made it, and the value; none where the key is deleted.
type Written = (Revision, Option<Vec<u8>>);

/// What a group has decided so far.
#[derive(Default)]
struct Group {
    /// Each key's newest write of this group.
    writes: HashMap<Key, Written>,
    /// Who is to be told what, in the order they came.
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        wal: Wal,
        last: u64,
        requests: mpsc::Receiver<Request>,
        (settler, settled): (channel::SyncSender<Settle>, channel::Receiver<()>),
        options: &Options,
    ) -> Self {
        let group_bytes = options.group_bytes.clamp(1, MOST_BYTES);
        let recent_bytes = options.recent_bytes;
        Self { shared, wal, requests, group_bytes, recent_bytes, last, settler, settled, settling: false }
    }

    /// Runs until every sender is gone.
    pub fn run(mut self) {
        // A request that would make the group too large waits for the next one.
        let mut over: Option<Request> = None;
        while let Some(first) = over.take().or_else(|| self.requests.blocking_recv()) {
            let started = Instant::now();
            let mut group = Group::default();
            let mut bytes = first.bytes;
            self.decide(&mut group, first);
            while bytes < self.group_bytes && group.answers.len() < GROUP {
                let Ok(next) = self.requests.try_recv() else { break };
                if bytes + next.bytes > self.group_bytes {
                    over = Some(next);
                    break;
                }
                bytes += next.bytes;
                self.decide(&mut group, next);
            }
            let commits = group.answers.len();
            self.finish(group);
            metrics::counter!("mayday_store_commits_total").increment(commits as u64);
            metrics::counter!("mayday_store_groups_total").increment(1);
            metrics::histogram!("mayday_store_group_seconds").record(started.elapsed().as_secs_f64());
            if let Err(error) = self.hand_over() {
                self.shared.fail(&error);
            }
        }
    }

    /// Checks one request's conditions and adds its writes to the group.
    fn decide(&mut self, group: &mut Group, request: Request) {
        let Request { batch, done, .. } = request;
        if let Some(why) = self.shared.failed.get() {
            // The asker may be gone.
            let _ = done.send(Err(Error::Unavailable(why.clone())));
            return;
        }
        let answer = self.check(group, &batch.conditions).map(|()| {
            self.last += 1;
            let revision = Revision(self.last);
            for write in batch.writes {
                match write {
                    Write::Put(key, value) => group.writes.insert(key, (revision, Some(value))),
                    Write::Delete(key) => group.writes.insert(key, (revision, None)),
                };
            }
            revision
        });
        group.answers.push((done, answer));
    }

    fn check(&self, group: &Group, conditions: &[Condition]) -> Result<(), Error> {
        for condition in conditions {
            let (key, wanted) = match condition {
                Condition::Absent(key) => (key, None),
                Condition::Unchanged(key, revision) => (key, Some(*revision)),
            };
            let found = match group.writes.get(key) {
                Some((revision, value)) => value.as_ref().map(|_| *revision),
                None => self.stands(key)?,
            };
            if found != wanted {
                return Err(Error::Conflict(key.clone()));
            }
        }
        Ok(())
    }

    /// The revision of what stands at a key.
    fn stands(&self, key: &Key) -> Result<Option<Revision>, Error> {
        let recent = self.shared.recent.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = recent.get(key) {
            return Ok(value.as_ref().map(|(revision, _)| *revision));
        }
        let stored = self.shared.tree.get(key.as_str()).map_err(|error| unavailable(&error))?;
        stored.map(|stored| layout::revision(key, &stored)).transpose()
    }

    /// Makes the group durable, then visible, and answers. Conflicts are answered last as well: who reads again then sees
    /// what won.
    fn finish(&mut self, group: Group) {
        let revision = Revision(self.last);
        let decided = group.answers.iter().any(|(_, answer)| answer.is_ok());
        if decided {
            let syncing = Instant::now();
            let writes = group.writes.iter().map(|(key, (revision, value))| (key, *revision, value.as_deref()));
            if let Err(error) = self.wal.append(revision, writes) {
                let error = self.shared.fail(&error);
                for (done, _) in group.answers {
                    let _ = done.send(Err(error.clone()));
                }
                return;
            }
            metrics::histogram!("mayday_store_sync_seconds").record(syncing.elapsed().as_secs_f64());
        }
        let keys: Vec<Key> = group.writes.keys().cloned().collect();
        self.shared.set(group.writes.into_iter().map(|(key, (revision, value))| {
            let value: Value = value.map(|mut value| {
                // The encoder leaves up to as much again.
                value.shrink_to_fit();
                (revision, value)
            });
            (key, value)
        }));
        self.shared.watchers.wake(keys.iter().map(Key::as_str), revision);
        for (done, answer) in group.answers {
            let _ = done.send(answer);
        }
    }

    /// Gives what has come together to the settler, if there is enough of it.
    fn hand_over(&mut self) -> Result<(), Error> {
        let held = self.shared.recent.read().unwrap_or_else(PoisonError::into_inner).newer.bytes;
        metrics::gauge!("mayday_store_recent_bytes").set(held as f64);
        // What is written over and over, or made and done away with, takes no more memory, but the log grows with it.
        let size = held.max(self.wal.bytes / LOG);
        if size < self.recent_bytes || self.shared.failed.get().is_some() {
            return Ok(());
        }
        if self.settling {
            let done = match size / AHEAD >= self.recent_bytes {
                true => self.settled.recv().is_ok(),
                false => self.settled.try_recv().is_ok(),
            };
            if !done {
                return Ok(());
            }
        }
        let up_to = self.wal.next()?;
        let layer = {
            let mut recent = self.shared.recent.write().unwrap_or_else(PoisonError::into_inner);
            let layer: Arc<Layer> = Arc::new(std::mem::take(&mut recent.newer));
            recent.older = Some(layer.clone());
            layer
        };
        // The settler ends after a failure only; that is said then.
        self.settling = self.settler.send(Settle { layer, last: self.last, up_to }).is_ok();
        Ok(())
    }
}

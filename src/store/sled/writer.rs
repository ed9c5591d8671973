//! The one thread that writes: group commit.
//!
//! Takes one request and all that wait with it (bounded), checks each one's conditions against the tree and what the
//! group has written so far, applies all that hold as one atomic sled batch, flushes, syncs, and answers. With more load
//! the groups grow by themselves; with little load a commit waits for nobody.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::super::{Batch, Condition, Error, Key, Revision, Write};
use super::disk::Disk;
use super::{MOST_BYTES, Options, Shared, layout, unavailable};

/// Revisions are promised to the disk in blocks, so that the counter is not written with each commit.
const BLOCK: u64 = 1 << 20;
/// At most so many requests in a group: bounds how long the first of them waits.
const GROUP: usize = 4_096;

/// Lets sled free the page versions that a group replaced. It defers that to its epoch collector, which a thread that
/// writes thousands of keys under few pins hardly ever runs: memory and disk then grow by a kilobyte for each write
/// (measured: 600,000 writes over 2,500 keys took 950 MB of memory and 390 MB of disk; with this, 13 MB and 10 MB).
fn collect(writes: usize) {
    for _ in 0..4 + writes / 128 {
        ::sled::pin().flush();
    }
}

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
    disk: Disk,
    requests: mpsc::Receiver<Request>,
    group_bytes: usize,
    last: u64,
    /// Revisions up to this one may be given out before it has to be raised.
    ceiling: u64,
    /// Why nothing is taken any more.
    failed: Option<Error>,
}

/// What a group has decided so far.
#[derive(Default)]
struct Group {
    /// Each key's newest value of this group and its revision; none where it is deleted.
    writes: HashMap<Key, Option<(Revision, Vec<u8>)>>,
    /// Who is to be told what, in the order they came.
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        disk: Disk,
        requests: mpsc::Receiver<Request>,
        options: &Options,
    ) -> Result<Self, Error> {
        let stored = shared.tree.get(layout::CEILING).map_err(|error| unavailable(&error))?;
        let last = match stored {
            Some(bytes) => u64::from_be_bytes(bytes.as_ref().try_into().map_err(|_| Error::Corrupt {
                key: Key::stored("(revisions)".to_owned()),
                why: format!("{} bytes", bytes.len()),
            })?),
            None => 0,
        };
        let group_bytes = options.group_bytes.clamp(1, MOST_BYTES);
        Ok(Self { shared, disk, requests, group_bytes, last, ceiling: last, failed: None })
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
            let (commits, writes) = (group.answers.len(), group.writes.len());
            self.finish(group);
            collect(writes);
            metrics::counter!("mayday_store_commits_total").increment(commits as u64);
            metrics::counter!("mayday_store_groups_total").increment(1);
            metrics::histogram!("mayday_store_group_seconds").record(started.elapsed().as_secs_f64());
        }
    }

    /// Checks one request's conditions and adds its writes to the group.
    fn decide(&mut self, group: &mut Group, request: Request) {
        let Request { batch, done, .. } = request;
        if let Some(error) = &self.failed {
            // The asker may be gone.
            let _ = done.send(Err(error.clone()));
            return;
        }
        let answer = self.check(group, &batch.conditions).map(|()| {
            self.last += 1;
            let revision = Revision(self.last);
            for write in batch.writes {
                match write {
                    Write::Put(key, value) => group.writes.insert(key, Some((revision, value))),
                    Write::Delete(key) => group.writes.insert(key, None),
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
                Some(written) => written.as_ref().map(|(revision, _)| *revision),
                None => match self.shared.tree.get(key.as_str()).map_err(|error| unavailable(&error))? {
                    Some(stored) => Some(layout::revision(key, &stored)?),
                    None => None,
                },
            };
            if found != wanted {
                return Err(Error::Conflict(key.clone()));
            }
        }
        Ok(())
    }

    /// Makes the group durable and answers. Conflicts are answered last as well: who reads again then sees what won.
    fn finish(&mut self, group: Group) {
        if (!group.writes.is_empty() || self.last > self.ceiling)
            && let Err(error) = self.write(&group.writes)
        {
            tracing::error!(%error, "the store takes no more commits until Mayday is started again");
            metrics::counter!("mayday_store_failures_total").increment(1);
            let error = Error::Unavailable(format!("an earlier write failed, start Mayday again: {error}"));
            self.failed = Some(error.clone());
            // The writer fails once only.
            let _ = self.shared.failed.set(error.to_string());
            for (done, _) in group.answers {
                let _ = done.send(Err(error.clone()));
            }
            return;
        }
        let revision = Revision(self.last);
        for (done, answer) in group.answers {
            let _ = done.send(answer);
        }
        self.shared.watchers.wake(group.writes.keys().map(Key::as_str), revision);
    }

    fn write(&mut self, writes: &HashMap<Key, Option<(Revision, Vec<u8>)>>) -> Result<(), Error> {
        let mut batch = ::sled::Batch::default();
        for (key, value) in writes {
            let chunks = match value {
                Some((revision, value)) => layout::put(&mut batch, key, *revision, value),
                None => {
                    batch.remove(key.as_str());
                    0
                }
            };
            // Applying needs the page anyway, so looking at what stood there costs little.
            let before = match self.shared.tree.get(key.as_str()).map_err(|error| unavailable(&error))? {
                Some(stored) => layout::chunks(key, &stored)?,
                None => 0,
            };
            for number in chunks..before {
                batch.remove(layout::chunk_key(key, number));
            }
        }
        if self.last > self.ceiling {
            self.ceiling = self.last + BLOCK;
            batch.insert(layout::CEILING, &self.ceiling.to_be_bytes());
        }
        self.apply(batch)?;
        self.flush()?;
        let syncing = Instant::now();
        self.disk.sync()?;
        metrics::histogram!("mayday_store_sync_seconds").record(syncing.elapsed().as_secs_f64());
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that flushes; the sync follows it")]
    fn flush(&self) -> Result<(), Error> {
        self.shared.tree.flush().map(drop).map_err(|error| unavailable(&error))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that applies; `write` flushes and syncs right after it"
    )]
    fn apply(&self, batch: ::sled::Batch) -> Result<(), Error> {
        let _alone = self.shared.visible.write().unwrap_or_else(PoisonError::into_inner);
        self.shared.tree.apply_batch(batch).map_err(|error| unavailable(&error))
    }
}

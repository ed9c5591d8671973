//! The loop that hands due items of a queue to their handler, shard by shard.
//!
//! Shards run beside each other (bounded), each one item list at a time and in a task of its own, so a slow shard holds
//! nobody up, also if it keeps the processor busy. What goes wrong
//! with the store is tried again; what goes wrong with an item (it can't be read, its handler fails or panics on it alone)
//! is put off with growing pauses and given up after [`TRIES`].

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use super::heads::Heads;
use super::{Lease, Leases, Queue, Queued, Shard};
use crate::core::stop::Stop;
use crate::core::{BoxFuture, Timestamp};
use crate::store::{self, Entry, Key, Record};

/// How many items a handler gets at once.
const AT_ONCE: usize = 512;
/// How many shards are handled at the same time.
const SHARDS_AT_ONCE: usize = 8;
/// A queue is looked at this often even if nothing wakes the loop.
const POLL: Duration = Duration::from_secs(1);
/// Conflicts in a row that are tried again at once; after that with pauses, since the lease may be lost.
const CONFLICTS_AT_ONCE: u32 = 10;
/// The pause after the store failed: doubled from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// An item that fails so often is given up.
pub const TRIES: u32 = 5;
/// The first pause of an item that failed; doubled each time.
const ITEM_PAUSE: Duration = Duration::from_secs(1);
/// An item that speaks of a record of a later Mayday comes again after so long: by then a replica of that one may hold the shard.
const NEWER_PAUSE: Duration = Duration::from_secs(5);
/// An item of a later Mayday is looked at again after so long.
const TOO_NEW_PAUSE: Duration = Duration::from_secs(60);

/// Does what a queue's items say.
pub trait Handler<T>: Send + Sync + 'static {
    /// Handles items of one shard, in order. It commits itself: the change and the items' removal in one batch, guarded
    /// by the lease. Items it leaves in the queue come again.
    ///
    /// # Errors
    /// The store's: a conflict is tried again at once, an unavailable store after a pause. Any other error counts
    /// against the item: it is found by handling them one by one, put off, and given up after [`TRIES`].
    fn handle<'a>(&'a self, lease: &'a Lease, items: Vec<Queued<T>>) -> BoxFuture<'a, Result<(), store::Error>>;
}

/// What the loop remembers of a shard.
#[derive(Default)]
struct Past {
    /// The item that stood first when the shard was last handled without an error: if it still does, it was left there.
    handled: Option<Key>,
    conflicts: u32,
    failures: u32,
    not_before: Option<Timestamp>,
}

/// Serves a queue until asked to stop; handlers that run then are waited for.
pub async fn serve<T: Record + Clone>(
    queue: Queue<T>,
    leases: Arc<Leases>,
    clock: crate::core::SharedClock,
    handler: Arc<dyn Handler<T>>,
    stop: Stop,
) {
    let mut changed = queue.watch();
    let mut past: HashMap<Shard, Past> = HashMap::new();
    let mut busy: HashSet<Shard> = HashSet::new();
    let mut running = JoinSet::new();
    let mut gained = leases.watch();
    let mut heads = Heads::new(queue.clone());
    let mut looked = clock.now();
    while !stop.is_set() {
        let now = clock.now();
        let mut next = now + POLL;
        if now.duration_since(looked).unsigned_abs() >= POLL {
            heads.look_everywhere();
            looked = now;
        }
        match heads.look().await {
            Ok(mut heads) => {
                // Who waited longest goes first: a shard whose items keep coming must not stand before the others for ever.
                heads.sort_by_key(|(_, _, due)| *due);
                for (shard, key, due) in heads {
                    // Another process's.
                    let Some(lease) = leases.of(shard) else { continue };
                    let seen = past.entry(shard).or_default();
                    let from = seen.not_before.map_or(due, |not_before| due.max(not_before));
                    if busy.contains(&shard) || seen.handled.as_ref() == Some(&key) {
                        continue;
                    }
                    if from > now {
                        next = next.min(from);
                    } else if running.len() < SHARDS_AT_ONCE {
                        busy.insert(shard);
                        let (queue, handler) = (queue.clone(), handler.clone());
                        let handled = async move {
                            let result = AssertUnwindSafe(shard_once(&queue, &lease, &*handler));
                            let result = result.catch_unwind().await.unwrap_or_else(|_| {
                                Err(store::Error::Unavailable("reading the queue ended with a panic".to_owned()))
                            });
                            (lease, key, result)
                        };
                        // A task of its own: a handler that computes for long holds up neither this loop nor other shards.
                        running.spawn(handled);
                    }
                }
            }
            Err(error) => tracing::warn!(queue = queue.name(), %error, "the queue can't be read"),
        }
        let wait = Duration::try_from(next.duration_since(now)).unwrap_or(POLL).max(Duration::from_millis(1));
        tokio::select! {
            () = stop.wait() => {}
            Some(Ok((lease, key, result))) = running.join_next(), if !running.is_empty() => {
                let now = clock.now();
                let mut ended = Some((lease, key, result));
                // All that have ended make room at once: each look costs a read.
                while let Some((lease, key, result)) = ended {
                    busy.remove(&lease.shard);
                    past.entry(lease.shard).or_default().learn(queue.name(), &lease, key, result, now);
                    ended = running.try_join_next().and_then(Result::ok);
                }
            }
            () = changed.changed() => forget_left(&mut past),
            // Its sender lives as long as the leases.
            Ok(()) = gained.changed() => forget_left(&mut past),
            () = clock.sleep(wait) => forget_left(&mut past),
        }
    }
    while running.join_next().await.is_some() {}
}

/// Items that were left in the queue are offered again.
fn forget_left(past: &mut HashMap<Shard, Past>) {
    for seen in past.values_mut() {
        seen.handled = None;
    }
}

impl Past {
    fn learn(
        &mut self,
        queue: &'static str,
        lease: &Lease,
        first: Key,
        result: Result<(), store::Error>,
        now: Timestamp,
    ) {
        let (conflicts, failures) = (self.conflicts, self.failures);
        *self = Self::default();
        let error = match result {
            Ok(()) => {
                self.handled = Some(first);
                return;
            }
            Err(store::Error::Conflict(key)) if conflicts < CONFLICTS_AT_ONCE && key != lease.key => {
                self.conflicts = conflicts + 1;
                tracing::debug!(queue, shard = lease.shard.0, %key, "conflict; reading again");
                return;
            }
            Err(error) => error,
        };
        self.conflicts = conflicts;
        self.failures = failures.saturating_add(1);
        let pause = PAUSES.0.saturating_mul(1 << failures.min(10)).min(PAUSES.1);
        self.not_before = Some(now + pause);
        metrics::counter!("mayday_work_failures_total", "queue" => queue).increment(1);
        if matches!(&error, store::Error::Conflict(key) if *key == lease.key) {
            tracing::warn!(queue, shard = lease.shard.0, token = lease.token, "another process took this shard over");
        } else {
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(queue, shard = lease.shard.0, %error, pause_ms, "items wait for another try");
        }
    }
}

async fn shard_once<T: Record + Clone>(
    queue: &Queue<T>,
    lease: &Lease,
    handler: &dyn Handler<T>,
) -> Result<(), store::Error> {
    let now = queue.clock.now();
    let entries = queue.due_entries(lease.shard, AT_ONCE).await?;
    let mut items = Vec::with_capacity(entries.len());
    for entry in &entries {
        match queue.read(lease.shard, entry) {
            Ok(item) => items.push(item),
            Err(error @ store::Error::TooNew { .. }) => {
                tracing::warn!(queue = queue.name(), %error, "an item waits for the newer version");
                queue.put_off(lease, entry, now + TOO_NEW_PAUSE).await?;
            }
            Err(error) => queue.bury(lease, entry, &error.to_string()).await?,
        }
    }
    if items.is_empty() {
        return Ok(());
    }
    let came = attempt(handler, lease, items.clone()).await;
    if items.len() == 1 || matches!(came, Attempt::Done | Attempt::Store(_)) {
        return settled(queue, lease, &items[0], &entries, came).await;
    }
    // One of them is the cause. What the handler has done of them meanwhile shows as a conflict, and they are read again.
    for item in items {
        let came = attempt(handler, lease, vec![item.clone()]).await;
        settled(queue, lease, &item, &entries, came).await?;
    }
    Ok(())
}

/// How handling went.
enum Attempt {
    Done,
    /// It is the store's, or someone else was faster: nothing is wrong with the items.
    Store(store::Error),
    /// It speaks of what a later Mayday has written, which this one can't read: it waits for that one, and nothing is wrong.
    Newer(String),
    /// It is the items'.
    Item(String),
}

async fn attempt<T: Record>(handler: &dyn Handler<T>, lease: &Lease, items: Vec<Queued<T>>) -> Attempt {
    match AssertUnwindSafe(handler.handle(lease, items)).catch_unwind().await {
        Ok(Ok(())) => Attempt::Done,
        Ok(Err(
            error @ (store::Error::Conflict(_)
            | store::Error::Unavailable(_)
            | store::Error::InUse(_)
            | store::Error::NewerLayout { .. }),
        )) => Attempt::Store(error),
        Ok(Err(error @ store::Error::TooNew { .. })) => Attempt::Newer(error.to_string()),
        Ok(Err(error)) => Attempt::Item(error.to_string()),
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Attempt::Item(format!("its handler panicked: {said}"))
        }
    }
}

/// What becomes of an item by what came of handling it alone: it is done, put off, or given up.
async fn settled<T: Record + Clone>(
    queue: &Queue<T>,
    lease: &Lease,
    item: &Queued<T>,
    entries: &[Entry],
    came: Attempt,
) -> Result<(), store::Error> {
    let (name, shard, key, failures) = (queue.name(), lease.shard.0, &item.key, item.failures + 1);
    let Some(entry) = entries.iter().find(|entry| entry.key == *key) else { return Ok(()) };
    match came {
        Attempt::Done => Ok(()),
        Attempt::Store(error) => Err(error),
        Attempt::Newer(why) => {
            // Kept, however often this Mayday meets it.
            tracing::warn!(queue = name, shard, %key, why, "an item waits for the newer version");
            queue.put_off(lease, entry, queue.clock.now() + NEWER_PAUSE).await
        }
        Attempt::Item(why) if failures >= TRIES => queue.bury(lease, entry, &why).await,
        Attempt::Item(why) => {
            metrics::counter!("mayday_work_item_failures_total", "queue" => name).increment(1);
            tracing::warn!(queue = name, shard, %key, why, failures, "an item failed");
            let pause = ITEM_PAUSE.saturating_mul(1 << item.failures.min(10));
            queue.failed(lease, item, queue.clock.now() + pause).await
        }
    }
}

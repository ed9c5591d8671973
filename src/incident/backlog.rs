//! How long the inbox is, so that Mayday says "later" (503) before it drowns.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::Input;
use crate::store;
use crate::work::{Queue, Shard};

/// Counted again at most this often.
const EVERY: Duration = Duration::from_millis(250);
/// The same while it seems full: the estimate knows what came since the last count, and not what was worked off.
const EVERY_WHEN_FULL: Duration = Duration::from_millis(20);
/// So long a body waits for room before it is refused: a sender that is slowed down does better than one that is sent away.
const PATIENCE: Duration = Duration::from_secs(2);

/// An estimate of the inbox's length: counted now and then, plus what was added since.
#[derive(Debug)]
pub(super) struct Backlog {
    limit: usize,
    waiting: AtomicUsize,
    counted: Mutex<Option<(Instant, Duration)>>,
}

impl Backlog {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, waiting: AtomicUsize::new(0), counted: Mutex::new(None) }
    }

    pub(super) fn added(&self, items: usize) {
        self.waiting.fetch_add(items, Ordering::Relaxed);
    }

    /// Waits for room, a little; says whether there is none.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn stays_full(&self, queue: &Queue<Input>) -> Result<bool, store::Error> {
        let until = Instant::now() + PATIENCE;
        while self.is_full(queue).await? {
            if Instant::now() >= until {
                return Ok(true);
            }
            tokio::time::sleep(EVERY_WHEN_FULL).await;
        }
        Ok(false)
    }

    /// Whether more than the limit wait.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn is_full(&self, queue: &Queue<Input>) -> Result<bool, store::Error> {
        // Who finds someone counting uses the last count.
        if let Ok(mut counted) = self.counted.try_lock() {
            // A long inbox takes long to count; counting stays below a quarter of the time, and mostly below a tenth.
            let full = self.waiting.load(Ordering::Relaxed) > self.limit;
            let due = counted.is_none_or(|(at, took)| {
                at.elapsed() >= if full { EVERY_WHEN_FULL.max(took * 4) } else { EVERY.max(took * 10) }
            });
            if due {
                let began = Instant::now();
                let mut waiting = 0;
                for shard in Shard::all() {
                    waiting += queue.waiting(shard, (self.limit + 1).saturating_sub(waiting)).await?;
                    if waiting > self.limit {
                        break;
                    }
                }
                self.waiting.store(waiting, Ordering::Relaxed);
                metrics::gauge!("mayday_incident_inbox_items").set(u32::try_from(waiting).unwrap_or(u32::MAX));
                *counted = Some((Instant::now(), began.elapsed()));
            }
        }
        Ok(self.waiting.load(Ordering::Relaxed) > self.limit)
    }
}

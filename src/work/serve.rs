//! The loop that hands due items of a queue to their handler, shard by shard.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use super::{Lease, Leases, Queue, Queued, Shard};
use crate::core::stop::Stop;
use crate::core::{BoxFuture, SharedClock};
use crate::store::{self, Record};

/// How many items a handler gets at once.
const AT_ONCE: usize = 256;
/// How many shards are handled at the same time.
const SHARDS_AT_ONCE: usize = 8;
/// A queue is looked at this often even if nothing wakes the loop.
const POLL: Duration = Duration::from_secs(1);

/// Does what a queue's items say.
pub trait Handler<T>: Send + Sync + 'static {
    /// Handles items of one shard, in order. It commits itself: the change and the items' removal in one batch, guarded
    /// by the lease. Items it leaves in the queue come again.
    ///
    /// # Errors
    /// The store's: a conflict is tried again at once, anything else after a pause.
    fn handle<'a>(&'a self, lease: &'a Lease, items: Vec<Queued<T>>) -> BoxFuture<'a, Result<(), store::Error>>;
}

/// Serves a queue until asked to stop.
pub async fn serve<T: Record + Clone>(
    queue: Queue<T>,
    leases: Arc<Leases>,
    clock: SharedClock,
    handler: Arc<dyn Handler<T>>,
    stop: Stop,
) {
    let mut changed = queue.watch();
    let mut pause = Duration::ZERO;
    while !stop.is_set() {
        let (queue_ref, leases_ref, handler_ref) = (&queue, &*leases, &*handler);
        let results: Vec<_> = futures_util::stream::iter(Shard::all())
            .map(|shard| async move { (shard, shard_once(queue_ref, leases_ref.of(shard), handler_ref).await) })
            .buffer_unordered(SHARDS_AT_ONCE)
            .collect()
            .await;
        let mut again = false;
        let mut failed = false;
        for (shard, result) in results {
            match result {
                Ok(more) => again |= more,
                Err(store::Error::Conflict(key)) => {
                    tracing::debug!(queue = queue.name(), shard = shard.0, %key, "conflict; reading again");
                    again = true;
                }
                Err(error) => {
                    failed = true;
                    metrics::counter!("mayday_work_failures_total", "queue" => queue.name()).increment(1);
                    tracing::warn!(queue = queue.name(), shard = shard.0, %error, "items wait for another try");
                }
            }
        }
        pause =
            if failed { (pause * 2).clamp(Duration::from_millis(100), Duration::from_secs(5)) } else { Duration::ZERO };
        if again && !failed {
            continue;
        }
        tokio::select! {
            () = stop.wait() => {}
            () = clock.sleep(if failed { pause } else { next_look(&queue, &clock).await }) => {}
            () = changed.changed(), if !failed => {}
        }
    }
}

async fn shard_once<T: Record + Clone>(
    queue: &Queue<T>,
    lease: &Lease,
    handler: &dyn Handler<T>,
) -> Result<bool, store::Error> {
    let items = queue.due(lease.shard, AT_ONCE).await?;
    if items.is_empty() {
        return Ok(false);
    }
    let full = items.len() == AT_ONCE;
    handler.handle(lease, items).await?;
    Ok(full)
}

/// Until the next timer, at most [`POLL`].
async fn next_look<T: Record>(queue: &Queue<T>, clock: &SharedClock) -> Duration {
    let now = clock.now();
    let mut wait = POLL;
    for shard in Shard::all() {
        if let Ok(Some(due)) = queue.next_due(shard).await {
            let left = Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO);
            wait = wait.min(left.max(Duration::from_millis(5)));
        }
    }
    wait
}

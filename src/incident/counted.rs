//! How many incidents are open, as the gauge `mayday_incidents_open`.
//!
//! Where one process holds all shards, it counts at the start and then by what its commits move. Where replicas share them,
//! each sees only some of the moves; so one of them, the holder of one shard, counts what stands in the store, and the others
//! say 0: the sum over all replicas is the number, and so is the largest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::keys;
use super::loaded::Moved;
use crate::core::SharedClock;
use crate::core::stop::Stop;
use crate::store::{self, Range, SharedStore};
use crate::work::{Leases, Shard};

/// Incidents are counted up to this.
const MOST: usize = 100_000;
/// Rows read at once.
const PAGE: usize = 1_000;
/// Counted again after so long at least, and after so many times what counting took.
const PAUSE: (Duration, u32) = (Duration::from_secs(1), 50);

/// Keeps the gauge.
#[derive(Clone)]
pub(super) struct OpenGauge {
    pub store: SharedStore,
    pub clock: SharedClock,
    pub leases: Arc<Leases>,
}

impl OpenGauge {
    /// After a commit of this process.
    pub fn moved(&self, moved: Moved) {
        metrics::counter!("mayday_incidents_opened_total").increment(u64::from(moved.opened));
        metrics::counter!("mayday_incidents_resolved_total").increment(u64::from(moved.closed));
        if !self.leases.shares() {
            metrics::gauge!("mayday_incidents_open").increment(f64::from(moved.opened) - f64::from(moved.closed));
        }
    }

    /// Where replicas share: counts whenever incidents opened or ended, or shards changed hands.
    pub async fn keep(self, stop: Stop) {
        let (mut open, mut shards) = (self.store.watch(&keys::all_open()), self.leases.watch());
        while !stop.is_set() {
            let began = Instant::now();
            let counts = self.leases.of(Shard::of("incident-open")).is_some();
            let told = if counts {
                self.count().await
            } else {
                metrics::gauge!("mayday_incidents_open").set(0);
                true
            };
            let pause = PAUSE.0.max(began.elapsed() * PAUSE.1);
            tokio::select! {
                () = stop.wait() => {}
                () = self.clock.sleep(pause) => {}
            }
            if !told {
                // What it says is not how it is, and nothing may change for long.
                continue;
            }
            tokio::select! {
                () = stop.wait() => {}
                () = open.changed(), if counts => {}
                // Its sender lives as long as the leases.
                _ = shards.changed() => {}
            }
        }
        // Who takes over counts them.
        metrics::gauge!("mayday_incidents_open").set(0);
    }

    /// Sets it to what stands in the store; whether that could be told.
    pub async fn count(&self) -> bool {
        match self.counted().await {
            Ok(open) => {
                metrics::gauge!("mayday_incidents_open").set(u32::try_from(open).unwrap_or(u32::MAX));
                true
            }
            Err(error) => {
                tracing::warn!(%error, "open incidents can't be counted");
                false
            }
        }
    }

    async fn counted(&self) -> Result<usize, store::Error> {
        let (mut range, mut open) = (Range::under(&keys::all_open(), PAGE), 0);
        loop {
            let page = self.store.scan(&range).await?;
            open += page.len();
            match page.last() {
                Some(last) if page.len() == PAGE && open < MOST => range = range.past(&last.key),
                _ => return Ok(open),
            }
        }
    }
}

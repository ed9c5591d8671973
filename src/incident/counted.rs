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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::core::BoxFuture;
    use crate::core::clock::ManualClock;
    use crate::core::stop::Stopper;
    use crate::store::memory::Memory;
    use crate::store::{Batch, Entry, Key, Revision, Store, Watch, Write};

    /// A store whose next scans of open incidents fail.
    struct Away {
        store: SharedStore,
        fails: AtomicU32,
    }

    impl Store for Away {
        fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, store::Error>> {
            self.store.read(key)
        }

        fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, store::Error>> {
            let failed = self.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if failed.is_ok() {
                return Box::pin(async { Err(store::Error::Unavailable("no answer".to_owned())) });
            }
            self.store.scan(range)
        }

        fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, store::Error>> {
            self.store.commit(batch)
        }

        fn watch(&self, prefix: &Key) -> Watch {
            self.store.watch(prefix)
        }
    }

    #[tokio::test]
    async fn a_count_that_failed_is_made_again_though_nothing_moves() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let told = recorder.handle();
        let _here = metrics::set_default_local_recorder(&recorder);
        let clock = Arc::new(ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let shared: SharedClock = clock.clone();
        let store = Memory::shared();
        let leases = Leases::share(&store, &shared).await.unwrap();
        leases.round().await.unwrap();
        assert!(leases.of(Shard::of("incident-open")).is_some(), "alone it holds all");
        let mut batch = Batch::new();
        batch
            .writes
            .extend((1..=3).map(|number| Write::Put(keys::all_open().child(&number.to_string()), b"{}".into())));
        store.commit(batch).await.unwrap();
        let away: SharedStore = Arc::new(Away { store, fails: AtomicU32::new(2) });
        let (stopper, stop) = Stopper::new();
        let gauge = OpenGauge { store: away, clock: shared, leases };
        let keeping = tokio::spawn(gauge.keep(stop));
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            clock.advance(Duration::from_secs(1));
            if told.render().contains("mayday_incidents_open 3") {
                stopper.stop();
                return keeping.await.unwrap();
            }
        }
        panic!("{}", told.render());
    }
}

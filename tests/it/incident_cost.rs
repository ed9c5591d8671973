//! What an alert costs does not grow with what is stored: counted in entries read, not in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mayday::alert::Format;
use mayday::catalog::Catalog;
use mayday::core::clock::ManualClock;
use mayday::core::{BoxFuture, SharedClock, Timestamp};
use mayday::incident::{Intake, Options, Service};
use mayday::store::memory::Memory;
use mayday::store::{Batch, Entry, Error, Key, Range, Revision, SharedStore, Store, Watch};
use mayday::work::Leases;

/// Counts what goes through it.
struct Counting {
    inner: SharedStore,
    read: AtomicUsize,
    written: AtomicUsize,
    commits: AtomicUsize,
}

impl Counting {
    /// Entries read and written, and commits, since the last call.
    fn take(&self) -> (usize, usize, usize) {
        let take = |counter: &AtomicUsize| counter.swap(0, Ordering::Relaxed);
        (take(&self.read), take(&self.written), take(&self.commits))
    }
}

impl Store for Counting {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.inner.read(key)
    }

    fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        Box::pin(async move {
            let found = self.inner.scan(range).await?;
            self.read.fetch_add(found.len(), Ordering::Relaxed);
            Ok(found)
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, Error>> {
        self.written.fetch_add(batch.writes.len(), Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.inner.commit(batch)
    }

    fn watch(&self, prefix: &Key) -> Watch {
        self.inner.watch(prefix)
    }
}

#[tokio::test]
async fn the_next_batch_costs_the_same_after_many_thousand_alerts() {
    let counting = Arc::new(Counting { inner: Memory::shared(), read: 0.into(), written: 0.into(), commits: 0.into() });
    let store: SharedStore = counting.clone();
    let clock: SharedClock = Arc::new(ManualClock::at("2026-11-21T14:02:00Z".parse::<Timestamp>().unwrap()));
    let catalog = Arc::new(Catalog::default());
    let intake = Intake::new(store.clone(), clock.clone(), catalog.clone(), Options::default());
    let leases = Leases::take_all(&store, &clock, "test").await.unwrap();
    let service = Service::new(store.clone(), clock.clone(), leases, catalog, Options::default());
    let mut costs = Vec::new();
    for batch in 0..60 {
        let alert = |number: usize| {
            serde_json::json!({
                "status": "firing", "startsAt": "2026-11-21T14:00:00Z", "fingerprint": format!("{batch}x{number}"),
                "labels": {"alertname": format!("A{number}"), "service": format!("s{}", number % 4), "severity": "critical"},
            })
        };
        let body = serde_json::json!({"version": "4", "alerts": (0..100).map(alert).collect::<Vec<_>>()});
        counting.take();
        intake.accept(Format::Alertmanager, "test", body.to_string().as_bytes()).await.unwrap();
        let (_, written, commits) = counting.take();
        assert_eq!((written, commits), (104, 1), "100 records and one item for each of 4 groups, in one commit");
        service.apply_waiting().await.unwrap();
        costs.push(counting.take());
    }
    let (early, late) = (costs[10], costs[59]);
    assert_eq!(early.2, late.2, "commits");
    assert_eq!(early.1, late.1, "entries written");
    assert!(late.0 <= early.0 + 16, "entries read: {} at 1,000 alerts, {} at 6,000", early.0, late.0);
}

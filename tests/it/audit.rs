//! The audit chain on the real store: durable with what it records, fast enough for many decisions, verified after a restart.

use std::time::Instant;

use mayday::access::{Actor, Audit, AuditRecord, PersonId, audit};
use mayday::core::clock::SystemClock;
use mayday::store::{self, Batch};
use serde_json::json;

fn record(number: u32) -> AuditRecord {
    AuditRecord {
        actor: Actor::Person(PersonId("web:ana".into())),
        action: "approve".into(),
        subject: format!("RUN-{number}"),
        detail: json!({}),
        right: None,
    }
}

#[tokio::test]
async fn records_of_many_chains_survive_a_restart_in_order() {
    let data = tempfile::tempdir().unwrap();
    let store = store::open(data.path(), &store::Options::default()).unwrap();
    let audit = Audit::new(store.clone(), SystemClock::shared());
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for chain in 0..16_u32 {
        let audit = audit.clone();
        tasks.spawn(async move {
            for number in 0..20 {
                audit.commit_to(&format!("run-{chain:02x}"), Batch::new(), record(number)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    // 320 decisions; without chains in parallel each would wait for its own sync.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    drop((audit, store));

    let mut store = store::open(data.path(), &store::Options::default());
    // The closed store gives its lock back a moment later.
    for _ in 0..100 {
        if store.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        store = store::open(data.path(), &store::Options::default());
    }
    let store = store.unwrap();
    let report = audit::verify(&store, &[]).await.unwrap();
    assert_eq!((report.records, report.first_bad, report.heads.len()), (320, None, 16));
    let page = Audit::new(store, SystemClock::shared()).list(None, 50).await.unwrap();
    assert_eq!(page.records.len(), 50);
    assert!(page.records.windows(2).all(|pair| pair[0].at >= pair[1].at), "newest first over all chains");
}

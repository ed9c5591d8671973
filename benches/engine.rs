//! Durable steps of the engine a second: `cargo bench --bench engine` on the embedded store; with an address such as
//! `MAYDAY_BENCH_POSTGRES=postgres://postgres@127.0.0.1:5432/bench` (an empty database) also on PostgreSQL.
//!
//! A playbook of ten tasks, one after the other, each a read that answers at once, so that what is measured is the journal:
//! 1,000 runs at once, `MAYDAY_BENCH_RUNS` (10,000) with 1,000 in flight, and one run alone. Beside it, in the same run,
//! what the disk's write-and-fdatasync takes. `MAYDAY_BENCH_DIR` names a folder on the disk to measure.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayday::access::{Actor, Audit};
use mayday::core::clock::SystemClock;
use mayday::core::{BoxFuture, RunId};
use mayday::playbook::action::{Action, Context, Error, Intent, Perform, Planned, Settle};
use mayday::playbook::{
    Book, Engine, Library, Options, Parts, ProposeRequest, Proposed, Registry, RunState, Runs as _,
};
use mayday::store::{self, Key, SharedStore, postgres};
use mayday::work::Leases;
use serde_json::{Value, json};

const STEPS: usize = 10;

/// A read that answers at once with a number.
struct Number;

impl Action for Number {
    fn kind(&self) -> &'static str {
        "Metric_Query"
    }
    fn settle(&self, _: &Value) -> Settle {
        Settle::Repeat
    }
    fn plan<'a>(&'a self, _: &'a Context, parameters: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        Box::pin(std::future::ready(Ok(Planned {
            object: String::new(),
            changes: Vec::new(),
            target: parameters.clone(),
            radius: String::new(),
            undo: None,
            details: Vec::new(),
        })))
    }
    fn perform<'a>(&'a self, _: &'a Context, _: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        Box::pin(std::future::ready(Ok(Perform::Done(json!({"value": 1.0})))))
    }
}

fn playbook() -> String {
    let mut text = "playbook_id: PB-Steps\nname: Ten steps\ntasks:\n".to_owned();
    for step in 0..STEPS {
        text += &format!("  - id: step_{step}\n    type: Metric_Query\n    parameters: {{expr: up}}\n");
        if step > 0 {
            text += &format!("    depends_on: [step_{}]\n", step - 1);
        }
    }
    text
}

async fn engine(store: SharedStore) -> Engine {
    let clock = SystemClock::shared();
    let book = Book::read("bench.yaml", playbook().as_bytes()).expect("the playbook is right");
    let parts = Parts {
        leases: Leases::take_all(&store, &clock, "bench").await.expect("leases"),
        audit: Audit::new(store.clone(), clock.clone()),
        library: Arc::new(Library::of([book])),
        actions: Registry::new(vec![Arc::new(Number)]),
        options: Options { open_runs: 100_000, effects_at_once: 10_000, ..Options::default() },
        standing: Vec::new(),
        store,
        clock,
    };
    Engine::new(parts)
}

async fn begin(engine: &Engine, key: String) -> RunId {
    let request = ProposeRequest {
        playbook: "PB-Steps".to_owned(),
        parameters: BTreeMap::new(),
        incident: None,
        alert: None,
        by: Actor::Mayday("bench".to_owned()),
        key,
    };
    match engine.propose(request).await.expect("proposed") {
        Proposed::New(run) | Proposed::Already(run) => run,
    }
}

/// Proposes a run and waits for its end, which the store's watch tells.
async fn whole(store: SharedStore, engine: Engine, key: String) -> Duration {
    let started = Instant::now();
    let run = begin(&engine, key).await;
    // The end takes the mark of an open run away.
    let open = Key::of(["run-open", &run.key()]);
    let mut moved = store.watch(&open);
    while store.read(&open).await.expect("read").is_some() {
        moved.changed().await;
    }
    started.elapsed()
}

async fn at_once(store: &SharedStore, engine: &Engine, name: &str, runs: usize, in_flight: usize) {
    let started = Instant::now();
    let mut flights = tokio::task::JoinSet::new();
    let mut took = Vec::with_capacity(runs);
    for run in 0..runs {
        if flights.len() >= in_flight
            && let Some(one) = flights.join_next().await
        {
            took.push(one.expect("a run ends"));
        }
        flights.spawn(whole(store.clone(), engine.clone(), format!("{name}-{run}")));
    }
    while let Some(one) = flights.join_next().await {
        took.push(one.expect("a run ends"));
    }
    let seconds = started.elapsed().as_secs_f64();
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "{name:<34} {:>9.0} steps/s   a run p50 {:>8.1} ms   p99 {:>8.1} ms",
        (runs * STEPS) as f64 / seconds,
        at(0.5),
        at(0.99)
    );
    let views = engine.list(None, 1).await.expect("listed");
    assert!(views.iter().all(|view| view.state == RunState::Ended), "every run has ended");
}

fn disk(folder: &Path) {
    let mut file = std::fs::File::create(folder.join("plain")).expect("a file");
    let mut took = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        let one = Instant::now();
        file.write_all(&[7; 256]).expect("written");
        file.sync_data().expect("synced");
        took.push(one.elapsed());
    }
    took.sort();
    println!(
        "256 bytes + fdatasync, one thread  {:>9.0} /s        p50 {:>8.2} ms   p99 {:>8.2} ms",
        took.len() as f64 / started.elapsed().as_secs_f64(),
        took[took.len() / 2].as_secs_f64() * 1000.0,
        took[took.len() * 99 / 100].as_secs_f64() * 1000.0
    );
}

fn main() {
    let parent = std::env::var_os("MAYDAY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent).expect("a folder to measure in");
    let many = std::env::var("MAYDAY_BENCH_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    disk(folder.path());
    println!("on the embedded store");
    let store = store::open(&folder.path().join("store"), &store::Options::default()).expect("the store opens");
    runtime.block_on(all(store, many));
    if let Ok(url) = std::env::var("MAYDAY_BENCH_POSTGRES") {
        println!("on PostgreSQL");
        runtime.block_on(async {
            let probed = postgres::probe(&postgres::Options::new(&url)).await.expect("the server answers");
            println!("{probed:?}");
            let limits = store::Options::default();
            let store = postgres::open(&postgres::Options::new(&url), &limits).await.expect("the store opens");
            all(store, many).await;
        });
    }
    disk(folder.path());
}

async fn all(store: SharedStore, many: usize) {
    let engine = engine(store.clone()).await;
    at_once(&store, &engine, "one run at a time, 200", 200, 1).await;
    at_once(&store, &engine, "1,000 runs at once", 1_000, 1_000).await;
    at_once(&store, &engine, &format!("{many} runs, 1,000 in flight"), many, 1_000).await;
    engine.stop().await;
}

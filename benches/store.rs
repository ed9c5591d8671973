//! Durable commits a second on the embedded store, beside a plain write-and-fdatasync loop on the same disk in the same
//! run: `cargo bench --bench store`. A folder to measure on (a real disk, not tmpfs) may be given in `MAYDAY_BENCH_DIR`.
//!
//! Also: alerts accepted as intake does it (batches of 100 over 8 connections, a record and a queue item each), and how
//! long opening takes with many alerts stored (`MAYDAY_BENCH_ALERTS`, 100,000 unless told).

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mayday::store::{Batch, Key, Options, SharedStore, Write};

const EACH: Duration = Duration::from_secs(2);

fn main() {
    let parent = std::env::var_os("MAYDAY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent).expect("a folder to measure in");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("folder {}", folder.path().display());
    println!("{:<46} {:>10.0} /s", "write 700 bytes + fdatasync, one thread", plain(folder.path()));
    for writes in [1, 10, 100] {
        for committers in [1, 8, 64, 1000] {
            let place = folder.path().join(format!("{writes}-{committers}"));
            let store = mayday::store::open(&place, &Options::default()).expect("the store opens");
            let rate = runtime.block_on(commits(store, committers, writes));
            let what = format!("{committers} committers, {writes} writes of 700 bytes each");
            println!("{what:<46} {rate:>10.0} commits/s {:>10.0} writes/s", rate * f64::from(writes));
        }
    }
    let place = folder.path().join("alerts");
    let store = mayday::store::open(&place, &Options::default()).expect("the store opens");
    let alerts = std::env::var("MAYDAY_BENCH_ALERTS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let started = Instant::now();
    runtime.block_on(intake(store, alerts));
    println!(
        "{alerts} alerts, batches of 100, 8 connections {:>10.0} alerts/s",
        alerts as f64 / started.elapsed().as_secs_f64()
    );
    let started = Instant::now();
    let store = mayday::store::open(&place, &Options::default()).expect("the store opens");
    println!("opening with {alerts} alerts, log as it was left {:>10.3} s", started.elapsed().as_secs_f64());
    drop(store);
    let started = Instant::now();
    let store = mayday::store::open(&place, &Options::default()).expect("the store opens");
    println!(
        "opening with {alerts} alerts, again {:>10.3} s, resident {} MB",
        started.elapsed().as_secs_f64(),
        resident_mb()
    );
    drop(store);
}

fn plain(folder: &Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("plain")).expect("a file");
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < EACH {
        file.write_all(&[7; 700]).expect("written");
        file.sync_data().expect("synced");
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

/// A key that looks random, so that pages are met as by alerts' digests.
fn scattered(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

async fn commits(store: SharedStore, committers: u64, writes: u32) -> f64 {
    let count = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..committers)
        .map(|task| {
            let (store, count) = (store.clone(), count.clone());
            tokio::spawn(async move {
                let mut number = task << 40;
                while started.elapsed() < EACH {
                    let mut batch = Batch::new();
                    for _ in 0..writes {
                        number += 1;
                        batch.writes.push(Write::Put(Key::of(["bench", &scattered(number)]), vec![b'x'; 700]));
                    }
                    store.commit(batch).await.expect("committed");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a committer ends");
    }
    count.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

async fn intake(store: SharedStore, alerts: u64) {
    let tasks: Vec<_> = (0..8u64)
        .map(|connection| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut sent = 0;
                while sent < alerts / 8 {
                    let mut batch = Batch::new();
                    for _ in 0..100 {
                        let number = (connection << 40) + sent;
                        let id = scattered(number);
                        batch.require_absent(Key::of(["alert", &id]));
                        batch.writes.push(Write::Put(Key::of(["alert", &id]), vec![b'a'; 700]));
                        let shard = format!("{:02x}", number % 64);
                        let item = format!("{:013}-{connection}{number:030}", 1_700_000_000_000 + sent);
                        batch.writes.push(Write::Put(Key::of(["queue", "incident", &shard, &item]), vec![b'q'; 300]));
                        sent += 1;
                    }
                    store.commit(batch).await.expect("committed");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a connection ends");
    }
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) / 1024
}

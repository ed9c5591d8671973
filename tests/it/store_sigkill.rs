//! Fifty times a process that writes is killed with SIGKILL; every commit it had been told is durable is found again.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use mayday::store::{Batch, Key, Options, Range, SharedStore, Write};

/// Names the folder that the writing process uses; without it the writer is a test that does nothing.
const FOLDER: &str = "MAYDAY_TEST_SIGKILL_FOLDER";
/// Where its numbers start.
const START: &str = "MAYDAY_TEST_SIGKILL_START";

/// Both keys of a commit.
fn pair(number: u64) -> [Key; 2] {
    [Key::of(["first", &format!("{number:010}")]), Key::of(["second", &format!("{:010}", number ^ 0x5a5a)])]
}

/// Not a test by itself: the process that is killed.
#[test]
fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let start: u64 = std::env::var(START).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Small, so that kills also meet what is on its way into sled.
    let options = Options { recent_bytes: 256 * 1024, ..Options::default() };
    let store = mayday::store::open(folder.as_ref(), &options).unwrap();
    let tasks: Vec<_> = (0..8).map(|task| runtime.spawn(write_on(store.clone(), start, task))).collect();
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
}

async fn write_on(store: SharedStore, start: u64, task: u64) {
    for round in 0.. {
        let number = start + round * 8 + task;
        let size = [40, 700, 3_000, 40_000][usize::try_from(number % 4).unwrap()];
        let writes = pair(number).map(|key| Write::Put(key, vec![b'v'; size])).to_vec();
        store.commit(Batch { conditions: Vec::new(), writes }).await.unwrap();
        // One write call, so that no line is torn.
        std::io::stderr().write_all(format!("ack {number}\n").as_bytes()).unwrap();
    }
}

#[test]
fn every_acknowledged_commit_survives_fifty_kills() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut acknowledged: BTreeSet<u64> = BTreeSet::new();
    let mut seed: u64 = 0x6d61_7964_6179;
    for round in 0..50u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store_sigkill::writer", "--nocapture", "--test-threads", "1"])
            .env(FOLDER, folder.path())
            .env(START, (round * 1_000_000).to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = Duration::from_millis(5 + (seed >> 33) % 120);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next().expect("the writer says its first commit").unwrap();
        let reader = std::thread::spawn(move || {
            std::iter::once(first)
                .chain(lines.map_while(Result::ok))
                .map(|line| line.strip_prefix("ack ").unwrap_or_else(|| panic!("{line}")).parse().unwrap())
                .collect::<Vec<u64>>()
        });
        std::thread::sleep(life);
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(reader.join().unwrap());

        let store = mayday::store::open(folder.path(), &Options::default()).unwrap();
        runtime.block_on(async {
            for number in &acknowledged {
                for key in pair(*number) {
                    assert!(
                        store.read(&key).await.unwrap().is_some(),
                        "round {round}: {key} was acknowledged and is gone"
                    );
                }
            }
            // Whole or not at all, also what was not acknowledged any more.
            let all = Range::under(&Key::of(["first"]), usize::MAX);
            for entry in store.scan(&all).await.unwrap() {
                let number = entry.key.last().parse().unwrap();
                let other = store.read(&pair(number)[1]).await.unwrap();
                assert_eq!(other.map(|other| other.revision), Some(entry.revision), "round {round}: half of {number}");
            }
            // So that the rounds stay short: what was checked goes.
            if acknowledged.len() > 2_000 {
                for numbers in acknowledged.iter().collect::<Vec<_>>().chunks(1_000) {
                    let mut batch = Batch::new();
                    for key in numbers.iter().flat_map(|number| pair(**number)) {
                        batch.delete(key);
                    }
                    store.commit(batch).await.unwrap();
                }
                acknowledged.clear();
            }
        });
    }
}

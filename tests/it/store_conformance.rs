//! What every store must do, run over each adapter: a further one is one more line at the end of this file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mayday::store::key::Order;
use mayday::store::memory::Memory;
use mayday::store::{Batch, Condition, Error, Key, Options, Range, Revision, SharedStore, Write};
use proptest::prelude::*;

/// A store that can be closed and opened again.
trait Place {
    fn new() -> Self;
    fn open(&mut self) -> SharedStore;
}

struct InMemory(SharedStore);

impl Place for InMemory {
    fn new() -> Self {
        Self(Memory::shared())
    }
    fn open(&mut self) -> SharedStore {
        self.0.clone()
    }
}

struct Embedded(tempfile::TempDir);

impl Place for Embedded {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn open(&mut self) -> SharedStore {
        mayday::store::open(self.0.path(), &Options::default()).unwrap()
    }
}

/// The embedded one that brings each group of commits into sled at once, so that reads meet both layers and sled.
struct Settling(tempfile::TempDir);

impl Place for Settling {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn open(&mut self) -> SharedStore {
        mayday::store::open(self.0.path(), &settling()).unwrap()
    }
}

fn settling() -> Options {
    Options { recent_bytes: 1, ..Options::default() }
}

struct Postgres(String);

impl Place for Postgres {
    fn new() -> Self {
        Self(crate::postgres_world::database())
    }
    fn open(&mut self) -> SharedStore {
        crate::postgres_world::open(&self.0)
    }
}

fn key(text: &str) -> Key {
    Key::of(text.split('/'))
}

fn put(text: &str, value: &str) -> Batch {
    Batch { conditions: Vec::new(), writes: vec![Write::Put(key(text), value.into())] }
}

async fn value(store: &SharedStore, text: &str) -> Option<String> {
    store.read(&key(text)).await.unwrap().map(|entry| String::from_utf8(entry.value).unwrap())
}

async fn keys(store: &SharedStore, range: &Range) -> Vec<String> {
    store.scan(range).await.unwrap().into_iter().map(|entry| entry.key.to_string()).collect()
}

async fn a_batch_is_written_whole_or_not_at_all<P: Place>() {
    let mut place = P::new();
    let store = place.open();
    let first = store.commit(put("a/1", "one")).await.unwrap();
    let mut batch = put("a/2", "two");
    batch.writes.push(Write::Delete(key("a/1")));
    batch.require_unchanged(key("a/1"), first).require_absent(key("a/1"));
    assert!(matches!(store.commit(batch.clone()).await, Err(Error::Conflict(at)) if at == key("a/1")));
    assert_eq!(value(&store, "a/1").await.as_deref(), Some("one"));
    assert_eq!(value(&store, "a/2").await, None);
    batch.conditions.pop();
    let second = store.commit(batch.clone()).await.unwrap();
    assert!(second > first);
    assert_eq!(value(&store, "a/1").await, None);
    assert_eq!(store.read(&key("a/2")).await.unwrap().unwrap().revision, second);
    // The same again: a/1 is gone, so it can't be unchanged.
    assert!(matches!(store.commit(batch).await, Err(Error::Conflict(_))));
}

async fn the_last_write_of_a_key_wins<P: Place>() {
    let mut place = P::new();
    let store = place.open();
    let mut batch = put("a", "first");
    batch.writes.push(Write::Delete(key("a")));
    batch.writes.push(Write::Put(key("a"), b"last".to_vec()));
    batch.writes.push(Write::Put(key("b"), b"gone".to_vec()));
    batch.writes.push(Write::Delete(key("b")));
    batch.writes.push(Write::Delete(key("never")));
    store.commit(batch).await.unwrap();
    assert_eq!(value(&store, "a").await.as_deref(), Some("last"));
    assert_eq!(value(&store, "b").await, None);
}

async fn a_scan_goes_both_ways_page_by_page<P: Place>() {
    let mut place = P::new();
    let store = place.open();
    let mut batch = Batch::new();
    for number in 0..700 {
        batch.writes.push(Write::Put(key(&format!("n/{number:04}")), vec![b'x'; number % 50]));
    }
    batch.writes.push(Write::Put(key("n"), Vec::new()));
    batch.writes.push(Write::Put(key("n-other/1"), Vec::new()));
    batch.writes.push(Write::Put(key("n0"), Vec::new()));
    store.commit(batch).await.unwrap();
    let all = Range::under(&key("n"), 10_000);
    assert_eq!(keys(&store, &all).await.len(), 700);
    assert_eq!(keys(&store, &Range::under(&key("n"), 2)).await, ["n/0000", "n/0001"]);
    assert_eq!(keys(&store, &Range::under(&key("n"), 2).backward()).await, ["n/0699", "n/0698"]);
    assert!(keys(&store, &Range::under(&key("n"), 0)).await.is_empty());
    assert!(keys(&store, &Range::under(&key("nothing"), 5)).await.is_empty());
    for backward in [false, true] {
        let range = || {
            let range = Range::under(&key("n"), 300);
            if backward { range.backward() } else { range }
        };
        let mut seen = Vec::new();
        let mut page = keys(&store, &range()).await;
        while let Some(last) = page.last() {
            let next = range().past(&key(last));
            seen.append(&mut page);
            page = keys(&store, &next).await;
        }
        let mut wanted = keys(&store, &all).await;
        if backward {
            wanted.reverse();
        }
        assert_eq!(seen, wanted);
    }
    let upside_down = Range { from: key("n/5"), to: key("n/1"), limit: 5, order: Order::Forward };
    assert!(keys(&store, &upside_down).await.is_empty());
}

async fn revisions_grow_and_survive_closing<P: Place>() {
    let mut place = P::new();
    let mut last = Revision(0);
    for round in 0..4 {
        let store = place.open();
        for number in 0..5 {
            let revision = store.commit(put(&format!("r/{round}-{number}"), "x")).await.unwrap();
            assert!(revision > last, "{revision:?} after {last:?}");
            last = revision;
            let empty = store.commit(Batch::new()).await.unwrap();
            assert!(empty > last);
            last = empty;
        }
        let before = store.read(&key("r/0-0")).await.unwrap().unwrap().revision;
        drop(store);
        let store = place.open();
        let mut batch = put("r/0-0", "y");
        batch.require_unchanged(key("r/0-0"), before);
        last = store.commit(batch).await.unwrap();
        drop(store);
    }
    let store = place.open();
    assert_eq!(keys(&store, &Range::under(&key("r"), 100)).await.len(), 20);
}

async fn large_values_come_back_as_they_were<P: Place>() {
    let mut place = P::new();
    let store = place.open();
    let large = |seed: u8, length: usize| -> Vec<u8> {
        (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
    };
    // The trait takes batches of up to 2 MiB.
    let lengths = [0, 1, 2 * 1024, 2 * 1024 + 1, 100_000, 2_000_000];
    for (number, length) in lengths.into_iter().enumerate() {
        let write = Write::Put(key(&format!("large/{number}")), large(number as u8, length));
        store.commit(Batch { writes: vec![write], ..Batch::default() }).await.unwrap();
    }
    drop(store);
    let store = place.open();
    let entries = store.scan(&Range::under(&key("large"), 10)).await.unwrap();
    assert_eq!(entries.len(), 6);
    for (number, (entry, length)) in entries.iter().zip(lengths).enumerate() {
        assert!(entry.value == large(number as u8, length), "{length} bytes");
    }
    // Shorter, small, gone; then nothing of the old is left in the way of the new.
    let mut batch = Batch::new();
    batch.writes.push(Write::Put(key("large/5"), large(9, 40_000)));
    batch.writes.push(Write::Put(key("large/4"), large(9, 10)));
    batch.writes.push(Write::Delete(key("large/3")));
    batch.require_unchanged(key("large/5"), entries[5].revision);
    store.commit(batch).await.unwrap();
    drop(store);
    let store = place.open();
    assert!(store.read(&key("large/5")).await.unwrap().unwrap().value == large(9, 40_000));
    assert!(store.read(&key("large/4")).await.unwrap().unwrap().value == large(9, 10));
    assert!(store.read(&key("large/3")).await.unwrap().is_none());
    let whole = Range { from: key("0"), to: Key::stored("\u{10ffff}".to_owned()), limit: 1000, order: Order::Forward };
    assert_eq!(keys(&store, &whole).await.len(), 5);
}

async fn a_watch_wakes_for_its_prefix_and_no_other<P: Place>() {
    let mut place = P::new();
    let store = place.open();
    let mut watch = store.watch(&key("queue/post"));
    let mut other = store.watch(&key("queue/pos"));
    assert!(futures_util::FutureExt::now_or_never(watch.changed()).is_none());
    store.commit(put("queue/post/01/x", "1")).await.unwrap();
    store.commit(put("queue/post/02/x", "1")).await.unwrap();
    let soon = std::time::Duration::from_secs(10);
    tokio::time::timeout(soon, watch.changed()).await.unwrap();
    let mut delete = Batch::new();
    delete.delete(key("queue/post/01/x"));
    store.commit(delete).await.unwrap();
    tokio::time::timeout(soon, watch.changed()).await.unwrap();
    assert!(value(&store, "queue/post/01/x").await.is_none());
    store.commit(put("queue/poster/01", "1")).await.unwrap();
    // The wake-up of an earlier commit may come after its answer, never one for another prefix.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let _ = futures_util::FutureExt::now_or_never(watch.changed());
    assert!(futures_util::FutureExt::now_or_never(watch.changed()).is_none());
    assert!(futures_util::FutureExt::now_or_never(other.changed()).is_none());
    store.commit(put("queue/pos", "1")).await.unwrap();
    tokio::time::timeout(soon, other.changed()).await.unwrap();
}

async fn who_is_woken_for_a_prefix_finds_the_watches_below_it_changed<P: Place>() {
    let mut place = P::new();
    let store = place.open();
    let mut wide = store.watch(&key("queue/a"));
    let mut narrow: Vec<_> = (0..20).map(|shard| store.watch(&key(&format!("queue/a/{shard:02}")))).collect();
    for round in 0..60 {
        let shard = round * 7 % 20;
        let (writer, batch) = (store.clone(), put(&format!("queue/a/{shard:02}/{round}"), "x"));
        let commit = tokio::spawn(async move { writer.commit(batch).await.unwrap() });
        tokio::time::timeout(Duration::from_secs(10), wide.changed()).await.expect("it wakes");
        assert!(narrow[shard].0.has_changed().unwrap(), "round {round}");
        narrow[shard].0.mark_unchanged();
        commit.await.unwrap();
    }
}

async fn no_update_is_lost_among_many_writers<P: Place>() {
    let mut place = P::new();
    let store = place.open();
    let tasks: Vec<_> = (0..24)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                while revisions.len() < 20 {
                    let entry = store.read(&key("counter")).await.unwrap();
                    let count: u64 =
                        entry.as_ref().map_or(0, |entry| std::str::from_utf8(&entry.value).unwrap().parse().unwrap());
                    let mut batch = put("counter", &(count + 1).to_string());
                    batch.require_as_read(key("counter"), entry.map(|entry| entry.revision));
                    match store.commit(batch).await {
                        Ok(revision) => revisions.push(revision),
                        Err(Error::Conflict(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                revisions
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.append(&mut task.await.unwrap());
    }
    revisions.sort();
    revisions.dedup();
    assert_eq!(revisions.len(), 480);
    assert_eq!(value(&store, "counter").await.as_deref(), Some("480"));
}

/// One step against the model.
#[derive(Debug, Clone)]
enum Step {
    /// Writes (none deletes) and conditions; a condition is made true or false by the flag.
    Commit(Vec<(usize, Option<Vec<u8>>)>, Vec<(usize, bool)>),
    Scan(usize, usize, usize, bool),
    Reopen,
}

const NAMES: [&str; 12] = ["a", "a/a", "a/b", "a/b/c", "a-b", "a0", "b/1", "b/10", "b/2", "b/é", "c/x/y", "c/x/z"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Some),
        1 => (17_000usize..60_000, any::<u8>()).prop_map(|(length, byte)| Some(vec![byte; length])),
        2 => Just(None),
    ];
    let names = 0..NAMES.len();
    let commit = (
        proptest::collection::vec((names.clone(), value), 0..6),
        proptest::collection::vec((names.clone(), proptest::bool::weighted(0.85)), 0..3),
    );
    let step = prop_oneof![
        6 => commit.prop_map(|(writes, conditions)| Step::Commit(writes, conditions)),
        3 => (names.clone(), names, 0usize..8, any::<bool>()).prop_map(|(a, b, limit, back)| Step::Scan(a, b, limit, back)),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

async fn follows_the_model<P: Place>(steps: Vec<Step>) {
    let mut place = P::new();
    let mut store = Some(place.open());
    let mut model: BTreeMap<Key, (Revision, Vec<u8>)> = BTreeMap::new();
    let mut last = Revision(0);
    for step in steps {
        let open = store.clone().unwrap();
        match step {
            Step::Commit(writes, conditions) => {
                let mut batch = Batch::new();
                let mut wrong = None;
                for (name, holds) in conditions {
                    let at = key(NAMES[name]);
                    let now = model.get(&at).map(|(revision, _)| *revision);
                    batch.conditions.push(match (now, holds) {
                        (None, true) | (Some(_), false) => Condition::Absent(at.clone()),
                        (Some(revision), true) => Condition::Unchanged(at.clone(), revision),
                        (None, false) => Condition::Unchanged(at.clone(), last),
                    });
                    if !holds {
                        wrong.get_or_insert(at);
                    }
                }
                for (name, value) in &writes {
                    let at = key(NAMES[*name]);
                    batch.writes.push(value.clone().map_or(Write::Delete(at.clone()), |value| Write::Put(at, value)));
                }
                match (open.commit(batch).await, wrong) {
                    (Ok(revision), None) => {
                        assert!(revision > last);
                        last = revision;
                        for (name, value) in writes {
                            let at = key(NAMES[name]);
                            match value {
                                Some(value) => model.insert(at, (revision, value)),
                                None => model.remove(&at),
                            };
                        }
                    }
                    (Err(Error::Conflict(at)), Some(wrong)) => assert_eq!(at, wrong),
                    (answer, wrong) => panic!("{answer:?}, wrong condition: {wrong:?}"),
                }
            }
            Step::Scan(from, to, limit, back) => {
                let order = if back { Order::Backward } else { Order::Forward };
                let range = Range { from: key(NAMES[from]), to: key(NAMES[to]), limit, order };
                let found = open.scan(&range).await.unwrap();
                let mut wanted: Vec<_> = model.iter().filter(|(at, _)| **at >= range.from && **at < range.to).collect();
                if back {
                    wanted.reverse();
                }
                wanted.truncate(limit);
                assert_eq!(found.len(), wanted.len());
                for (entry, (at, (revision, value))) in found.iter().zip(wanted) {
                    assert!(entry.key == *at && entry.revision == *revision && entry.value == *value, "{at}");
                }
            }
            Step::Reopen => {
                drop((open, store.take()));
                store = Some(place.open());
            }
        }
    }
    let open = store.clone().unwrap();
    for name in NAMES {
        let read = open.read(&key(name)).await.unwrap().map(|entry| (entry.revision, entry.value));
        assert!(read.as_ref() == model.get(&key(name)), "{name}");
    }
}

macro_rules! conformance {
    ($name:ident, $place:ty, cases: $cases:expr, { $($test:ident)* }) => {
        mod $name {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test::<$place>().await;
                }
            )*

            #[test]
            fn random_batches_do_what_the_model_does() {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
                let config = ProptestConfig { cases: $cases, failure_persistence: None, ..ProptestConfig::default() };
                proptest!(config, |(steps in steps())| runtime.block_on(follows_the_model::<$place>(steps)));
            }
        }
    };
    ($name:ident, $place:ty, cases: $cases:expr) => {
        conformance!($name, $place, cases: $cases, {
            a_batch_is_written_whole_or_not_at_all
            the_last_write_of_a_key_wins
            a_scan_goes_both_ways_page_by_page
            revisions_grow_and_survive_closing
            large_values_come_back_as_they_were
            a_watch_wakes_for_its_prefix_and_no_other
            who_is_woken_for_a_prefix_finds_the_watches_below_it_changed
            no_update_is_lost_among_many_writers
        });
    };
}

conformance!(memory, InMemory, cases: 200);
conformance!(embedded, Embedded, cases: 40);
conformance!(embedded_settling, Settling, cases: 40);
conformance!(postgres, Postgres, cases: 12);

#[tokio::test]
async fn a_folder_in_use_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let store = mayday::store::open(folder.path(), &Options::default()).unwrap();
    assert!(matches!(mayday::store::open(folder.path(), &Options::default()), Err(Error::InUse(_))));
    drop(store);
    assert!(mayday::store::open(folder.path(), &Options::default()).is_ok());
}

#[tokio::test]
async fn a_batch_or_a_key_that_is_too_large_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { batch_bytes: 100_000, ..Options::default() };
    let store = mayday::store::open(folder.path(), &options).unwrap();
    let refused = store.commit(put("a", &"x".repeat(100_000))).await.unwrap_err().to_string();
    assert!(refused.contains("store.batch_bytes"), "{refused}");
    assert!(matches!(store.commit(put(&"k".repeat(2000), "x")).await, Err(Error::Encode(_))));
    assert!(store.commit(put("a", &"x".repeat(90_000))).await.is_ok());
}

#[tokio::test]
async fn options_that_a_segment_could_not_take_are_named_and_not_followed() {
    let options = Options { batch_bytes: 64 << 20, group_bytes: 0, ..Options::default() };
    let said: Vec<_> = options.problems().into_iter().map(|(name, why)| format!("{name} {why}")).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].contains("batch_bytes must be between 16384 and 2097152 bytes"), "{said:?}");
    assert_eq!(Options::default().problems(), []);
    let folder = tempfile::tempdir().unwrap();
    let store = mayday::store::open(folder.path(), &options).unwrap();
    let refused = store.commit(put("a", &"x".repeat(3 << 20))).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { most: 2_097_152, .. }), "{refused}");
    assert!(refused.to_string().contains("write it in parts"), "{refused}");
}

/// sled would put large pages into files that it never syncs.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_beside_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<_> = mayday::store::open(folder.path(), &settling()).unwrap();
    for round in 0..4 {
        let writes = (0..40).map(|number| {
            let length = [2_048, 2_047, 180_000, 10][(number + round) % 4];
            Write::Put(key(&format!("{}/{number}", "k".repeat(900))), vec![round as u8; length])
        });
        store.commit(Batch { conditions: Vec::new(), writes: writes.collect() }).await.unwrap();
    }
    in_sled(folder.path());
    assert_eq!(std::fs::read_dir(folder.path().join("blobs")).unwrap().count(), 0);
}

/// Waits until all that was written is in sled: then the log has only its newest, empty file.
fn in_sled(folder: &std::path::Path) {
    let files = || std::fs::read_dir(folder.join("wal")).unwrap().count();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while files() > 1 {
        assert!(std::time::Instant::now() < until, "{} files of the log are left", files());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_into_sled_is_there_without_the_log_and_so_are_revisions() {
    let folder = tempfile::tempdir().unwrap();
    let store = mayday::store::open(folder.path(), &settling()).unwrap();
    for round in 0..20 {
        store.commit(put(&format!("kept/{round}"), &"x".repeat(round * 300))).await.unwrap();
        store.commit(put("gone/soon", "x")).await.unwrap();
        let mut batch = Batch::new();
        batch.delete(key("gone/soon"));
        store.commit(batch).await.unwrap();
    }
    let last = store.commit(put("last", "x")).await.unwrap();
    in_sled(folder.path());
    drop(store);
    std::fs::remove_dir_all(folder.path().join("wal")).unwrap();
    let store = mayday::store::open(folder.path(), &settling()).unwrap();
    let kept = store.scan(&Range::under(&key("kept"), 100)).await.unwrap();
    assert_eq!(kept.len(), 20);
    assert_eq!(value(&store, "gone/soon").await, None);
    assert!(store.commit(put("next", "x")).await.unwrap() > last);
}

#[tokio::test]
async fn a_damaged_log_keeps_the_store_closed_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let store = mayday::store::open(folder.path(), &Options::default()).unwrap();
    for round in 0..3 {
        store.commit(put("a", &format!("{round}"))).await.unwrap();
    }
    drop(store);
    let file = std::fs::read_dir(folder.path().join("wal")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let refused = mayday::store::open(folder.path(), &Options::default()).err().unwrap().to_string();
    assert!(refused.contains("is damaged at byte 0") && refused.contains("backup"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_over_and_over_does_not_make_the_log_grow() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { recent_bytes: 64 * 1024, ..Options::default() };
    let store = mayday::store::open(folder.path(), &options).unwrap();
    for round in 0..600 {
        store.commit(put("always/the-same", &"x".repeat(4_000 + round))).await.unwrap();
        store.commit(put("queue/item", &"x".repeat(2_000))).await.unwrap();
        let mut done = Batch::new();
        done.delete(key("queue/item"));
        store.commit(done).await.unwrap();
    }
    let size = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().metadata().unwrap().len();
    let log: u64 = std::fs::read_dir(folder.path().join("wal")).unwrap().map(size).sum();
    // Four megabytes were written.
    assert!(log < 1_000_000, "{log} bytes");
    drop(store);
    let store = mayday::store::open(folder.path(), &options).unwrap();
    assert_eq!(value(&store, "always/the-same").await.unwrap().len(), 4_599);
    assert_eq!(value(&store, "queue/item").await, None);
}

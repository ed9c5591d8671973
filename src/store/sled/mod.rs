//! The embedded store: one process, one folder, sled 0.34 underneath, made to survive a power cut.
//!
//! One writer thread takes all commits, appends those that wait as one record to a write-ahead log, calls `fdatasync` on
//! it, and only then shows and answers them all (`writer.rs`, `wal.rs`). What was written stands in memory (`recent.rs`)
//! until enough has come together; then another thread brings it into sled, and the log's file is removed (`settle.rs`).
//! So a commit costs an append and not sled's twenty microseconds for each key, and what is made and done away with in
//! between, as most items of queues are, never gets to sled. After a failed write or sync nothing more is taken: the
//! kernel may have dropped the pages, and a second sync that succeeds would prove nothing. The log's last file is written
//! anew at the next start for the same reason. sled's file is not: a disk that failed a sync should be looked at, and the
//! machine restarted, before Mayday is.
//!
//! sled's traps, all closed here:
//! * Its own `flush` ends in `sync_file_range`, which leaves the data in the disk's cache (spacejam/sled#1452). So the
//!   settler flushes and then calls `fdatasync` on the same file, part by part, before a file of the log goes.
//! * Pages over a quarter of a segment go to files in `blobs/` which sled never syncs. Values are cut into chunks so
//!   that no page gets that large (`layout.rs`).
//! * A segment whose pages were all moved elsewhere is overwritten, at the earliest when one more segment of log has been
//!   written than the last move. So a part whose writing stays below a segment has at least one sync in between. What
//!   sled writes for a part is more than the part's bytes: a page is written anew after ten changes. Segments are therefore
//!   as large as sled has them and parts small ([`SEGMENT_BYTES`], [`MOST_BYTES`], [`MOST_WRITES`]); `tests/it/power_cut.rs`
//!   measures hard ones. A folder that was made with smaller segments is opened with those, and says in the log what
//!   that means.
//! * What a part replaced is freed only if somebody asks sled's collector to run (`settle.rs`, `collect`).
//! * A snapshot that stayed half-written would be taken for damage; it is removed before sled opens (`disk.rs`).
//! * Old segments are cleaned by sled's flush timer alone. It stays on for that, slowly, and no promise rests on it.
//!
//! Reads and scans run where they are called: a page in the cache costs about two microseconds, one on disk a single
//! `pread`; a thread hop costs more. Long scans go to the blocking pool.
//!
//! Architecture Invariant: sled's types and its writing functions are named in this folder only (`clippy.toml`).

mod disk;
mod layout;
mod recent;
mod settle;
mod wal;
mod writer;

use std::cmp::Ordering as Compared;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, mpsc as channel};

use tokio::sync::{mpsc, oneshot};

use super::key::Order;
use super::watchers::Watchers;
use super::{Batch, Entry, Error, Key, Options, Range, Revision, SharedStore, Store, Watch};
use crate::core::BoxFuture;
use recent::{Recent, Value};
use settle::Settler;
use wal::Wal;
use writer::{Request, Writer};

/// Bytes of a segment of a new data folder. An older folder keeps its own: sled can't change it.
const SEGMENT_BYTES: usize = 16 * 1024 * 1024;
/// No batch, no group, and no part for sled is larger, whatever the options say: what sled writes for a part has to stay
/// below a segment. Measured: 2 MiB of new values write 5 to 9 MB of sled's log.
pub(super) const MOST_BYTES: usize = SEGMENT_BYTES / 8;
/// No part for sled has more writes, since each may cost a whole page: 1,500 all over full pages write up to 12 MB.
const MOST_WRITES: usize = 1_500;
/// How the folder is laid out: 2 has a write-ahead log beside sled, 1 (which nothing says) had none.
const LAYOUT: u32 = 2;
/// A scan reads so many entries before it lets the writer in between.
const SCAN_AT_ONCE: usize = 256;

/// Opens the store in a folder, making it if needed. Blocks; done once, at start.
///
/// # Errors
/// [`Error::InUse`] when another process has it open, [`Error::Unavailable`] when it can't be read or written,
/// [`Error::NewerLayout`] when a later Mayday has changed how it is laid out.
pub fn open(path: &Path, options: &Options) -> Result<SharedStore, Error> {
    let tree = disk::open(path, options)?;
    mark(&tree)?;
    let disk = disk::Disk::new(path)?;
    let settled = layout::last(&tree)?;
    let mut recent = Recent::default();
    let (wal, found) = Wal::open(path, |(key, revision, value)| {
        let below = |key: &Key| tree.contains_key(key.as_str()).unwrap_or(true);
        recent.set(key, value.map(|value| (revision, value)), below);
    })?;
    if found.torn > 0 {
        tracing::warn!(
            bytes = found.torn,
            "the last write before the end was not whole; nobody was told it was durable"
        );
    }
    let shared =
        Arc::new(Shared { tree, recent: RwLock::new(recent), watchers: Watchers::default(), failed: OnceLock::new() });
    let closing = Arc::new(AtomicBool::new(false));
    let (hand_over, work) = channel::sync_channel(1);
    let (done, settled_one) = channel::channel();
    let log = wal.folder().to_owned();
    let settler = Settler { shared: shared.clone(), disk, log, work, done, closing: closing.clone() };
    let (requests, receiver) = mpsc::channel(options.queue.max(1));
    let last = settled.max(found.last);
    let writer = Writer::new(shared.clone(), wal, last, receiver, (hand_over, settled_one), options);
    let threads = vec![thread("store-settler", move || settler.run())?, thread("store-writer", move || writer.run())?];
    let batch_bytes = options.batch_bytes.min(MOST_BYTES);
    Ok(Arc::new(Embedded { shared, requests: Some(requests), threads: Mutex::new(threads), closing, batch_bytes }))
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>, Error> {
    let made = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    made.map_err(|error| Error::Unavailable(format!("no thread for the {name}: {error}")))
}

/// Looks whether this Mayday may write here, and says how it does.
#[expect(clippy::disallowed_methods, reason = "before the store is open; `Disk::new` syncs it")]
fn mark(tree: &::sled::Db) -> Result<(), Error> {
    let found = tree.get(layout::LAYOUT).map_err(|error| unavailable(&error))?;
    let found = found.map(|bytes| bytes.as_ref().try_into().map(u32::from_be_bytes).unwrap_or(u32::MAX)).unwrap_or(1);
    match found.cmp(&LAYOUT) {
        Compared::Equal => Ok(()),
        Compared::Greater => Err(Error::NewerLayout { found, known: LAYOUT }),
        Compared::Less => {
            tree.insert(layout::LAYOUT, &LAYOUT.to_be_bytes()).map_err(|error| unavailable(&error))?;
            tree.flush().map(drop).map_err(|error| unavailable(&error))
        }
    }
}

/// The store behind the trait.
struct Embedded {
    shared: Arc<Shared>,
    /// Gone only while the store is dropped.
    requests: Option<mpsc::Sender<Request>>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    closing: Arc<AtomicBool>,
    batch_bytes: usize,
}

/// What readers, the writer and the settler share.
struct Shared {
    tree: ::sled::Db,
    /// Locked for writing while a group is made visible, so that a reader sees all of a commit or nothing of it.
    recent: RwLock<Recent>,
    watchers: Watchers,
    /// Why nothing is taken any more.
    failed: OnceLock<String>,
}

impl Shared {
    fn read(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = recent.get(key) {
            return Ok(entry(key, value));
        }
        match self.tree.get(key.as_str()).map_err(|error| unavailable(&error))? {
            Some(value) => layout::entry(&self.tree, key.clone(), &value).map(Some),
            None => Ok(None),
        }
    }

    fn scan(&self, range: &Range) -> Result<Vec<Entry>, Error> {
        let mut left = range.limit;
        let mut range = range.clone();
        // Nobody's keys start with the byte of the adapter's own.
        let own = Key::stored(layout::OWN.to_owned());
        range.to = range.to.min(own);
        let mut found = Vec::new();
        while left > 0 && range.from < range.to {
            let step = left.min(SCAN_AT_ONCE);
            let before = found.len();
            self.scan_step(&range, step, &mut found)?;
            if found.len() - before < step {
                break;
            }
            left -= step;
            if let Some(last) = found.last() {
                range = range.past(&last.key);
            }
        }
        Ok(found)
    }

    /// The next entries of a range: what was written recently and what is in sled, as one row.
    fn scan_step(&self, range: &Range, step: usize, found: &mut Vec<Entry>) -> Result<(), Error> {
        let most = found.len() + step;
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let mut recent = recent.range(range).peekable();
        let mut settled = self.tree.range(range.from.as_str()..range.to.as_str());
        let mut next = || match range.order {
            Order::Forward => settled.next(),
            Order::Backward => settled.next_back(),
        };
        let mut next = || next().transpose().map_err(|error| unavailable(&error));
        let mut stored = next()?;
        while found.len() < most {
            let from_recent = match (recent.peek(), &stored) {
                (None, None) => break,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((key, _)), Some((other, _))) => match key.as_str().as_bytes().cmp(other) {
                    Compared::Equal => {
                        // What is in sled may be on its way to what is here.
                        stored = next()?;
                        true
                    }
                    Compared::Less => range.order == Order::Forward,
                    Compared::Greater => range.order == Order::Backward,
                },
            };
            if from_recent {
                found.extend(recent.next().and_then(|(key, value)| entry(key, value)));
            } else if let Some((key, value)) = stored.take() {
                found.push(layout::entry(&self.tree, layout::key(&key)?, &value)?);
                stored = next()?;
            }
        }
        Ok(())
    }

    /// Makes a group visible.
    fn set(&self, writes: impl Iterator<Item = (Key, Value)>) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in writes {
            // If sled can't say, the deletion is kept.
            recent.set(key, value, |key| self.tree.contains_key(key.as_str()).unwrap_or(true));
        }
    }

    /// From here on nothing is taken any more. Gives what those who wait are told.
    fn fail(&self, error: &Error) -> Error {
        let why = format!("an earlier write failed; look at the disk, then start Mayday again: {error}");
        if self.failed.set(why.clone()).is_ok() {
            tracing::error!(%error, "the store takes no more commits until Mayday is started again");
            metrics::counter!("mayday_store_failures_total").increment(1);
        }
        Error::Unavailable(why)
    }
}

fn entry(key: &Key, value: &Value) -> Option<Entry> {
    let (revision, value) = value.as_ref()?;
    Some(Entry { key: key.clone(), revision: *revision, value: value.clone() })
}

impl Store for Embedded {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        Box::pin(async move { self.shared.read(key) })
    }

    fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        Box::pin(async move {
            if range.limit <= SCAN_AT_ONCE {
                return self.shared.scan(range);
            }
            let (shared, range) = (self.shared.clone(), range.clone());
            tokio::task::spawn_blocking(move || shared.scan(&range))
                .await
                .unwrap_or_else(|error| Err(Error::Unavailable(format!("the scan ended early: {error}"))))
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(async move {
            let bytes = layout::check(&batch, self.batch_bytes)?;
            let closed = || Error::Unavailable("the store is closed".to_owned());
            let (done, answer) = oneshot::channel();
            let requests = self.requests.as_ref().ok_or_else(closed)?;
            requests.send(Request { batch, bytes, done }).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        })
    }

    fn failed(&self) -> Option<String> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = threads.iter().any(std::thread::JoinHandle::is_finished);
        let ended = || ended.then(|| "one of its threads has ended with a panic".to_owned());
        self.shared.failed.get().cloned().or_else(ended)
    }

    fn watch(&self, prefix: &Key) -> Watch {
        self.shared.watchers.watch(prefix)
    }
}

impl Drop for Embedded {
    /// Waits for the threads: what was taken is durable, and the folder is free when this ends.
    fn drop(&mut self) {
        self.requests = None;
        self.closing.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("one of the store's threads ended with a panic");
            }
        }
    }
}

fn unavailable(error: &::sled::Error) -> Error {
    let said = error.to_string();
    Error::Unavailable(match error {
        ::sled::Error::Io(error) => disk::advised(said, error.kind()),
        _ => said,
    })
}

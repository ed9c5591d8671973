//! The embedded store: one process, one folder, sled 0.34 underneath, made to survive a power cut.
//!
//! sled's own `flush` ends in `sync_file_range`, which leaves the data in the disk's cache (spacejam/sled#1452). So one
//! writer thread takes all commits, applies those that wait as one group, flushes, calls `fdatasync` on the same file,
//! and only then answers them all (`writer.rs`). After a failed sync nothing more is taken: the kernel may have dropped
//! the pages, and a second sync that succeeds would prove nothing.
//!
//! Four more traps, all closed here:
//! * Pages over a quarter of a segment go to files in `blobs/` which sled never syncs. Values are cut into chunks so
//!   that no page gets that large (`layout.rs`).
//! * A segment whose pages were all moved elsewhere is overwritten, at the earliest when one more segment of log has been
//!   written than the last move. So a group whose writing stays below a segment has at least one sync in between. What
//!   sled writes for a group is more than the group's bytes: a page is written anew after ten changes. Segments are therefore
//!   as large as sled has them and groups small ([`SEGMENT_BYTES`], [`MOST_BYTES`]); `tests/it/power_cut.rs` measures hard batches.
//!   It is a measurement, not a bound: thousands of changes that each fill the last place of another page would write more.
//!   A folder that was made with smaller segments is opened with those, and says in the log what that means.
//! * What a group replaced is freed only if the writer asks sled's collector to run (`writer.rs`, `collect`).
//! * Old segments are cleaned by sled's flush timer alone. It stays on for that, slowly, and no promise rests on it.
//!
//! Reads and scans run where they are called: a page in the cache costs about two microseconds, one on disk a single
//! `pread`; a thread hop costs more. Long scans go to the blocking pool.
//!
//! Architecture Invariant: sled's types and its writing functions are named in this folder only (`clippy.toml`).

mod disk;
mod layout;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot};

use super::key::Order;
use super::watchers::Watchers;
use super::{Batch, Entry, Error, Key, Options, Range, Revision, SharedStore, Store, Watch};
use crate::core::BoxFuture;
use writer::{Request, Writer};

/// Bytes of a segment of a new data folder. An older folder keeps its own: sled can't change it.
const SEGMENT_BYTES: usize = 16 * 1024 * 1024;
/// No batch and no group is larger, whatever the options say: what is written for it has to stay below a segment.
/// Measured: 2 MiB of new values write 5 to 9 MB of log, 1,500 small changes all over full pages up to 12 MB.
pub(super) const MOST_BYTES: usize = SEGMENT_BYTES / 8;
/// A scan reads so many entries before it lets the writer in between.
const SCAN_AT_ONCE: usize = 256;

/// Opens the store in a folder, making it if needed. Blocks; done once, at start.
///
/// # Errors
/// [`Error::InUse`] when another process has it open, [`Error::Unavailable`] when it can't be read or written.
pub fn open(path: &Path, options: &Options) -> Result<SharedStore, Error> {
    let db = disk::open(path, options)?;
    let disk = disk::Disk::new(path)?;
    let shared =
        Arc::new(Shared { tree: db, visible: RwLock::new(()), watchers: Watchers::default(), failed: OnceLock::new() });
    let (requests, receiver) = mpsc::channel(options.queue.max(1));
    let writer = Writer::new(shared.clone(), disk, receiver, options)?;
    let thread = std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|error| Error::Unavailable(format!("no thread for the writer: {error}")))?;
    let open = Embedded {
        shared,
        requests: Some(requests),
        thread: Mutex::new(Some(thread)),
        batch_bytes: options.batch_bytes.min(MOST_BYTES),
    };
    Ok(Arc::new(open))
}

/// The store behind the trait.
struct Embedded {
    shared: Arc<Shared>,
    /// Gone only while the store is dropped.
    requests: Option<mpsc::Sender<Request>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    batch_bytes: usize,
}

/// What readers and the writer share.
struct Shared {
    tree: ::sled::Db,
    /// Held for writing while a group is applied, so that a reader sees all of a commit or nothing of it.
    visible: RwLock<()>,
    watchers: Watchers,
    /// Why the writer takes nothing any more.
    failed: OnceLock<String>,
}

impl Shared {
    fn read(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let _whole = self.visible.read().unwrap_or_else(PoisonError::into_inner);
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

    fn scan_step(&self, range: &Range, step: usize, found: &mut Vec<Entry>) -> Result<(), Error> {
        let _whole = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        let pairs = self.tree.range(range.from.as_str()..range.to.as_str());
        let mut take = |pair: ::sled::Result<(::sled::IVec, ::sled::IVec)>| {
            let (key, value) = pair.map_err(|error| unavailable(&error))?;
            found.push(layout::entry(&self.tree, layout::key(&key)?, &value)?);
            Ok(())
        };
        match range.order {
            Order::Forward => pairs.take(step).try_for_each(&mut take),
            Order::Backward => pairs.rev().take(step).try_for_each(&mut take),
        }
    }
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
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = thread.as_ref().is_some_and(std::thread::JoinHandle::is_finished);
        let ended = || ended.then(|| "its writer has ended with a panic".to_owned());
        self.shared.failed.get().cloned().or_else(ended)
    }

    fn watch(&self, prefix: &Key) -> Watch {
        self.shared.watchers.watch(prefix)
    }
}

impl Drop for Embedded {
    /// Waits for the writer: what it took is durable, and the folder is free when this ends.
    fn drop(&mut self) {
        self.requests = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended with a panic");
        }
    }
}

fn unavailable(error: &::sled::Error) -> Error {
    Error::Unavailable(error.to_string())
}

//! The thread that brings sled up to date: what came together in memory is given to sled in parts, each synced, and then
//! the write-ahead log's files that say the same are removed.
//!
//! A part is small enough for sled's own rules (see `mod.rs`). Until the last one is synced every reader is answered from
//! memory, and after a power cut from the log; so half of it in sled harms nobody, and it may be done again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, mpsc as channel};
use std::time::Instant;

use super::super::Error;
use super::disk::Disk;
use super::recent::Layer;
use super::{MOST_BYTES, MOST_WRITES, Shared, layout, unavailable, wal};

/// What is to be brought into sled.
pub(super) struct Settle {
    pub layer: Arc<Layer>,
    /// The newest revision that was given out until then.
    pub last: u64,
    /// The log's files up to this number say the same.
    pub up_to: u64,
}

/// The settler's own state.
pub(super) struct Settler {
    pub shared: Arc<Shared>,
    pub disk: Disk,
    /// The log's folder.
    pub log: PathBuf,
    pub work: channel::Receiver<Settle>,
    pub done: channel::Sender<()>,
    /// Set when the store closes: the log keeps what is not done.
    pub closing: Arc<AtomicBool>,
}

/// Lets sled free the page versions that a part replaced. It defers that to its epoch collector, which a thread that
/// writes thousands of keys under few pins hardly ever runs: memory and disk then grow by a kilobyte for each write
/// (measured: 600,000 writes over 2,500 keys took 950 MB of memory and 390 MB of disk; with this, 13 MB and 10 MB).
fn collect(writes: usize) {
    for _ in 0..4 + writes / 128 {
        ::sled::pin().flush();
    }
}

impl Settler {
    /// Runs until the writer is gone, or the store closes.
    pub fn run(self) {
        while let Ok(work) = self.work.recv() {
            let began = Instant::now();
            match self.settle(&work) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.shared.fail(&error);
                    return;
                }
            }
            metrics::histogram!("mayday_store_settle_seconds").record(began.elapsed().as_secs_f64());
            tracing::debug!(
                writes = work.layer.entries.len(),
                took_ms = began.elapsed().as_millis(),
                "sled is up to date"
            );
            drop(work);
            if self.done.send(()).is_err() {
                return;
            }
        }
    }

    /// Brings one layer into sled; false when the store closes before it is done.
    ///
    /// Key by key, since a batch of sled's would keep all readers out for as long as it takes, and nobody sees halves here.
    #[expect(clippy::disallowed_methods, reason = "the one place that writes to sled; `sync` follows each part")]
    fn settle(&self, work: &Settle) -> Result<bool, Error> {
        let tree = &self.shared.tree;
        let mut part = Part::default();
        for (key, value) in &work.layer.entries {
            let before = tree.get(key.as_str()).map_err(|error| unavailable(&error))?;
            let before = before.map(|stored| layout::chunks(key, &stored)).transpose()?;
            let value = value.as_ref().map(|(revision, value)| layout::cut(*revision, value));
            let chunks = value.as_ref().map_or(0, |(_, chunks)| chunks.len());
            if value.is_none() && before.is_none() {
                continue;
            }
            let writes = 1 + chunks.max(before.unwrap_or(0));
            let bytes = key.as_str().len() + 16 + work.layer.value_bytes(key);
            let full = part.bytes + bytes > MOST_BYTES || part.writes + writes > MOST_WRITES;
            if full && part.writes > 0 {
                self.sync(std::mem::take(&mut part))?;
                if self.closing.load(Ordering::Relaxed) {
                    return Ok(false);
                }
            }
            part.bytes += bytes;
            part.writes += writes;
            // First what is left over of a longer value: after a crash in between nobody would know of it any more.
            for number in chunks..before.unwrap_or(0) {
                tree.remove(layout::chunk_key(key, number)).map_err(|error| unavailable(&error))?;
            }
            match value {
                Some((stored, chunks)) => {
                    for (number, chunk) in chunks.enumerate() {
                        tree.insert(layout::chunk_key(key, number), chunk).map_err(|error| unavailable(&error))?;
                    }
                    tree.insert(key.as_str(), stored).map_err(|error| unavailable(&error))?;
                }
                None => drop(tree.remove(key.as_str()).map_err(|error| unavailable(&error))?),
            }
        }
        tree.insert(layout::LAST, &work.last.to_be_bytes()).map_err(|error| unavailable(&error))?;
        self.sync(part)?;
        self.shared.recent.write().unwrap_or_else(PoisonError::into_inner).older = None;
        wal::forget(&self.log, work.up_to)?;
        Ok(true)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that flushes; the sync follows")]
    fn sync(&self, part: Part) -> Result<(), Error> {
        self.shared.tree.flush().map_err(|error| unavailable(&error))?;
        self.disk.sync()?;
        collect(part.writes);
        Ok(())
    }
}

/// What was written since the last sync.
#[derive(Default)]
struct Part {
    writes: usize,
    bytes: usize,
}

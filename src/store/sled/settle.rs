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
    fn settle(&self, work: &Settle) -> Result<bool, Error> {
        let mut part = Part::default();
        for (key, value) in &work.layer.entries {
            let bytes = key.as_str().len() + value.as_ref().map_or(0, |(_, value)| value.len()) + 16;
            if part.bytes + bytes > MOST_BYTES || part.writes >= MOST_WRITES {
                if self.closing.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                self.write(std::mem::take(&mut part))?;
            }
            part.bytes += bytes;
            let chunks = match value {
                Some((revision, value)) => {
                    let chunks = layout::put(&mut part.batch, key, *revision, value);
                    part.writes += 1 + chunks;
                    chunks
                }
                None => 0,
            };
            // Applying needs the page anyway, so looking at what stands there costs little.
            let before = self.shared.tree.get(key.as_str()).map_err(|error| unavailable(&error))?;
            if let Some(stored) = before {
                if value.is_none() {
                    part.writes += 1;
                    part.batch.remove(key.as_str());
                }
                for number in chunks..layout::chunks(key, &stored)? {
                    part.batch.remove(layout::chunk_key(key, number));
                }
            }
        }
        part.batch.insert(layout::LAST, &work.last.to_be_bytes());
        self.write(part)?;
        self.shared.recent.write().unwrap_or_else(PoisonError::into_inner).older = None;
        wal::forget(&self.log, work.up_to)?;
        Ok(true)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that applies and flushes; the sync follows")]
    fn write(&self, part: Part) -> Result<(), Error> {
        self.shared.tree.apply_batch(part.batch).map_err(|error| unavailable(&error))?;
        self.shared.tree.flush().map_err(|error| unavailable(&error))?;
        self.disk.sync()?;
        collect(part.writes);
        Ok(())
    }
}

/// What sled takes at once.
#[derive(Default)]
struct Part {
    batch: ::sled::Batch,
    writes: usize,
    bytes: usize,
}

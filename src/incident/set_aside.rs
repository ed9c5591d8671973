//! Rejected alerts of batches that had good ones: kept for people to look at, the newest only.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::keys;
use crate::core::redact::shown;
use crate::core::text::capped;
use crate::core::{Tainted, Timestamp, digest};
use crate::store::{Batch, Error, Range, Record, SharedStore};

/// What is kept of one alert's text, bytes.
const TEXT: usize = 8 * 1024;
/// So many of one body are kept; the answer names all of them.
pub(super) const PER_BODY: usize = 100;

/// An alert that could not be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetAside {
    /// When it came.
    pub at: Timestamp,
    /// Through which integration.
    pub integration: String,
    /// Its place in the body.
    pub index: usize,
    /// Why it was rejected.
    pub why: String,
    /// Its text, cut at 8 KiB.
    pub text: Tainted,
}

impl Record for SetAside {}

impl SetAside {
    /// Without secrets and characters that drive a terminal.
    pub(super) fn into_shown(mut self) -> Self {
        (self.why, self.text) = (shown(&self.why, TEXT), shown(self.text.as_data(), TEXT).into());
        self
    }
}

/// Keeps at most `limit` of them.
#[derive(Debug)]
pub(super) struct Shelf {
    limit: usize,
    /// How many stand in the store; `usize::MAX` until they were counted.
    count: AtomicUsize,
}

impl Shelf {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, count: AtomicUsize::new(usize::MAX) }
    }

    /// Adds to the batch, and takes the oldest away when there are too many. The count may drift by what a failed commit
    /// would have added; the shelf is only ever shorter for it.
    pub(super) async fn put(&self, store: &SharedStore, batch: &mut Batch, bad: &[SetAside]) -> Result<(), Error> {
        let bad = &bad[..bad.len().min(PER_BODY).min(self.limit)];
        if bad.is_empty() {
            return Ok(());
        }
        if self.count.load(Ordering::Relaxed) == usize::MAX {
            let kept = store.scan(&Range::under(&keys::set_aside(), self.limit + 1)).await?.len();
            self.count.store(kept, Ordering::Relaxed);
        }
        let count = self.count.fetch_add(bad.len(), Ordering::Relaxed) + bad.len();
        if count > self.limit {
            let oldest = store.scan(&Range::under(&keys::set_aside(), count - self.limit)).await?;
            self.count.fetch_sub(oldest.len(), Ordering::Relaxed);
            for entry in oldest {
                batch.delete(entry.key);
            }
        }
        for one in bad {
            let id = &digest::hex(one.text.as_data().as_bytes())[..8];
            let key = format!("{:013}-{:05}-{id}", one.at.as_millisecond().max(0), one.index);
            batch.put(keys::set_aside().child(&key), one)?;
        }
        Ok(())
    }
}

/// What is kept of an alert's text.
pub(super) fn text(raw: &str) -> Tainted {
    Tainted::new(capped(raw, TEXT))
}

//! What `mayday.yaml` may say about the store: which one, and how it uses memory and the disk.

use serde::Deserialize;

use super::postgres;
use super::sled::MOST_BYTES;
use crate::core::duration::Span;

/// Which store, and how it uses memory and the disk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The shared store of several replicas; the embedded one if missing.
    pub postgres: Option<postgres::Options>,
    /// Bytes of pages kept in memory; the embedded store only.
    pub cache_bytes: u64,
    /// Bytes of new writes that come together in memory (and in the write-ahead log) before they go into sled, at least 64
    /// KiB; under load up to four times as many are held. The embedded store only.
    pub recent_bytes: usize,
    /// At most so many commits wait for the writer; more wait at the door.
    pub queue: usize,
    /// Commits that wait are written together up to so many bytes; at most 2 MiB.
    pub group_bytes: usize,
    /// A larger batch is refused; at most 2 MiB, since one that large is written whole before the disk is asked to keep it.
    pub batch_bytes: usize,
    /// How often old segments are cleaned; the embedded store only.
    pub clean_every: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            postgres: None,
            cache_bytes: 8 * 1024 * 1024,
            recent_bytes: 64 * 1024 * 1024,
            queue: 1_024,
            group_bytes: MOST_BYTES / 2,
            batch_bytes: MOST_BYTES,
            clean_every: Span::from_secs(5),
        }
    }
}

/// A smaller limit for batches would refuse what rooms write in one commit (a page of alerts, a card with its evidence).
const LEAST_BATCH: usize = 16 * 1024;

/// With less, everything would go into sled one by one.
const LEAST_RECENT: usize = 64 * 1024;

impl Options {
    /// What can't hold, with the option's name and what to write instead.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let range = |name, value: usize, least: usize| {
            let says = || format!("must be between {least} and {MOST_BYTES} bytes, it is {value}");
            (!(least..=MOST_BYTES).contains(&value)).then(|| (name, says()))
        };
        let batch = range("batch_bytes", self.batch_bytes, LEAST_BATCH);
        let recent = (self.recent_bytes < LEAST_RECENT)
            .then(|| ("recent_bytes", format!("must be at least {LEAST_RECENT} bytes, it is {}", self.recent_bytes)));
        [range("group_bytes", self.group_bytes, 1), batch, recent].into_iter().flatten().collect()
    }
}

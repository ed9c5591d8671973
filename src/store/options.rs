//! What `mayday.yaml` may say about the store: which one, and how it uses memory and the disk.

use serde::Deserialize;

use super::postgres;
use crate::core::duration::Span;

/// Which store, and how it uses memory and the disk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The shared store of several replicas; the embedded one if missing.
    pub postgres: Option<postgres::Options>,
    /// Bytes of pages kept in memory; the embedded store only.
    pub cache_bytes: u64,
    /// At most so many commits wait for the writer; more wait at the door.
    pub queue: usize,
    /// A group of commits ends when it has so many bytes. In the embedded store at most half a segment of two MiB.
    pub group_bytes: usize,
    /// A larger batch is refused.
    pub batch_bytes: usize,
    /// How often old segments are cleaned; the embedded store only.
    pub clean_every: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            postgres: None,
            cache_bytes: 8 * 1024 * 1024,
            queue: 1_024,
            group_bytes: 1024 * 1024,
            batch_bytes: 8 * 1024 * 1024,
            clean_every: Span::from_secs(5),
        }
    }
}

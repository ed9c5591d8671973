//! Durable work: shards with fenced leases, and queues whose items wait in the store until someone has done them.
//!
//! Everything that changes an incident or a run is an item of a [`Queue`], put there by the commit that caused it, and
//! applied by the holder of the shard's [`Lease`] in one commit that also takes the item away.

pub mod dead;
mod heads;
pub mod leases;
pub mod queue;
pub mod serial;
pub mod serve;
#[cfg(test)]
mod tests;

pub use dead::Dead;
pub use leases::Leases;
pub use queue::{Queue, Queued};
pub use serve::{Handler, serve};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::core::stop::Stop;
use crate::store::{self, Batch, Key, Revision};

/// How many shards work is spread over. Fixed once data exists: a group key's shard must not move.
pub const SHARDS: u16 = 64;

/// One share of the work; a group key always falls into the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard of a group key.
    #[must_use]
    pub fn of(group_key: &str) -> Self {
        let digest = crate::core::digest::hex(group_key.as_bytes());
        let number = u16::from_str_radix(&digest[..4], 16).unwrap_or(0);
        Self(number % SHARDS)
    }

    /// Two hex digits, for keys.
    #[must_use]
    pub fn key(self) -> String {
        format!("{:02x}", self.0)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }
}

/// The right to change what belongs to a shard, until someone takes it over with a higher token.
///
/// Whoever works for long under a lease ends soon after `leaving` is set: the shard goes to another process then.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Which shard.
    pub shard: Shard,
    /// Fencing token: grows with every take-over.
    pub token: u64,
    /// Where the lease record stands in the store.
    pub key: Key,
    /// The revision at which this holder wrote it.
    pub revision: Revision,
    /// Set when the shard is given back, or was lost.
    pub leaving: Stop,
    /// Counts who works under it.
    users: Arc<()>,
}

impl Lease {
    /// Makes a batch fail with a conflict if the lease was taken over.
    pub fn guard(&self, batch: &mut Batch) {
        batch.require_unchanged(self.key.clone(), self.revision);
    }
}

/// What can go wrong here.
pub type Error = store::Error;

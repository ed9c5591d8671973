//! Who may change what belongs to a shard: a lease record per shard, with a token that grows at every take-over.
//!
//! The embedded store has one process, which takes all shards over when it starts. Whoever held them before (a process
//! that was thought dead) fails at its next commit, since the lease record's revision has moved.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Lease, Shard};
use crate::core::{SharedClock, Timestamp};
use crate::store::{self, Batch, Key, Range, Record, Revision, SharedStore};

/// The stored lease of one shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Holder {
    replica: String,
    token: u64,
    since: Timestamp,
}

impl Record for Holder {}

/// The leases this process holds.
#[derive(Debug)]
pub struct Leases {
    leases: Vec<Lease>,
}

impl Leases {
    /// Takes every shard over, in one commit.
    ///
    /// # Errors
    /// The store's; a conflict when another process takes them at the same time.
    pub async fn take_all(store: &SharedStore, clock: &SharedClock, replica: &str) -> Result<Arc<Self>, store::Error> {
        let held = store.scan(&Range::under(&Key::of(["lease"]), usize::from(super::SHARDS))).await?;
        let now = clock.now();
        let mut batch = Batch::new();
        let mut leases = Vec::with_capacity(usize::from(super::SHARDS));
        for shard in Shard::all() {
            let key = Key::of(["lease", &shard.key()]);
            let before = held.iter().find(|entry| entry.key == key);
            let token = match before {
                Some(entry) => entry.decode::<Holder>()?.token + 1,
                None => 1,
            };
            batch.require_as_read(key.clone(), before.map(|entry| entry.revision));
            batch.put(key.clone(), &Holder { replica: replica.to_owned(), token, since: now })?;
            leases.push(Lease { shard, token, key, revision: Revision(0) });
        }
        let revision = store.commit(batch).await?;
        for lease in &mut leases {
            lease.revision = revision;
        }
        Ok(Arc::new(Self { leases }))
    }

    /// The lease of a shard.
    #[must_use]
    pub fn of(&self, shard: Shard) -> &Lease {
        &self.leases[usize::from(shard.0 % super::SHARDS)]
    }
}

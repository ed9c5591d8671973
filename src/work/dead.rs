//! Where items go that can't be handled: `dead/<queue>/<shard>/<due>-<id>`, with the reason, so that they block nobody
//! and are not lost. A person looks at them and puts them back.

use serde::{Deserialize, Serialize};

use super::{Lease, Queue, Queued, Shard};
use crate::core::Timestamp;
use crate::store::{self, Batch, Entry, Key, Range, Record, Write};

/// An item that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// Which shard it belongs to.
    pub shard: Shard,
    /// The item's stored bytes, which are JSON.
    pub item: String,
}

impl Record for Dead {}

impl<T: Record> Queue<T> {
    /// Moves an item to the dead, as it is stored, in one commit that the lease guards. Says so in the log and in
    /// `mayday_work_dead_total`.
    pub(super) async fn bury(&self, lease: &Lease, entry: &Entry, why: &str) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        lease.guard(&mut batch);
        batch.require_unchanged(entry.key.clone(), entry.revision);
        batch.delete(entry.key.clone());
        let dead = Dead {
            why: why.to_owned(),
            since: self.clock.now(),
            shard: lease.shard,
            item: String::from_utf8_lossy(&entry.value).into_owned(),
        };
        let key = self.graves().child(&lease.shard.key()).child(entry.key.last());
        batch.put(key.clone(), &dead)?;
        self.store.commit(batch).await?;
        metrics::counter!("mayday_work_dead_total", "queue" => self.name()).increment(1);
        tracing::error!(queue = self.name(), shard = lease.shard.0, %key, why, "an item is given up and kept aside");
        Ok(())
    }

    /// Items that were given up, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub async fn dead(&self, limit: usize) -> Result<Vec<(Key, Dead)>, store::Error> {
        let entries = self.store.scan(&Range::under(&self.graves(), limit)).await?;
        entries.iter().map(|entry| Ok((entry.key.clone(), entry.decode()?))).collect()
    }

    /// Puts a dead item back with the batch, due now; the batch conflicts if someone else did. False if it is not there.
    ///
    /// # Errors
    /// The store's.
    pub async fn revive(&self, batch: &mut Batch, grave: &Key) -> Result<bool, store::Error> {
        let Some(entry) = self.store.read(grave).await? else { return Ok(false) };
        let dead: Dead = entry.decode()?;
        batch.require_unchanged(grave.clone(), entry.revision);
        batch.delete(grave.clone());
        batch.writes.push(Write::Put(self.key(dead.shard, self.clock.now()), dead.item.into_bytes()));
        Ok(true)
    }

    /// Puts a stored item off without reading it: a later Mayday wrote it, and may come back.
    pub(super) async fn put_off(&self, lease: &Lease, entry: &Entry, due: Timestamp) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        lease.guard(&mut batch);
        batch.require_unchanged(entry.key.clone(), entry.revision);
        batch.delete(entry.key.clone());
        batch.writes.push(Write::Put(self.key(lease.shard, due), entry.value.clone()));
        self.store.commit(batch).await.map(drop)
    }

    /// Counts one more failure of an item and puts it off.
    pub(super) async fn failed(&self, lease: &Lease, item: &Queued<T>, due: Timestamp) -> Result<(), store::Error>
    where
        T: Clone,
    {
        let mut batch = Batch::new();
        lease.guard(&mut batch);
        self.postpone(&mut batch, item, due)?;
        self.store.commit(batch).await.map(drop)
    }

    fn graves(&self) -> Key {
        Key::of(["dead", self.name()])
    }
}

//! Which item stands first in each shard of a queue, kept from look to look: only shards where something changed are read
//! again. Now and then all are, so that nothing rests on a wake-up that was missed.

use std::collections::BTreeMap;

use super::{Queue, Shard};
use crate::core::Timestamp;
use crate::store::{self, Key, Record, Watch};

/// So many shards are read one by one.
const FEW: usize = 8;

/// The first items of a queue.
pub(super) struct Heads<T> {
    queue: Queue<T>,
    watches: Vec<(Shard, Watch)>,
    first: BTreeMap<Shard, (Key, Timestamp)>,
    /// Whether what is known may be out of date everywhere.
    all: bool,
}

impl<T: Record> Heads<T> {
    pub fn new(queue: Queue<T>) -> Self {
        let watches = Shard::all().map(|shard| (shard, queue.watch_shard(shard))).collect();
        Self { queue, watches, first: BTreeMap::new(), all: true }
    }

    /// All shards are read at the next look.
    pub fn look_everywhere(&mut self) {
        self.all = true;
    }

    /// The first item of each shard that has one, and when it is due.
    pub async fn look(&mut self) -> Result<Vec<(Shard, Key, Timestamp)>, store::Error> {
        // A shared store often can't say which shard it was: then one read of all is less than one for each.
        let changed = self.watches.iter().filter(|(_, watch)| watch.0.has_changed().unwrap_or(false)).count();
        self.all |= changed > FEW;
        if self.all {
            // Before the read: what changes during it is read again.
            for (_, watch) in &mut self.watches {
                watch.0.mark_unchanged();
            }
            let heads = self.queue.heads().await?;
            self.first = heads.into_iter().map(|(shard, key, due)| (shard, (key, due))).collect();
            self.all = false;
        } else {
            for (shard, watch) in &mut self.watches {
                // An error means that the store is closed: then nothing changes any more.
                if !watch.0.has_changed().unwrap_or(false) {
                    continue;
                }
                watch.0.mark_unchanged();
                match self.queue.head(*shard).await {
                    Ok(Some(head)) => self.first.insert(*shard, head),
                    Ok(None) => self.first.remove(shard),
                    Err(error) => {
                        self.all = true;
                        return Err(error);
                    }
                };
            }
        }
        Ok(self.first.iter().map(|(shard, (key, due))| (*shard, key.clone(), *due)).collect())
    }
}

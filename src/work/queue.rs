//! A durable queue: inbox, outbox and timer in one, since all three are "an item that waits until it is due and done".
//!
//! Keys are `queue/<name>/<shard>/<due>-<id>`: a scan gives a shard's items in the order they fall due.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::{ContextV7, Uuid};

use super::Shard;
use crate::core::{SharedClock, Timestamp};
use crate::store::{self, Batch, Entry, Key, Range, Record, Revision, SharedStore, Watch};

/// One item, as it was read.
#[derive(Debug, Clone)]
pub struct Queued<T> {
    /// Where it stands.
    pub key: Key,
    /// The commit that wrote it.
    pub revision: Revision,
    /// Which shard it belongs to.
    pub shard: Shard,
    /// From when it may be handled.
    pub due: Timestamp,
    /// How often handling it failed.
    pub failures: u32,
    /// What is to be done.
    pub record: T,
}

/// What is stored: the record and how often handling it has failed.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
struct Item<T> {
    #[serde(default)]
    failures: u32,
    record: T,
}

impl<T: Record> Record for Item<T> {
    const VERSION: u32 = T::VERSION;

    fn upgrade(from: u32, mut value: serde_json::Value) -> Result<serde_json::Value, String> {
        let record = value.get_mut("record").map(serde_json::Value::take).ok_or("an item without a record")?;
        value["record"] = T::upgrade(from, record)?;
        Ok(value)
    }
}

/// So many items are read at once to find each shard's first.
const HEADS: usize = 32;

/// A named durable queue of records of one type.
pub struct Queue<T> {
    name: &'static str,
    pub(super) store: SharedStore,
    pub(super) clock: SharedClock,
    /// A plain lock: held to draw an id.
    ids: Arc<Mutex<ContextV7>>,
    records: PhantomData<fn() -> T>,
}

/// The first item of each shard of a queue that has one: its key and when it is due. One read where few items wait; with
/// many, at most one for each such shard.
///
/// # Errors
/// The store's.
pub async fn heads_of(store: &SharedStore, queue: &str) -> Result<Vec<(Shard, Key, Timestamp)>, store::Error> {
    let mut range = Range::under(&Key::of(["queue", queue]), HEADS);
    let mut heads: Vec<(Shard, Key, Timestamp)> = Vec::new();
    loop {
        let page = store.scan(&range).await?;
        let whole = page.len() < range.limit;
        for entry in page {
            let number = entry.key.as_str().rsplit('/').nth(1).and_then(|digits| u16::from_str_radix(digits, 16).ok());
            // Keys of this prefix are made in this file only; one of another form would be no shard's.
            let Some(shard) = number.map(Shard) else { return Ok(heads) };
            if heads.last().is_none_or(|(last, ..)| *last != shard) {
                let due = due_of(&entry.key);
                heads.push((shard, entry.key, due));
            }
        }
        match heads.last() {
            // Many wait: from here on one by one.
            Some((last, ..)) if !whole => {
                (range.from, range.limit) = (Range::under(&Key::of(["queue", queue, &last.key()]), 1).to, 1);
            }
            _ => return Ok(heads),
        }
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            store: self.store.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            records: PhantomData,
        }
    }
}

impl<T: Record> Queue<T> {
    /// The queue of that name in this store. Cheap; two of the same name are the same queue.
    #[must_use]
    pub fn new(name: &'static str, store: SharedStore, clock: SharedClock) -> Self {
        Self { name, store, clock, ids: Arc::new(Mutex::new(ContextV7::new())), records: PhantomData }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Adds an item that is due now; it is there when the batch is durable.
    ///
    /// # Errors
    /// [`store::Error::Encode`].
    pub fn push(&self, batch: &mut Batch, shard: Shard, record: &T) -> Result<Key, store::Error>
    where
        T: Clone,
    {
        self.push_at(batch, shard, self.clock.now(), record)
    }

    /// Adds an item that is due later: a timer.
    ///
    /// # Errors
    /// [`store::Error::Encode`].
    pub fn push_at(&self, batch: &mut Batch, shard: Shard, due: Timestamp, record: &T) -> Result<Key, store::Error>
    where
        T: Clone,
    {
        let key = self.key(shard, due);
        batch.put(key.clone(), &Item { failures: 0, record: record.clone() })?;
        Ok(key)
    }

    /// The items of a shard that are due, oldest first.
    ///
    /// # Errors
    /// The store's; also [`store::Error::Corrupt`] when an item can't be read: [`serve`](super::serve()) sets such aside.
    pub async fn due(&self, shard: Shard, limit: usize) -> Result<Vec<Queued<T>>, store::Error> {
        self.due_entries(shard, limit).await?.iter().map(|entry| self.read(shard, entry)).collect()
    }

    /// The same as they are stored.
    pub(super) async fn due_entries(&self, shard: Shard, limit: usize) -> Result<Vec<Entry>, store::Error> {
        let prefix = self.prefix(shard);
        let mut range = Range::under(&prefix, limit);
        range.to = Key::stored(format!("{prefix}/{}", due_key(self.clock.now().as_millisecond() + 1)));
        self.store.scan(&range).await
    }

    /// The first item of each shard that has one: its key and when it is due.
    pub(super) async fn heads(&self) -> Result<Vec<(Shard, Key, Timestamp)>, store::Error> {
        heads_of(&self.store, self.name).await
    }

    /// The first item of one shard.
    pub(super) async fn head(&self, shard: Shard) -> Result<Option<(Key, Timestamp)>, store::Error> {
        let mut first = self.store.scan(&Range::under(&self.prefix(shard), 1)).await?;
        Ok(first.pop().map(|entry| (entry.key.clone(), due_of(&entry.key))))
    }

    /// When the shard's next item is due, if there is one.
    ///
    /// # Errors
    /// The store's.
    pub async fn next_due(&self, shard: Shard) -> Result<Option<Timestamp>, store::Error> {
        Ok(self.head(shard).await?.map(|(_, due)| due))
    }

    /// How many items of a shard wait, counted up to `limit`.
    ///
    /// # Errors
    /// The store's.
    pub async fn waiting(&self, shard: Shard, limit: usize) -> Result<usize, store::Error> {
        Ok(self.store.scan(&Range::under(&self.prefix(shard), limit)).await?.len())
    }

    /// Takes an item away with the batch; the batch conflicts if someone else has taken it.
    pub fn done(&self, batch: &mut Batch, item: &Queued<T>) {
        batch.require_unchanged(item.key.clone(), item.revision);
        batch.delete(item.key.clone());
    }

    /// Puts an item off, as it is or changed; it keeps no place in the order. Counts as a failure.
    ///
    /// # Errors
    /// [`store::Error::Encode`].
    pub fn postpone(&self, batch: &mut Batch, item: &Queued<T>, due: Timestamp) -> Result<(), store::Error>
    where
        T: Clone,
    {
        self.done(batch, item);
        batch.put(
            self.key(item.shard, due),
            &Item { failures: item.failures.saturating_add(1), record: item.record.clone() },
        )?;
        Ok(())
    }

    /// Wakes when an item is added or taken, in any shard.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.store.watch(&Key::of(["queue", self.name]))
    }

    /// Wakes when an item of this shard is added or taken.
    pub(super) fn watch_shard(&self, shard: Shard) -> Watch {
        self.store.watch(&self.prefix(shard))
    }

    fn prefix(&self, shard: Shard) -> Key {
        Key::of(["queue", self.name, &shard.key()])
    }

    pub(super) fn key(&self, shard: Shard, due: Timestamp) -> Key {
        let now = self.clock.now();
        let secs = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(&*ids, secs, nanos));
        self.prefix(shard).child(&format!("{}-{}", due_key(due.as_millisecond()), id.simple()))
    }

    pub(super) fn read(&self, shard: Shard, entry: &Entry) -> Result<Queued<T>, store::Error> {
        let item: Item<T> = entry.decode()?;
        Ok(Queued {
            key: entry.key.clone(),
            revision: entry.revision,
            shard,
            due: due_of(&entry.key),
            failures: item.failures,
            record: item.record,
        })
    }
}

/// Thirteen digits hold milliseconds until the year 2286.
fn due_key(millis: i64) -> String {
    format!("{:013}", millis.clamp(0, 9_999_999_999_999))
}

fn due_of(key: &Key) -> Timestamp {
    let millis = key.last().split('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

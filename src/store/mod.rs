//! The one place where state is kept: a small [`Store`] trait, adapters behind it, one conformance suite.
//!
//! What the trait promises (each adapter passes `conformance`):
//! * `commit` is atomic, and returns only after the batch would survive a power cut;
//! * its conditions are checked against everything committed before it (serialisable);
//! * commits become durable in order: if one survives, all before it do;
//! * `read` and `scan` see every acknowledged commit (they may see one whose sync is still under way; whoever acts on
//!   what it read commits an intent first, and that commit is durable only if what was read is);
//! * a batch of up to 2 MiB is taken (keys, values and a little for each write): a larger one is refused whole;
//! * `watch` wakes after the commit is durable; wake-ups coalesce; who is woken for a prefix finds the watches of what was
//!   written below it changed already.
//!
//! Architecture Invariant: no room above knows which adapter it talks to.

pub mod blobs;
pub mod clock;
pub mod key;
pub mod memory;
mod options;
pub mod postgres;
pub mod record;
pub mod series;
mod sled;
mod watchers;

use std::sync::Arc;

pub use key::{Key, Range};
pub use options::Options;
pub use record::Record;
pub use sled::open;

use crate::core::{BoxFuture, Timestamp};

/// The store every room is given.
pub type SharedStore = Arc<dyn Store>;

/// Counts commits; a key's revision is that of the commit that last wrote it. Grows, never repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// A stored value with the revision it was written at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub key: Key,
    /// The commit that wrote it.
    pub revision: Revision,
    /// The bytes; JSON, see [`Record`].
    pub value: Vec<u8>,
}

impl Entry {
    /// The value as a record of type `T`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the bytes are not such a record, [`Error::TooNew`] when a later Mayday wrote it.
    pub fn decode<T: Record>(&self) -> Result<T, Error> {
        record::decode(&self.key, &self.value)
    }
}

/// Reads, scans a range, commits a batch with conditions, watches. Nothing more, so that a second adapter stays small.
pub trait Store: Send + Sync + 'static {
    /// The entry at a key.
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, Error>>;
    /// The entries of a range in key order (or backwards, see [`Range`]), at most `range.limit`.
    fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, Error>>;
    /// Checks the conditions and writes, all or nothing; returns when it would survive a power cut.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a condition does not hold: nothing was written, read again and decide again.
    /// [`Error::Unavailable`] when it is not known to be durable: the caller must not report success.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, Error>>;
    /// The store's own clock, by which processes that share it agree how long a lease holds. None where one process owns
    /// the store: then its clock is that process's.
    fn now(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Why no commit is taken any more until the store is opened again; none while it is well. Reads may still work then.
    fn failed(&self) -> Option<String> {
        None
    }
    /// Wakes whenever a durable commit wrote or deleted a key under this prefix.
    fn watch(&self, prefix: &Key) -> Watch;
}

/// Writes and conditions that become durable together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// What must hold.
    pub conditions: Vec<Condition>,
    /// What is written, in order; the last write of a key wins.
    pub writes: Vec<Write>,
}

/// What must hold for a batch to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing stands at the key.
    Absent(Key),
    /// The key was last written by that commit.
    Unchanged(Key, Revision),
}

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the key's value.
    Put(Key, Vec<u8>),
    /// Removes the key; no error if nothing stands there.
    Delete(Key),
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record.
    ///
    /// # Errors
    /// [`Error::Encode`] when the record can't be written as JSON (a non-string map key, for instance).
    pub fn put<T: Record>(&mut self, key: Key, record: &T) -> Result<&mut Self, Error> {
        let value = record::encode(record)?;
        self.writes.push(Write::Put(key, value));
        Ok(self)
    }

    /// Removes a key.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Commits only if nothing stands at the key.
    pub fn require_absent(&mut self, key: Key) -> &mut Self {
        self.conditions.push(Condition::Absent(key));
        self
    }

    /// Commits only if the key was last written at `revision`.
    pub fn require_unchanged(&mut self, key: Key, revision: Revision) -> &mut Self {
        self.conditions.push(Condition::Unchanged(key, revision));
        self
    }

    /// Condition for a key as it was read: unchanged if there was an entry, absent if not.
    pub fn require_as_read(&mut self, key: Key, read: Option<Revision>) -> &mut Self {
        match read {
            Some(revision) => self.require_unchanged(key, revision),
            None => self.require_absent(key),
        }
    }

    /// Adds all of another batch.
    pub fn append(&mut self, mut other: Self) -> &mut Self {
        self.conditions.append(&mut other.conditions);
        self.writes.append(&mut other.writes);
        self
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// Wakes when something under a prefix changed. Wake-ups coalesce: read after each.
#[derive(Debug, Clone)]
pub struct Watch(pub tokio::sync::watch::Receiver<Revision>);

impl Watch {
    /// Waits for a change since the last call (or since the watch was made). Pends for ever once the store is closed.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What can go wrong with the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A condition did not hold; nothing was written.
    #[error("someone else wrote `{0}` meanwhile; read it again")]
    Conflict(Key),
    /// The store can't take or give data now; what was asked may or may not be durable.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A value is not what its key says.
    #[error("the value at `{key}` can't be read: {why}; restore it from a backup")]
    Corrupt {
        /// Where.
        key: Key,
        /// What the reader found.
        why: String,
    },
    /// A later version of Mayday wrote this record.
    #[error("`{key}` has record version {found}, this Mayday reads up to {known}; start the newer version")]
    TooNew {
        /// Where.
        key: Key,
        /// The record's version.
        found: u32,
        /// The newest this binary reads.
        known: u32,
    },
    /// A batch is larger than the store takes at once; nothing was written.
    #[error(
        "a batch of {bytes} bytes is larger than the store takes at once ({most}, `store.batch_bytes`); write it in parts"
    )]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// A record can't be written as JSON.
    #[error("a record can't be stored: {0}")]
    Encode(String),
    /// A later version of Mayday has changed how the store is laid out, further than this one may write to.
    #[error("the store has layout {found}, this Mayday writes to layouts up to {known}; start the newer version")]
    NewerLayout {
        /// The store's layout.
        found: u32,
        /// The newest this binary may write to.
        known: u32,
    },
    /// Another process has the store open.
    #[error("the data folder is in use by another Mayday: {0}; stop it, or talk to it with `mayday say`")]
    InUse(String),
}

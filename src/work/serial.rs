//! Numbers counted up in the store: `INC-1`, `INC-2` … without a gap or a repeat.

use serde::{Deserialize, Serialize};

use crate::store::{self, Batch, Key, Record, SharedStore};

#[derive(Serialize, Deserialize)]
struct Last(u64);

impl Record for Last {}

/// The next number of a kind; it is taken when the batch commits. A conflict means that someone else took it: build the
/// batch again.
///
/// # Errors
/// The store's.
pub async fn take(store: &SharedStore, batch: &mut Batch, kind: &str) -> Result<u64, store::Error> {
    take_many(store, batch, kind, 1).await
}

/// The first of `count` numbers in a row.
///
/// # Errors
/// The store's.
pub async fn take_many(store: &SharedStore, batch: &mut Batch, kind: &str, count: u64) -> Result<u64, store::Error> {
    let key = Key::of(["serial", kind]);
    let entry = store.read(&key).await?;
    let last = match &entry {
        Some(entry) => entry.decode::<Last>()?.0,
        None => 0,
    };
    batch.require_as_read(key.clone(), entry.map(|entry| entry.revision));
    batch.put(key, &Last(last + count))?;
    Ok(last + 1)
}

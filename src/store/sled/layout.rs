//! How entries stand in sled: the key's text, and as value eight bytes of revision and the bytes.
//!
//! A value over [`INLINE`] bytes is cut into chunks under keys of the adapter's own, since a sled page holds up to about
//! twenty entries and is written whole after ten changes: small pages keep what a batch writes small. Its own value then
//! says how many chunks there are, and the revision's highest bit is set.

use ::sled::{Db, IVec};

use super::super::{Batch, Entry, Error, Key, Revision, Write};
use super::unavailable;

/// The adapter's own keys start with this byte; no part of a [`Key`] can.
pub(super) const OWN: &str = "\u{7f}";
/// At this key stands the newest revision that is in sled.
pub(super) const LAST: &[u8] = b"\x7fceiling";
/// At this key stands how the folder is laid out.
pub(super) const LAYOUT: &[u8] = b"\x7flayout";
/// Longer keys are refused: sled keeps 256 of them in one index page.
const KEY_BYTES: usize = 1_024;
/// Longer values are cut. 1,500 changes, each in a page full of values of this size, write up to 12 MB of log; with 16 KiB it
/// was 33 MB. (An older store has larger ones, which are read all the same.)
pub(super) const INLINE: usize = 2 * 1024;
/// Marks a value that was cut.
const CUT: u64 = 1 << 63;

/// The newest revision that is in sled.
pub(super) fn last(tree: &Db) -> Result<u64, Error> {
    match tree.get(LAST).map_err(|error| unavailable(&error))? {
        Some(bytes) => number(&Key::stored("(revisions)".to_owned()), &bytes, 0),
        None => Ok(0),
    }
}

/// A batch's size, if it is small enough to be taken.
pub(super) fn check(batch: &Batch, most: usize) -> Result<usize, Error> {
    let mut bytes = 0;
    for write in &batch.writes {
        let (key, value) = match write {
            Write::Put(key, value) => (key, value.len()),
            Write::Delete(key) => (key, 0),
        };
        if key.as_str().is_empty() || key.as_str().len() > KEY_BYTES || key.as_str().as_bytes()[0] >= OWN.as_bytes()[0]
        {
            let start: String = key.as_str().chars().take(80).collect();
            return Err(Error::Encode(format!(
                "the key `{start}` is empty, longer than {KEY_BYTES} bytes or not text"
            )));
        }
        bytes += key.as_str().len() + value + 16;
    }
    if bytes > most {
        return Err(Error::TooLarge { bytes, most });
    }
    Ok(bytes)
}

/// A value as it is stored: what stands at its key, and its chunks if it is cut.
pub(super) fn cut(revision: Revision, value: &[u8]) -> (Vec<u8>, std::slice::Chunks<'_, u8>) {
    let mut stored = Vec::with_capacity(8 + value.len().min(INLINE));
    if value.len() <= INLINE {
        stored.extend_from_slice(&revision.0.to_be_bytes());
        stored.extend_from_slice(value);
        return (stored, [].chunks(INLINE));
    }
    stored.extend_from_slice(&(revision.0 | CUT).to_be_bytes());
    stored.extend_from_slice(&(value.len().div_ceil(INLINE) as u64).to_be_bytes());
    (stored, value.chunks(INLINE))
}

/// The key of a value's chunk.
pub(super) fn chunk_key(key: &Key, number: usize) -> Vec<u8> {
    format!("{OWN}{key}\u{0}{number:08x}").into_bytes()
}

/// How many chunks a stored value has.
pub(super) fn chunks(key: &Key, stored: &[u8]) -> Result<usize, Error> {
    if number(key, stored, 0)? & CUT == 0 {
        return Ok(0);
    }
    Ok(usize::try_from(number(key, stored, 8)?).unwrap_or(usize::MAX))
}

/// The revision of a stored value.
pub(super) fn revision(key: &Key, stored: &[u8]) -> Result<Revision, Error> {
    Ok(Revision(number(key, stored, 0)? & !CUT))
}

/// The entry of a stored value, its chunks put together.
pub(super) fn entry(tree: &Db, key: Key, stored: &IVec) -> Result<Entry, Error> {
    let head = number(&key, stored, 0)?;
    let revision = Revision(head & !CUT);
    if head & CUT == 0 {
        return Ok(Entry { value: stored[8..].to_vec(), key, revision });
    }
    let mut value = Vec::new();
    for chunk in 0..number(&key, stored, 8)? {
        let chunk = usize::try_from(chunk).unwrap_or(usize::MAX);
        match tree.get(chunk_key(&key, chunk)).map_err(|error| unavailable(&error))? {
            Some(bytes) => value.extend_from_slice(&bytes),
            None => return Err(Error::Corrupt { key, why: format!("its part {chunk} is missing") }),
        }
    }
    Ok(Entry { key, revision, value })
}

/// The key from its bytes.
pub(super) fn key(bytes: &[u8]) -> Result<Key, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| Error::Corrupt {
        key: Key::stored(String::from_utf8_lossy(bytes).into_owned()),
        why: error.to_string(),
    })?;
    Ok(Key::stored(text.to_owned()))
}

fn number(key: &Key, stored: &[u8], at: usize) -> Result<u64, Error> {
    let bytes = stored.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    let short = || Error::Corrupt { key: key.clone(), why: format!("only {} bytes", stored.len()) };
    Ok(u64::from_be_bytes(bytes.ok_or_else(short)?))
}

//! Large things under the SHA-256 of their content: charts, log excerpts, recorded cases. Capped each and in total.
//!
//! `put` returns when the blob would survive a power cut: written beside its place, synced, renamed, the folder synced.
//! `get` checks the content against its name, so that a rotten file is an error and never an answer. When the room is
//! used up, the oldest blobs that nobody [pins](Blobs::pin) are dropped, logged and counted; if that is not enough, the
//! new one is refused.
//!
//! Calls block for file I/O; call them from `spawn_blocking` where latency counts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::core::digest;

/// How much is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// A larger blob is refused.
    pub blob_bytes: u64,
    /// All together have at most so many bytes.
    pub total_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { blob_bytes: 8 * 1024 * 1024, total_bytes: 256 * 1024 * 1024 }
    }
}

/// A blob's name: the SHA-256 of its content, 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct BlobId(String);

impl BlobId {
    /// The name of this content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(digest::hex(content))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not the name of a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a blob's name has 64 lower-case hex digits")]
pub struct NotABlobId;

impl std::str::FromStr for BlobId {
    type Err = NotABlobId;

    /// Only digits get through, so that a name can't leave the folder.
    fn from_str(text: &str) -> Result<Self, NotABlobId> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if text.len() == 64 && digits { Ok(Self(text.to_owned())) } else { Err(NotABlobId) }
    }
}

impl<'de> Deserialize<'de> for BlobId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What can go wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The blob is larger than one may be.
    #[error("{bytes} bytes are more than a blob may have ({most}); raise blobs.blob_bytes or store less")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The bound.
        most: u64,
    },
    /// All the room is taken by blobs that are in use.
    #[error("no room for {bytes} more bytes: all {used} bytes are in use; raise blobs.total_bytes")]
    Full {
        /// The size of the new one.
        bytes: u64,
        /// What is pinned.
        used: u64,
    },
    /// The file's content is not what its name says.
    #[error("blob {0} is damaged; restore it from a backup")]
    Damaged(String),
    /// The files can't be read or written.
    #[error("blobs can't be kept in {place}: {why}; check the folder's space and rights")]
    Files {
        /// Which file or folder.
        place: String,
        /// What the system said.
        why: String,
    },
}

/// The blobs of one folder.
#[derive(Debug)]
pub struct Blobs {
    folder: PathBuf,
    options: Options,
    /// A plain lock, held while a blob is written: writes are few, and the caps are exact that way.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Each blob's size and its place in the order of arrival.
    blobs: HashMap<BlobId, (u64, u64)>,
    by_age: BTreeMap<u64, BlobId>,
    next: u64,
    bytes: u64,
    pinned: HashSet<BlobId>,
}

impl Blobs {
    /// Opens the folder, making it if needed; half-written files of a crash are removed.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn open(folder: &Path, options: Options) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(|error| files(folder, &error))?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|error| files(folder, &error))? {
            let path = entry.map_err(|error| files(folder, &error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Ok(id) = name.parse::<BlobId>() {
                let about = path.metadata().map_err(|error| files(&path, &error))?;
                found.push((about.modified().ok(), id, about.len()));
            } else if name.ends_with(".part") {
                std::fs::remove_file(&path).map_err(|error| files(&path, &error))?;
            }
        }
        found.sort();
        let mut state = State::default();
        for (_, id, bytes) in found {
            state.add(id, bytes);
        }
        sync_folder(folder)?;
        Ok(Self { folder: folder.to_owned(), options, state: Mutex::new(state) })
    }

    /// Keeps this content. The same content twice is kept once.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Full`], [`Error::Files`].
    pub fn put(&self, content: &[u8]) -> Result<BlobId, Error> {
        let bytes = content.len() as u64;
        if bytes > self.options.blob_bytes {
            return Err(Error::TooLarge { bytes, most: self.options.blob_bytes });
        }
        let id = BlobId::of(content);
        let mut state = self.state();
        if state.blobs.contains_key(&id) && self.path(&id).exists() {
            return Ok(id);
        }
        self.make_room(&mut state, bytes)?;
        let part = self.folder.join(format!("{}.part", id.0));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all(content)?;
            file.sync_all()?;
            std::fs::rename(&part, self.path(&id))
        };
        write().map_err(|error| files(&part, &error))?;
        sync_folder(&self.folder)?;
        state.forget(&id);
        state.add(id.clone(), bytes);
        metrics::gauge!("mayday_store_blobs_bytes").set(state.bytes as f64);
        Ok(id)
    }

    /// The content, checked against its name; none if it is not (or no longer) there.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Files`].
    pub fn get(&self, id: &BlobId) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(id);
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files(&path, &error)),
        };
        if BlobId::of(&content) == *id { Ok(Some(content)) } else { Err(Error::Damaged(id.0.clone())) }
    }

    /// Says which blobs records refer to: these are never dropped. Replaces what was said before; called after start and
    /// whenever records that refer to blobs come or go.
    pub fn pin(&self, referenced: impl IntoIterator<Item = BlobId>) {
        self.state().pinned = referenced.into_iter().collect();
    }

    /// Removes a blob; no error if it is not there.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn remove(&self, id: &BlobId) -> Result<(), Error> {
        let mut state = self.state();
        self.drop_file(id)?;
        state.forget(id);
        Ok(())
    }

    /// Bytes of all blobs.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.state().bytes
    }

    fn make_room(&self, state: &mut State, bytes: u64) -> Result<(), Error> {
        while state.bytes + bytes > self.options.total_bytes {
            let oldest = state.by_age.values().find(|id| !state.pinned.contains(*id)).cloned();
            let Some(oldest) = oldest else { return Err(Error::Full { bytes, used: state.bytes }) };
            self.drop_file(&oldest)?;
            state.forget(&oldest);
            tracing::info!(blob = %oldest.0, total_bytes = self.options.total_bytes, "blobs take too much room; oldest dropped");
            metrics::counter!("mayday_store_blobs_dropped_total").increment(1);
        }
        Ok(())
    }

    fn drop_file(&self, id: &BlobId) -> Result<(), Error> {
        let path = self.path(id);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(files(&path, &error)),
            _ => Ok(()),
        }
    }

    fn path(&self, id: &BlobId) -> PathBuf {
        self.folder.join(&id.0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, id: BlobId, bytes: u64) {
        self.blobs.insert(id.clone(), (bytes, self.next));
        self.by_age.insert(self.next, id);
        self.next += 1;
        self.bytes += bytes;
    }

    fn forget(&mut self, id: &BlobId) {
        if let Some((bytes, age)) = self.blobs.remove(id) {
            self.by_age.remove(&age);
            self.bytes -= bytes;
        }
    }
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|open| open.sync_all()).map_err(|error| files(folder, &error))
}

fn files(place: &Path, error: &std::io::Error) -> Error {
    Error::Files { place: place.display().to_string(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_comes_back_under_its_digest_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path(), Options::default()).unwrap();
        let id = blobs.put(b"chart").unwrap();
        assert_eq!(blobs.put(b"chart").unwrap(), id);
        assert_eq!(blobs.bytes(), 5);
        std::fs::write(folder.path().join("half.part"), b"torn").unwrap();
        let again = Blobs::open(folder.path(), Options::default()).unwrap();
        assert_eq!(again.get(&id).unwrap().as_deref(), Some(&b"chart"[..]));
        assert_eq!(again.get(&BlobId::of(b"other")).unwrap(), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!("../../etc/passwd".parse::<BlobId>().is_err());
    }

    #[test]
    fn a_damaged_blob_is_an_error_and_never_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path(), Options::default()).unwrap();
        let id = blobs.put(b"chart").unwrap();
        std::fs::write(folder.path().join(id.as_str()), b"chalk").unwrap();
        assert!(matches!(blobs.get(&id), Err(Error::Damaged(_))));
    }

    #[test]
    fn the_oldest_unpinned_goes_when_the_room_is_used_up() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { blob_bytes: 10, total_bytes: 20 };
        let blobs = Blobs::open(folder.path(), options).unwrap();
        assert!(matches!(blobs.put(&[0; 11]), Err(Error::TooLarge { bytes: 11, most: 10 })));
        let first = blobs.put(&[1; 10]).unwrap();
        let second = blobs.put(&[2; 10]).unwrap();
        blobs.pin([first.clone()]);
        let third = blobs.put(&[3; 10]).unwrap();
        assert!(blobs.get(&first).unwrap().is_some() && blobs.get(&third).unwrap().is_some());
        assert!(blobs.get(&second).unwrap().is_none());
        blobs.pin([first, third]);
        assert!(matches!(blobs.put(&[4; 10]), Err(Error::Full { .. })));
        assert_eq!(blobs.bytes(), 20);
    }
}

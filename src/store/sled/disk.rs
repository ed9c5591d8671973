//! The folder and its files: opening them, and bringing what sled wrote to the disk itself.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Error, Options, SEGMENT_BYTES, unavailable};
use crate::core::message::store as message;

/// sled's background threads let go of the file a moment after the store is dropped; so long it is tried again.
const LOCK_TRIES: u32 = 15;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// sled writes a snapshot at each start, under such a name before it has its own. It reads one that stayed half-written, on a
/// full disk or after a kill, as if it were whole, and then calls the whole store damaged.
const HALF_SNAPSHOT: (&str, &str) = ("snap.", ".generating");

/// Opens sled with the settings this adapter relies on.
pub(super) fn open(path: &Path, options: &Options) -> Result<::sled::Db, Error> {
    std::fs::create_dir_all(path).map_err(|error| at(path, &error))?;
    let config = ::sled::Config::new()
        .path(path)
        .segment_size(segment_bytes(path))
        .cache_capacity(options.cache_bytes)
        // Durability is the log's and the settler's. This timer also cleans old segments, and nothing else does.
        .flush_every_ms(Some(u64::try_from(options.clean_every.0.as_millis()).unwrap_or(u64::MAX).max(100)));
    let mut tries = 0;
    loop {
        forget_half_snapshots(path).map_err(|error| at(path, &error))?;
        match config.open() {
            Ok(db) => return Ok(db),
            Err(::sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
                tries += 1;
                if tries == LOCK_TRIES {
                    return Err(Error::InUse(path.display().to_string()));
                }
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(error) => return Err(unavailable(&error)),
        }
    }
}

/// Removes half-written snapshots: those before them are still there, and sled's log says all that they would.
fn forget_half_snapshots(path: &Path) -> std::io::Result<()> {
    // Not those of another process that is about to open the folder; sled holds the same lock.
    let Ok(db) = File::open(path.join("db")) else { return Ok(()) };
    if db.try_lock().is_err() {
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let half = |name: &str| name.starts_with(HALF_SNAPSHOT.0) && name.ends_with(HALF_SNAPSHOT.1);
        if name.to_str().is_some_and(half) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The segments' size: an older folder keeps what its `conf` says, since sled opens it with no other.
fn segment_bytes(path: &Path) -> usize {
    let conf = std::fs::read(path.join("conf")).unwrap_or_default();
    let said = String::from_utf8_lossy(&conf);
    let size = said.lines().find_map(|line| line.strip_prefix("segment_size: ")?.trim().parse().ok());
    let size = size.unwrap_or(SEGMENT_BYTES);
    if size < SEGMENT_BYTES {
        tracing::warn!(
            segment_bytes = size,
            "the data folder was made by an earlier Mayday; a power cut in the middle of a very large write may harm it. \
             Start with a new folder to be safe"
        );
    }
    size
}

/// The log file, opened a second time: its `fdatasync` covers what sled wrote through its own descriptor, and an error
/// of the device is reported to each descriptor, so sled can't swallow it.
#[derive(Debug)]
pub(super) struct Disk {
    log: File,
    path: PathBuf,
}

impl Disk {
    /// Opens the files for syncing, and syncs what opening the store wrote: the recovered log, the configuration, and the
    /// folder entries.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("db");
        let log = File::open(&path).map_err(|error| at(&path, &error))?;
        log.sync_all().map_err(|error| at(&path, &error))?;
        let mut folders = vec![folder.join("blobs"), folder.to_owned()];
        folders.extend(folder.canonicalize().ok().and_then(|full| Some(full.parent()?.to_owned())));
        for file in std::iter::once(folder.join("conf")).chain(folders) {
            File::open(&file).and_then(|open| open.sync_all()).map_err(|error| at(&file, &error))?;
        }
        Ok(Self { log, path })
    }

    /// Returns when all that was written to the log is on the disk.
    pub fn sync(&self) -> Result<(), Error> {
        self.log.sync_data().map_err(|error| at(&self.path, &error))
    }
}

pub(super) fn at(path: &Path, error: &std::io::Error) -> Error {
    Error::Unavailable(advised(format!("{}: {error}", path.display()), error.kind()))
}

/// The same error with what to do about it, if that is known.
pub(super) fn advised(said: String, kind: ErrorKind) -> String {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            format!("{said}; {}", message::make_room())
        }
        _ => said,
    }
}

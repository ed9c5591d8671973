//! The write-ahead log: what a group of commits writes stands here, synced, before anyone is told that it is durable.
//!
//! Files `wal/<number>.log`, each a row of records. A record is one group:
//!
//! ```text
//! "MdW1"  length of the payload: u32  CRC-32 of the payload: u32  payload
//! payload: last revision: u64, then for each write
//!          revision: u64  length of the key: u16  key  length of the value: u32 (all ones: deleted)  value
//! ```
//!
//! Numbers are little-endian. Only the last record of the last file can be torn, since one record at a time is written
//! and nothing is written after a failure: its group was never acknowledged, and it is cut off when the log is opened. If it
//! is whole it stays, and its commits are seen: whoever was told of a failure was told that they may or may not be durable.
//! A damaged record that others follow is no torn one: then the store does not open.
//!
//! The last file may also be readable and yet not on the disk (the process was killed before the sync, or the sync
//! failed), so it is written anew and synced before anything is built on it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::super::{Error, Key, Revision};
use super::disk::at;

const MAGIC: &[u8; 4] = b"MdW1";
const HEAD: usize = 12;
/// Stands for the length of a value that is not there.
const DELETED: u32 = u32::MAX;

/// One write: the key, and its new revision and value, or that nothing stands there any more.
pub(super) type Written = (Key, Revision, Option<Vec<u8>>);

/// The log, open for appending.
pub(super) struct Wal {
    folder: PathBuf,
    file: File,
    path: PathBuf,
    number: u64,
    /// Bytes of all files that are not yet forgotten when the next one begins: what a start would have to read.
    pub bytes: usize,
    /// Kept so that its memory is used again.
    buffer: Vec<u8>,
}

/// What was found when the log was opened.
#[derive(Default)]
pub(super) struct Found {
    /// The newest revision that was given out, as far as the log knows.
    pub last: u64,
    /// Bytes that were cut off: a group that nobody was told of.
    pub torn: usize,
}

impl Wal {
    /// Opens the log of a store, gives each write that stands in it to `replay` in the order they were made, and begins a
    /// new file.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: a record that is not the last is damaged, or files can't be read or made.
    pub fn open(store: &Path, mut replay: impl FnMut(Written)) -> Result<(Self, Found), Error> {
        let folder = store.join("wal");
        std::fs::create_dir_all(&folder).map_err(|error| at(&folder, &error))?;
        let mut found = Found::default();
        let mut total = 0;
        let mut newest = None;
        for number in numbers(&folder)? {
            let path = file_of(&folder, number);
            if path.metadata().map_err(|error| at(&path, &error))?.len() == 0 {
                // Nothing was written since it was begun.
                std::fs::remove_file(&path).map_err(|error| at(&path, &error))?;
                continue;
            }
            // Only the newest file may end in a torn record.
            if let Some((path, whole, bytes)) = newest.take()
                && whole < bytes
            {
                return Err(damaged(path, whole));
            }
            let bytes = std::fs::read(&path).map_err(|error| at(&path, &error))?;
            let whole = read(&path, &bytes, &mut found.last, &mut replay)?;
            total += whole;
            newest = Some((path, whole, bytes.len()));
        }
        if let Some((path, whole, bytes)) = &newest {
            found.torn = bytes - whole;
            write_anew(path, *whole)?;
        }
        sync_folder(store)?;
        let number = numbers(&folder)?.last().map_or(1, |last| last + 1);
        let (file, path) = begin(&folder, number)?;
        Ok((Self { folder, file, path, number, bytes: total, buffer: Vec::new() }, found))
    }

    /// Appends a group; returns when it is on the disk.
    pub fn append<'a>(
        &mut self,
        last: Revision,
        writes: impl Iterator<Item = (&'a Key, Revision, Option<&'a [u8]>)>,
    ) -> Result<(), Error> {
        self.buffer.clear();
        self.buffer.extend_from_slice(MAGIC);
        self.buffer.extend_from_slice(&[0; HEAD - MAGIC.len()]);
        self.buffer.extend_from_slice(&last.0.to_le_bytes());
        for (key, revision, value) in writes {
            self.buffer.extend_from_slice(&revision.0.to_le_bytes());
            self.buffer.extend_from_slice(&length::<u16>(key.as_str().len())?.to_le_bytes());
            self.buffer.extend_from_slice(key.as_str().as_bytes());
            let size = value.map_or(Ok(DELETED), |value| length(value.len()))?;
            self.buffer.extend_from_slice(&size.to_le_bytes());
            self.buffer.extend_from_slice(value.unwrap_or_default());
        }
        let size: u32 = length(self.buffer.len() - HEAD)?;
        let sum = crc32fast::hash(&self.buffer[HEAD..]);
        self.buffer[4..8].copy_from_slice(&size.to_le_bytes());
        self.buffer[8..HEAD].copy_from_slice(&sum.to_le_bytes());
        let written = self.file.write_all(&self.buffer).and_then(|()| self.file.sync_data());
        written.map_err(|error| at(&self.path, &error))?;
        self.bytes += self.buffer.len();
        Ok(())
    }

    /// Begins a new file; gives the number of the one that is complete now.
    pub fn next(&mut self) -> Result<u64, Error> {
        let complete = self.number;
        (self.file, self.path) = begin(&self.folder, complete + 1)?;
        self.number = complete + 1;
        self.bytes = 0;
        Ok(complete)
    }

    /// The folder, for [`forget`].
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Removes the files up to this number: what they say is in the store itself, and synced.
pub(super) fn forget(folder: &Path, up_to: u64) -> Result<(), Error> {
    // Oldest first: a file that is gone after a crash is never newer than one that is still there.
    for number in numbers(folder)?.into_iter().filter(|number| *number <= up_to) {
        let path = file_of(folder, number);
        std::fs::remove_file(&path).map_err(|error| at(&path, &error))?;
    }
    Ok(())
}

fn begin(folder: &Path, number: u64) -> Result<(File, PathBuf), Error> {
    let path = file_of(folder, number);
    let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(|error| at(&path, &error))?;
    // The file's name has to survive as well.
    sync_folder(folder)?;
    Ok((file, path))
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| at(folder, &error))
}

fn file_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.log"))
}

fn numbers(folder: &Path) -> Result<Vec<u64>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| at(folder, &error))? {
        let name = entry.map_err(|error| at(folder, &error))?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
        found.extend(number);
    }
    found.sort_unstable();
    Ok(found)
}

/// Reads the records of a file; gives the place after the last whole one.
fn read(path: &Path, bytes: &[u8], last: &mut u64, replay: &mut impl FnMut(Written)) -> Result<usize, Error> {
    let mut place = 0;
    while let Some(payload) = payload_at(bytes, place) {
        let end = place + HEAD + payload.len();
        let mut rest = Rest(payload);
        let broken = || damaged(path, place);
        *last = (*last).max(u64::from_le_bytes(rest.array().ok_or_else(broken)?));
        while !rest.0.is_empty() {
            replay(rest.written().ok_or_else(broken)?);
        }
        place = end;
    }
    // A torn record is the last one.
    let later = (place + 1..bytes.len()).any(|at| bytes[at..].starts_with(MAGIC) && payload_at(bytes, at).is_some());
    if later { Err(damaged(path, place)) } else { Ok(place) }
}

/// The payload of the record that begins there, if it is whole.
fn payload_at(bytes: &[u8], place: usize) -> Option<&[u8]> {
    let mut rest = Rest(bytes.get(place..)?);
    if rest.array()? != *MAGIC {
        return None;
    }
    let size = u32::from_le_bytes(rest.array()?);
    let sum = u32::from_le_bytes(rest.array()?);
    let payload = rest.take(usize::try_from(size).ok()?)?;
    (crc32fast::hash(payload) == sum).then_some(payload)
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn written(&mut self) -> Option<Written> {
        let revision = Revision(u64::from_le_bytes(self.array()?));
        let size = u16::from_le_bytes(self.array()?);
        let key = Key::stored(std::str::from_utf8(self.take(usize::from(size))?).ok()?.to_owned());
        let value = match u32::from_le_bytes(self.array()?) {
            DELETED => None,
            size => Some(self.take(usize::try_from(size).ok()?)?.to_vec()),
        };
        Some((key, revision, value))
    }
}

fn length<T: TryFrom<usize>>(size: usize) -> Result<T, Error> {
    T::try_from(size).map_err(|_| Error::Encode(format!("{size} bytes are more than a record of the log holds")))
}

/// Writes the first bytes of a file to the disk again, whatever of it was there, and cuts off the rest.
fn write_anew(path: &Path, whole: usize) -> Result<(), Error> {
    let copy = path.with_extension("anew");
    let write = || {
        let bytes = std::fs::read(path)?;
        let mut file = File::create(&copy)?;
        file.write_all(&bytes[..whole.min(bytes.len())])?;
        file.sync_all()?;
        std::fs::rename(&copy, path)
    };
    write().map_err(|error| {
        // Where there is no room, half a copy must not take what little there is.
        let _ = std::fs::remove_file(&copy);
        at(path, &error)
    })?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn damaged(path: impl AsRef<Path>, place: usize) -> Error {
    let path = path.as_ref();
    Error::Unavailable(format!(
        "{} is damaged at byte {place}, and what stands after it can't be relied on; restore the data folder from a backup",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(folder: &Path) -> Result<(Vec<Written>, Found), Error> {
        let mut all = Vec::new();
        let (_, found) = Wal::open(folder, |written| all.push(written))?;
        Ok((all, found))
    }

    fn write(wal: &mut Wal, number: u64) {
        let key = Key::of(["key", &number.to_string()]);
        let value = vec![b'v'; 100];
        let deleted = Key::of(["deleted"]);
        let writes = [(&key, Revision(number), Some(value.as_slice())), (&deleted, Revision(number), None)];
        wal.append(Revision(number), writes.into_iter()).unwrap();
    }

    fn only_file(folder: &Path) -> PathBuf {
        let full = |number: &u64| std::fs::metadata(file_of(&folder.join("wal"), *number)).unwrap().len() > 0;
        let mut full: Vec<u64> = numbers(&folder.join("wal")).unwrap().into_iter().filter(full).collect();
        assert_eq!(full.len(), 1);
        file_of(&folder.join("wal"), full.remove(0))
    }

    #[test]
    fn what_was_appended_is_read_back_in_order_over_several_files() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, found) = Wal::open(folder.path(), |_| panic!("it is empty")).unwrap();
        assert_eq!((found.last, found.torn), (0, 0));
        write(&mut wal, 1);
        let complete = wal.next().unwrap();
        write(&mut wal, 2);
        drop(wal);
        let (all, found) = wrote(folder.path()).unwrap();
        let revisions: Vec<u64> = all.iter().map(|(_, revision, _)| revision.0).collect();
        assert_eq!((revisions, found.last, found.torn), (vec![1, 1, 2, 2], 2, 0));
        assert_eq!(all[0].2.as_deref(), Some([b'v'; 100].as_slice()));
        assert_eq!(all[1].2, None);
        forget(&folder.path().join("wal"), complete).unwrap();
        assert_eq!(wrote(folder.path()).unwrap().0.len(), 2);
    }

    #[test]
    fn a_torn_last_record_is_cut_off_wherever_it_was_torn() {
        for keep in 0..=1 {
            let folder = tempfile::tempdir().unwrap();
            let (mut wal, _) = Wal::open(folder.path(), |_| ()).unwrap();
            (1..=keep + 1).for_each(|number| write(&mut wal, number));
            drop(wal);
            let path = only_file(folder.path());
            let whole = std::fs::read(&path).unwrap();
            let record = whole.len() / (usize::try_from(keep).unwrap() + 1);
            for left in whole.len() - record + 1..whole.len() {
                std::fs::write(&path, &whole[..left]).unwrap();
                let (all, found) = wrote(folder.path()).unwrap();
                assert_eq!(all.len() as u64, 2 * keep, "{left} bytes were left");
                assert_eq!(found.torn, left - (whole.len() - record));
                // Cut: now nothing is torn any more.
                assert_eq!(wrote(folder.path()).unwrap().1.torn, 0);
            }
        }
    }

    #[test]
    fn a_damaged_record_that_others_follow_is_said_and_nothing_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, _) = Wal::open(folder.path(), |_| ()).unwrap();
        (1..=3).for_each(|number| write(&mut wal, number));
        drop(wal);
        let path = only_file(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for place in [0, 5, 9, 40, whole.len() / 3 + 20] {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            let why = wrote(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(why.contains("is damaged at byte"), "byte {place}: {why}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }
}

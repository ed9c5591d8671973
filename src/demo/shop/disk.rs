//! A folder with a quota, kept for real: a write beyond it fails as on a full disk.
//!
//! A demo can't mount a file system without being root, so the service itself keeps the limit: it sums up its folder
//! before each write.

use std::io::{self, Write as _};
use std::path::PathBuf;

/// Journal file; older parts of it are `payments.log.1`, `.2` …
const NAME: &str = "payments.log";
/// A part of the journal is closed at this size, bytes.
const PART_BYTES: u64 = 256 * 1024;

/// A folder that holds at most `quota` bytes.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    quota: u64,
}

impl Folder {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: PathBuf, quota: u64) -> io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, quota })
    }

    /// Bytes in it.
    ///
    /// # Errors
    /// The system's.
    pub fn used(&self) -> io::Result<u64> {
        let mut sum = 0;
        for entry in std::fs::read_dir(&self.path)? {
            // A file may go between the listing and the look: then it takes no space.
            sum += entry?.metadata().map(|data| if data.is_file() { data.len() } else { 0 }).unwrap_or(0);
        }
        Ok(sum)
    }

    /// Bytes it may hold.
    #[must_use]
    pub const fn quota(&self) -> u64 {
        self.quota
    }

    /// Appends a line to the journal; closes the part when it is large enough.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when the quota is used up.
    pub fn append(&self, line: &str) -> io::Result<()> {
        self.room_for(line.len() as u64 + 1)?;
        let path = self.path.join(NAME);
        if std::fs::metadata(&path).is_ok_and(|data| data.len() > PART_BYTES) {
            std::fs::rename(&path, self.next_part()?)?;
        }
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{line}")
    }

    /// Fills the folder with closed parts of the journal, as a debug switch left on would; returns the bytes written.
    ///
    /// # Errors
    /// The system's, but not the quota.
    pub fn fill(&self) -> io::Result<u64> {
        let line = "DEBUG payment request dump ".repeat(37) + "\n";
        let mut written = 0;
        loop {
            let room = self.quota.saturating_sub(self.used()?);
            let size = room.min(1024 * 1024);
            if size == 0 {
                return Ok(written);
            }
            let lines = usize::try_from(size).unwrap_or(usize::MAX).div_ceil(line.len());
            let mut part = line.repeat(lines);
            part.truncate(usize::try_from(size).unwrap_or(usize::MAX));
            std::fs::write(self.next_part()?, part)?;
            written += size;
        }
    }

    fn room_for(&self, bytes: u64) -> io::Result<()> {
        let used = self.used()?;
        if used + bytes > self.quota {
            let why = format!("No space left on device ({used} of {} bytes used)", self.quota);
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        Ok(())
    }

    fn next_part(&self) -> io::Result<PathBuf> {
        let mut last = 0_u64;
        for entry in std::fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(NAME)?.strip_prefix('.')?.parse().ok());
            last = last.max(number.unwrap_or(0));
        }
        Ok(self.path.join(format!("{NAME}.{}", last + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_folder_refuses_writes_until_closed_parts_are_removed() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path().join("data"), 3_000_000).unwrap();
        folder.append("paid 12.00").unwrap();
        assert!(folder.fill().unwrap() > 2_900_000);
        assert_eq!(folder.used().unwrap(), 3_000_000);
        let error = folder.append("paid 13.00").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("No space left on device"));
        for entry in std::fs::read_dir(temp.path().join("data")).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with("payments.log.") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        folder.append("paid 13.00").unwrap();
        assert_eq!(std::fs::read_to_string(temp.path().join("data/payments.log")).unwrap(), "paid 12.00\npaid 13.00\n");
    }

    #[test]
    fn a_large_journal_is_closed_under_the_next_number() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path().to_owned(), 20_000_000).unwrap();
        for _ in 0..3 {
            folder.append(&"x".repeat(200_000)).unwrap();
        }
        assert!(temp.path().join("payments.log.1").exists());
        assert!(!temp.path().join("payments.log.2").exists());
    }
}

//! Follows log files through growth, rotation and truncation, by looking at them on a beat.
//!
//! A file is known by device and inode, so that a renamed one is read on beside its successor until its writer has let
//! go of it. A line without an end waits until it has one, or until its file is let go.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Tails;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp};
use crate::watch::options::{LogFile, LogOptions};

/// At most so many files per pattern.
const MOST_FILES: usize = 32;
/// At most so many bytes of one file in one look, so that a flood in one does not starve the others.
const MOST_BYTES: usize = 1024 * 1024;
/// New files are looked for on every so manieth look only; listing folders costs more than asking known files.
const LIST_EVERY: u32 = 4;
/// A file that was renamed or removed is let go after so many looks without a new byte: its writer may be late to notice.
const QUIET_LOOKS: u32 = 6;

/// Follows all configured files.
#[derive(Debug)]
pub struct Follower {
    options: LogOptions,
    tails: Tails,
    clock: SharedClock,
}

impl Follower {
    /// A follower that puts lines into `tails`.
    #[must_use]
    pub fn new(options: LogOptions, tails: Tails, clock: SharedClock) -> Self {
        Self { options, tails, clock }
    }

    /// Follows until asked to stop.
    pub async fn run(self, stop: Stop) {
        if self.options.files.is_empty() {
            return stop.wait().await;
        }
        let mut sources: Vec<Source> = self.options.files.iter().cloned().map(Source::new).collect();
        let mut looks = 0u32;
        loop {
            let (tails, read_back) = (self.tails.clone(), self.options.read_back_bytes);
            // Files may lie on a slow disk.
            let looked = tokio::task::spawn_blocking(move || {
                for source in &mut sources {
                    source.look(&tails, read_back, looks);
                }
                sources
            });
            match looked.await {
                Ok(back) => sources = back,
                Err(error) => {
                    tracing::error!(%error, "log files are no longer followed");
                    return stop.wait().await;
                }
            }
            looks = looks.wrapping_add(1);
            tokio::select! {
                () = stop.wait() => return,
                () = self.clock.sleep(self.options.poll.0) => {}
            }
        }
    }
}

#[derive(Debug)]
struct Source {
    config: LogFile,
    open: Vec<(PathBuf, Tail)>,
    /// Whether a reading error was said already; said again after it worked.
    complained: bool,
    fresh: bool,
}

impl Source {
    fn new(config: LogFile) -> Self {
        Self { config, open: Vec::new(), complained: false, fresh: true }
    }

    fn look(&mut self, tails: &Tails, read_back: u64, looks: u32) {
        // A file that took another's place is opened at once, without waiting for the next listing.
        let replaced = self.open.iter().any(|(_, tail)| tail.quiet == 1);
        if looks.is_multiple_of(LIST_EVERY) || replaced {
            match matching(&self.config.path) {
                Ok(paths) => {
                    for path in paths {
                        let known = id_of(&path).is_none_or(|id| self.open.iter().any(|(_, tail)| tail.id == id));
                        if !known && let Ok(tail) = Tail::open(&path, self.fresh.then_some(read_back)) {
                            self.open.push((path, tail));
                        }
                    }
                    self.complained = false;
                }
                Err(error) if !self.complained => {
                    tracing::warn!(path = %self.config.path.display(), %error, "log files can't be listed");
                    self.complained = true;
                }
                Err(_) => {}
            }
            self.fresh = false;
        }
        let service = &self.config.service;
        self.open.retain_mut(|(path, tail)| tail.look(path, service, tails));
    }
}

fn id_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|facts| (facts.dev(), facts.ino()))
}

/// Paths that match a pattern in their last part, in order.
fn matching(pattern: &Path) -> std::io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return Ok(if pattern.exists() { vec![pattern.to_owned()] } else { Vec::new() });
    }
    let folder = pattern.parent().unwrap_or(Path::new("/"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if fits(name.as_bytes(), entry.file_name().to_string_lossy().as_bytes()) && entry.path().is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    if found.len() > MOST_FILES {
        tracing::warn!(pattern = %pattern.display(), files = found.len(), followed = MOST_FILES, "too many log files match");
        // The names' order is mostly the time's: the last ones are the live ones.
        found.drain(..found.len() - MOST_FILES);
    }
    Ok(found)
}

/// `*` is any run of bytes, `?` any one. Linear: a failed run goes back to the last `*` only.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((after, from)) => {
                    back = Some((after, from + 1));
                    p = after;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[derive(Debug)]
struct Tail {
    file: File,
    id: (u64, u64),
    offset: u64,
    lines: Lines,
    /// Lines up to this offset were there before Mayday looked: without a time of their own they get the file's.
    old_until: u64,
    old_time: Option<Timestamp>,
    /// Looks without a new byte since the path names another file, or none.
    quiet: u32,
}

impl Tail {
    /// Opens a file: at its start, or `read_back` bytes before its end.
    fn open(path: &Path, read_back: Option<u64>) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let facts = file.metadata()?;
        let offset = read_back.map_or(0, |back| facts.len().saturating_sub(back));
        let mut lines = Lines::default();
        if offset > 0 {
            file.seek(SeekFrom::Start(offset))?;
            // The first piece is the end of a line whose beginning was not read.
            lines.skipping = true;
        }
        let old_time = facts.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        Ok(Self {
            id: (facts.dev(), facts.ino()),
            old_until: if read_back.is_some() { facts.len() } else { 0 },
            file,
            offset,
            lines,
            old_time,
            quiet: 0,
        })
    }

    /// Reads what is new. False when the file was replaced or removed and its writer has let go of it.
    fn look(&mut self, path: &Path, service: &str, tails: &Tails) -> bool {
        let replaced = id_of(path) != Some(self.id);
        let before = self.offset;
        if let Err(error) = self.read(service, tails) {
            tracing::warn!(path = %path.display(), %error, "a log file can't be read");
            return false;
        }
        self.quiet = if !replaced {
            0
        } else if self.offset == before {
            self.quiet + 1
        } else {
            1
        };
        if self.quiet < QUIET_LOOKS {
            return true;
        }
        if let Some(rest) = self.lines.rest() {
            tails.take(service, &rest, None);
        }
        false
    }

    fn read(&mut self, service: &str, tails: &Tails) -> std::io::Result<()> {
        let length = self.file.metadata()?.len();
        if length < self.offset {
            // Truncated in place (copytruncate): what is there now is new.
            self.file.seek(SeekFrom::Start(0))?;
            self.offset = 0;
            self.old_until = 0;
            self.lines = Lines::default();
        }
        if length == self.offset {
            return Ok(());
        }
        let mut buffer = [0u8; 16 * 1024];
        let mut taken = 0;
        while taken < MOST_BYTES {
            let count = self.file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            let old = (self.offset < self.old_until).then_some(self.old_time).flatten();
            self.lines.feed(&buffer[..count], tails.line_bytes(), |line| tails.take(service, line, old));
            self.offset += count as u64;
            taken += count;
        }
        Ok(())
    }
}

/// Bytes into lines; an endless one is cut at the cap and its rest skipped.
#[derive(Debug, Default)]
pub(in crate::watch) struct Lines {
    partial: Vec<u8>,
    skipping: bool,
}

impl Lines {
    pub(in crate::watch) fn feed(&mut self, bytes: &[u8], cap: usize, mut line: impl FnMut(&[u8])) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let ends = pieces.peek().is_some();
            if !self.skipping {
                self.partial.extend_from_slice(&piece[..piece.len().min(cap + 1)]);
                if ends || self.partial.len() > cap {
                    line(&self.partial);
                    self.partial.clear();
                    self.skipping = !ends;
                }
            } else if ends {
                self.skipping = false;
            }
        }
        if self.partial.is_empty() {
            // An idle file should not hold on to the buffer of its longest line.
            self.partial.shrink_to(256);
        }
    }

    /// The unfinished line, at the end of everything.
    pub(in crate::watch) fn rest(&mut self) -> Option<Vec<u8>> {
        (!self.partial.is_empty() && !self.skipping).then(|| std::mem::take(&mut self.partial))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_fits_names() {
        for (pattern, name, wanted) in [
            ("*.log", "order.log", true),
            ("*.log", "order.log.1", false),
            ("order-?.log", "order-1.log", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), wanted, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn however_the_bytes_come_the_lines_are_the_same(text in "[ab\n]{0,80}", cuts in prop::collection::vec(1usize..9, 0..40)) {
            let mut lines = Lines::default();
            let mut found: Vec<Vec<u8>> = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                lines.feed(now, 1_000, |line| found.push(line.to_vec()));
                rest = later;
            }
            lines.feed(rest, 1_000, |line| found.push(line.to_vec()));
            found.extend(lines.rest());
            let mut wanted: Vec<Vec<u8>> = text.split('\n').map(|line| line.as_bytes().to_vec()).collect();
            if wanted.last().is_some_and(Vec::is_empty) {
                wanted.pop();
            }
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn a_line_longer_than_the_cap_comes_once_and_the_next_is_whole(length in 1usize..60, chunk in 1usize..20) {
            let text = format!("{}\nnext\n", "x".repeat(length));
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(chunk) {
                lines.feed(piece, 10, |line| found.push(line.len()));
            }
            prop_assert_eq!(found.len(), 2);
            prop_assert_eq!(found[1], 4);
            prop_assert!(found[0] == length.min(found[0]) && (length <= 10) == (found[0] == length && found[0] <= 10));
        }
    }
}

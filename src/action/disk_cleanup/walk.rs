//! Finds what may be removed in an allowed folder, and removes exactly what a plan lists.
//!
//! Every path is resolved by the kernel below the folder's own handle (`openat2` with `RESOLVE_BENEATH`,
//! `RESOLVE_NO_SYMLINKS`, `RESOLVE_NO_XDEV`): no symbolic link, no `..` and no other mount can lead out of it, also not one
//! that is put there between looking and removing.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::core::Timestamp;

/// Folders below the allowed one that are looked into.
const DEPTH: usize = 8;
/// Entries looked at before it gives up, saying so.
const ENTRIES: usize = 200_000;

/// One file as it was when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Path below the folder.
    pub path: String,
    /// Its inode.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Last change, nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Bytes that removing it gives back: none while another name of it stays.
    pub frees: u64,
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// Files, oldest first.
    pub files: Vec<Listed>,
    /// What was not looked at, in words.
    pub notes: Vec<String>,
}

/// What became of the list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files of the list that are gone now, whether by this time or an earlier one.
    pub files: u64,
    /// Bytes they gave back.
    pub bytes: u64,
    /// Left alone, and why, at most 20.
    pub left: Vec<String>,
    /// How many were left alone.
    pub left_count: u64,
    /// Not looked at any more, since it was to stop.
    pub cut: u64,
}

/// Opens an allowed folder.
///
/// # Errors
/// Why not: missing, a link, no right.
pub fn open(folder: &Path) -> Result<OwnedFd, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(CWD, folder, flags, Mode::empty(), resolve).map_err(|error| match error {
        Errno::LOOP => format!("{} goes through a symbolic link; write its real path", folder.display()),
        Errno::NOSYS | Errno::PERM => format!("{}: this kernel has no openat2, which clean-ups need", folder.display()),
        other => format!("{} can't be opened: {other}", folder.display()),
    })
}

fn open_below(base: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    openat2(base, path, flags, Mode::empty(), resolve)
}

/// Lists files whose names match a pattern and that were last changed at or before `unchanged_since`.
///
/// # Errors
/// When the folder itself can't be read; what can't be read below it is a note.
pub fn find(
    base: BorrowedFd<'_>,
    patterns: &[String],
    unchanged_since: Timestamp,
    stops: impl Fn() -> bool,
) -> Result<Found, String> {
    let mut found = Found::default();
    let mut folders = vec![(std::path::PathBuf::new(), 0_usize)];
    let mut looked_at = 0;
    while let Some((folder, depth)) = folders.pop() {
        let handle = match open_below(base, &folder) {
            Ok(handle) => handle,
            Err(error) if depth == 0 => return Err(format!("the folder can't be read: {error}")),
            Err(Errno::XDEV) => {
                found.notes.push(format!("{} is another file system and was not looked into", folder.display()));
                continue;
            }
            Err(error) => {
                found.notes.push(format!("{} can't be read: {error}", folder.display()));
                continue;
            }
        };
        let entries = Dir::read_from(&handle).map_err(|error| error.to_string())?;
        for entry in entries {
            if stops() {
                return Err("nobody waits for the list any more".to_owned());
            }
            let Ok(entry) = entry else { break };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            looked_at += 1;
            if looked_at > ENTRIES {
                found.notes.push(format!("stopped after {ENTRIES} entries; there are more"));
                folders.clear();
                break;
            }
            // Gone meanwhile: nothing to remove.
            let Ok(stat) = statat(&handle, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let path = folder.join(OsStr::from_bytes(name.to_bytes()));
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if depth < DEPTH => folders.push((path, depth + 1)),
                FileType::RegularFile => {
                    let text = name.to_string_lossy();
                    let old = mtime_ns(&stat) <= unchanged_since.as_nanosecond();
                    if old && patterns.iter().any(|pattern| matches_pattern(pattern, &text)) {
                        match path.to_str() {
                            Some(path) => found.files.push(listed(path, &stat)),
                            None => {
                                found.notes.push(format!("{} has a name that is not UTF-8; left alone", path.display()))
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }
    found.files.sort_by(|a, b| a.mtime_ns.cmp(&b.mtime_ns).then_with(|| a.path.cmp(&b.path)));
    Ok(found)
}

/// Removes the listed files that are still what they were, until it is to stop. Doing it again finds them gone.
#[must_use]
pub fn remove(base: BorrowedFd<'_>, files: &[Listed], stops: impl Fn() -> bool) -> Removed {
    let mut done = Removed::default();
    let mut parents: HashMap<&Path, Result<OwnedFd, Errno>> = HashMap::new();
    for (number, file) in files.iter().enumerate() {
        if stops() {
            done.cut = (files.len() - number) as u64;
            break;
        }
        let path = Path::new(&file.path);
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), plain) else {
            done.leave(&file.path, "is no path below the folder");
            continue;
        };
        let parent = parents.entry(parent).or_insert_with(|| open_below(base, parent));
        let outcome = match parent {
            Ok(parent) => remove_one(parent, name, file),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(format!("its folder can't be opened: {error}")),
        };
        match outcome {
            Ok(()) => {
                done.files += 1;
                done.bytes += file.frees;
            }
            Err(why) => done.leave(&file.path, &why),
        }
    }
    done
}

fn remove_one(parent: &OwnedFd, name: &OsStr, file: &Listed) -> Result<(), String> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
            Err("is no longer a file".to_owned())
        }
        Ok(stat) if is_same(&stat, file) => match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
        Ok(_) => Err("changed since the plan".to_owned()),
    }
}

impl Removed {
    fn leave(&mut self, path: &str, why: &str) {
        self.left_count += 1;
        if self.left.len() < 20 {
            self.left.push(format!("{path}: {why}"));
        }
    }
}

fn is_same(stat: &Stat, file: &Listed) -> bool {
    stat.st_ino == file.inode && size(stat) == file.size && mtime_ns(stat) == file.mtime_ns
}

fn listed(path: &str, stat: &Stat) -> Listed {
    // Blocks are counted in 512 bytes whatever the file system's own size.
    let frees = if stat.st_nlink > 1 { 0 } else { u64::try_from(stat.st_blocks).unwrap_or(0) * 512 };
    Listed { path: path.to_owned(), inode: stat.st_ino, size: size(stat), mtime_ns: mtime_ns(stat), frees }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn mtime_ns(stat: &Stat) -> i128 {
    i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec)
}

/// Whether a name matches a pattern of `*` (any characters) and `?` (one).
#[must_use]
pub fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            p += 1;
            n += 1;
        } else if let Some((at, from)) = star {
            // The last star takes one character more.
            star = Some((at, from + 1));
            p = at + 1;
            n = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

//! The admin token file in the data folder: how `mayday say` on the same machine proves that it may.
//!
//! Made anew at each start, readable by its owner only, replaced as a whole. Two lines: the token, and the bot's URL.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::{Error, random};

/// Its name in the data folder.
pub const NAME: &str = "admin-token";

/// What the file holds.
#[derive(Debug, Clone)]
pub struct TokenFile {
    /// Proves that its holder may act as admin.
    pub token: SecretString,
    /// Where the bot listens: `http://127.0.0.1:8080`.
    pub url: String,
}

impl TokenFile {
    /// Draws a token and writes the file, readable by its owner only.
    ///
    /// # Errors
    /// [`Error::NoRandomness`], [`Error::TokenFile`].
    pub fn create(data: &Path, url: &str) -> Result<Self, Error> {
        let path = data.join(NAME);
        let file = Self { token: random::token()?, url: url.to_owned() };
        // Written beside and renamed: a reader never sees half a token, and a file with loose rights is never reused.
        let fresh = data.join(format!("{NAME}.new"));
        let write = || -> std::io::Result<()> {
            match fs::remove_file(&fresh) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            writeln!(out, "{}\n{}", file.token.expose_secret(), file.url)?;
            out.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|error| wrong(&path, format!("can't be written: {error}")))?;
        Ok(file)
    }

    /// Reads the file, if nobody but its owner could have read or written it.
    ///
    /// # Errors
    /// [`Error::TokenFile`]: missing (no bot has run here), or readable by others.
    pub fn read(data: &Path) -> Result<Self, Error> {
        let path = data.join(NAME);
        let mut open = fs::File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => wrong(&path, "is not there; no Mayday runs on this data folder".to_owned()),
            _ => wrong(&path, format!("can't be read: {error}")),
        })?;
        let meta = open.metadata().map_err(|error| wrong(&path, error.to_string()))?;
        if meta.mode() & 0o077 != 0 {
            let mode = meta.mode() & 0o777;
            return Err(wrong(
                &path,
                format!("has mode {mode:03o}, others can read it; restart Mayday to get a new one"),
            ));
        }
        let mut text = String::new();
        (&mut open).take(4096).read_to_string(&mut text).map_err(|error| wrong(&path, error.to_string()))?;
        let mut lines = text.lines();
        match (lines.next(), lines.next()) {
            (Some(token), Some(url)) if !token.is_empty() => {
                Ok(Self { token: token.to_owned().into(), url: url.to_owned() })
            }
            _ => Err(wrong(&path, "is incomplete; restart Mayday to get a new one".to_owned())),
        }
    }

    /// Whether someone sent this token.
    #[must_use]
    pub fn is(&self, candidate: &str) -> bool {
        random::same(candidate, &self.token)
    }

    /// Takes the file away when the bot ends, unless another one has replaced it.
    pub fn remove(&self, data: &Path) {
        if Self::read(data).is_ok_and(|now| self.is(now.token.expose_secret())) {
            // If it stays it is a token nobody accepts any more.
            let _ = fs::remove_file(data.join(NAME));
        }
    }
}

fn wrong(path: &Path, why: String) -> Error {
    Error::TokenFile { path: PathBuf::from(path).display().to_string(), why }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_its_owner_can_read_it_and_it_reads_back() {
        let data = tempfile::tempdir().unwrap();
        assert!(TokenFile::read(data.path()).unwrap_err().to_string().contains("no Mayday runs"));
        let made = TokenFile::create(data.path(), "http://127.0.0.1:1").unwrap();
        assert_eq!(fs::metadata(data.path().join(NAME)).unwrap().mode() & 0o777, 0o600);
        let read = TokenFile::read(data.path()).unwrap();
        assert!(made.is(read.token.expose_secret()));
        assert_eq!(read.url, "http://127.0.0.1:1");
        assert!(!made.is("guess"));

        let again = TokenFile::create(data.path(), "http://127.0.0.1:2").unwrap();
        assert!(!again.is(made.token.expose_secret()), "each start draws a new one");
        made.remove(data.path());
        assert!(TokenFile::read(data.path()).is_ok(), "the newer bot's file stays");
    }

    #[test]
    fn a_file_that_others_can_read_is_not_trusted() {
        let data = tempfile::tempdir().unwrap();
        TokenFile::create(data.path(), "http://127.0.0.1:1").unwrap();
        fs::set_permissions(data.path().join(NAME), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(TokenFile::read(data.path()).unwrap_err().to_string().contains("644"));
    }
}

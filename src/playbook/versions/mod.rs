//! Versions of playbooks: every text that has been in force is kept and numbered, and a person can go back to one.
//!
//! The files are where playbooks are written; this room notices when one has changed (at start, and while Mayday runs), gives
//! the new text the next number, and keeps it. Going back pins a number: the pinned text is in force, whatever the file
//! says, until the newest is chosen again. Runs keep the version they began with in any case.

mod diff;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::json;

pub use diff::diff;

use super::book::Book;
use super::engine::{Text, text_key};
use super::library::{self, Library};
use crate::access::{Actor, Audit, AuditRecord};
use crate::core::message::playbook_versions as say;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp};
use crate::store::{self, Batch, Key, Range, Record, SharedStore};

/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Versions of one playbook that are listed; all are kept.
const LISTED: usize = 1_000;

/// One text that has been in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// From 1; grows by one with each change.
    pub number: u32,
    /// SHA-256 of the text: what runs and approvals are bound to.
    pub digest: String,
    /// As people see it: the author's own version and the beginning of the digest.
    pub shown: String,
    /// Where it was read from.
    pub file: String,
    /// When it was first seen.
    pub at: Timestamp,
}

/// That a person chose a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// Which version.
    pub number: u32,
    /// Its text's digest.
    pub digest: String,
    /// Who chose it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

impl Record for Version {}
impl Record for Pin {}

/// Why something about versions was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It can't be done so; a sentence for the person.
    #[error("{0}")]
    Refused(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A playbook's history.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Oldest first.
    pub versions: Vec<Version>,
    /// What a person chose, if the newest is not in force.
    pub pin: Option<Pin>,
}

/// Keeps versions. Cheap to clone.
#[derive(Clone)]
pub struct Versions(Arc<Inner>);

struct Inner {
    store: SharedStore,
    clock: SharedClock,
    audit: Audit,
    library: Arc<Library>,
    folder: Option<PathBuf>,
    /// Names, sizes and times of the folder's files when they were read last.
    seen: Mutex<Seen>,
}

type Seen = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

fn versions(id: &str) -> Key {
    Key::of(["playbook-version", id])
}

fn version(id: &str, number: u32) -> Key {
    versions(id).child(&format!("{number:06}"))
}

fn pin(id: &str) -> Key {
    Key::of(["playbook-pin", id])
}

impl Versions {
    /// The versions of this library's playbooks; `folder` is where the team's own are.
    #[must_use]
    pub fn new(
        store: SharedStore,
        clock: SharedClock,
        audit: Audit,
        library: Arc<Library>,
        folder: Option<PathBuf>,
    ) -> Self {
        let seen = Mutex::new(folder.as_deref().map(look).unwrap_or_default());
        Self(Arc::new(Inner { store, clock, audit, library, folder, seen }))
    }

    /// The library whose versions these are.
    #[must_use]
    pub fn library(&self) -> &Library {
        &self.0.library
    }

    /// Gives each text that is new its number, and puts chosen versions in force. Done at start, before anything is proposed.
    ///
    /// # Errors
    /// The store's.
    pub async fn note(&self) -> Result<(), store::Error> {
        for book in self.0.library.of_files() {
            while let Err(error) = self.note_one(&book).await {
                // Another replica has noted the same text at the same moment: look again.
                let store::Error::Conflict(_) = error else { return Err(error) };
            }
        }
        self.apply_pins().await
    }

    async fn note_one(&self, book: &Book) -> Result<(), store::Error> {
        let (id, store) = (&book.playbook.playbook_id, &self.0.store);
        let newest = self.newest(id).await?;
        if newest.as_ref().is_some_and(|newest| newest.digest == book.digest) {
            return Ok(());
        }
        let number = newest.map_or(1, |newest| newest.number + 1);
        let noted = Version {
            number,
            digest: book.digest.clone(),
            shown: book.version(),
            file: book.file.clone(),
            at: self.0.clock.now(),
        };
        let mut batch = Batch::new();
        batch.require_absent(version(id, number));
        batch.put(version(id, number), &noted)?;
        batch.put(text_key(id, &book.digest), &Text { text: book.text.clone() })?;
        store.commit(batch).await?;
        if number > 1 {
            tracing::info!(playbook = %id, number, version = noted.shown, "a playbook has changed");
        }
        Ok(())
    }

    async fn newest(&self, id: &str) -> Result<Option<Version>, store::Error> {
        let newest = self.0.store.scan(&Range::under(&versions(id), 1).backward()).await?;
        newest.first().map(store::Entry::decode).transpose()
    }

    /// A playbook's versions and what is chosen of them.
    ///
    /// # Errors
    /// The store's.
    pub async fn history(&self, id: &str) -> Result<History, store::Error> {
        let mut found = self.0.store.scan(&Range::under(&versions(id), LISTED).backward()).await?;
        found.reverse();
        let versions = found.iter().map(store::Entry::decode).collect::<Result<_, _>>()?;
        let pin = self.0.store.read(&pin(id)).await?.map(|entry| entry.decode()).transpose()?;
        Ok(History { versions, pin })
    }

    /// A version's text.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is none of this number.
    pub async fn text(&self, id: &str, number: u32) -> Result<(Version, String), Error> {
        let Some(entry) = self.0.store.read(&version(id, number)).await? else {
            let newest = self.newest(id).await?.map_or(0, |newest| newest.number);
            return Err(Error::Refused(say::no_version(id, number, newest)));
        };
        let found: Version = entry.decode()?;
        let key = text_key(id, &found.digest);
        let text = self
            .0
            .store
            .read(&key)
            .await?
            .ok_or_else(|| store::Error::Corrupt { key, why: "the text of a version is missing".to_owned() })?;
        Ok((found, text.decode::<Text>()?.text))
    }

    /// What changed from one version to another, line by line; empty when they are the same.
    ///
    /// # Errors
    /// As [`Versions::text`].
    pub async fn diff(&self, id: &str, from: u32, to: u32) -> Result<String, Error> {
        let ((_, before), (_, after)) = (self.text(id, from).await?, self.text(id, to).await?);
        Ok(diff(&before, &after))
    }

    /// Puts a version in force, or the newest again (`None`). One commit with its audit record.
    ///
    /// # Errors
    /// [`Error::Refused`]: no such version, one this Mayday can't read any more, or it is in force already.
    pub async fn choose(&self, id: &str, number: Option<u32>, by: Actor) -> Result<Version, Error> {
        let store = &self.0.store;
        let newest = self.newest(id).await?.ok_or_else(|| Error::Refused(say::no_version(id, 0, 0)))?;
        let before = store.read(&pin(id)).await?;
        let in_force = match &before {
            Some(entry) => entry.decode::<Pin>()?.number,
            None => newest.number,
        };
        let number = number.filter(|number| *number != newest.number);
        let (chosen, text) = self.text(id, number.unwrap_or(newest.number)).await?;
        if in_force == chosen.number && before.is_some() == number.is_some() {
            return Err(Error::Refused(say::version_in_force(id, chosen.number)));
        }
        Book::read(id, text.as_bytes()).map_err(|mistakes| {
            let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
            Error::Refused(say::version_unreadable(id, chosen.number, &first))
        })?;
        let mut batch = Batch::new();
        batch.require_as_read(pin(id), before.map(|entry| entry.revision));
        match number {
            Some(number) => {
                let chosen = Pin { number, digest: chosen.digest.clone(), by: by.clone(), at: self.0.clock.now() };
                batch.put(pin(id), &chosen)?;
            }
            None => drop(batch.delete(pin(id))),
        }
        let record = AuditRecord {
            actor: by,
            action: "choose playbook version".to_owned(),
            subject: id.to_owned(),
            detail: json!({ "from": in_force, "to": chosen.number, "digest": chosen.digest }),
            right: None,
        };
        self.0.audit.commit(batch, record).await.map_err(|error| match error {
            store::Error::Conflict(_) => Error::Refused(say::version_changed_meanwhile(id)),
            other => other.into(),
        })?;
        self.apply_pins().await?;
        Ok(chosen)
    }

    /// Puts in force what is chosen, as the store has it.
    async fn apply_pins(&self) -> Result<(), store::Error> {
        let mut pinned = BTreeMap::new();
        for entry in self.0.store.scan(&Range::under(&Key::of(["playbook-pin"]), LISTED)).await? {
            let (id, pin) = (entry.key.last().to_owned(), entry.decode::<Pin>()?);
            let read = self.text(&id, pin.number).await.map_err(|error| error.to_string()).and_then(|(_, text)| {
                let file = say::pinned_file(&id, pin.number);
                Book::read(&file, text.as_bytes())
                    .map_err(|mistakes| mistakes.first().map(ToString::to_string).unwrap_or_default())
            });
            match read {
                Ok(book) => drop(pinned.insert(id, Arc::new(book))),
                // The file's own text is in force then: better than none, and said.
                Err(why) => tracing::error!(playbook = %id, number = pin.number, why, "a chosen version can't be used"),
            }
        }
        self.0.library.pin(pinned);
        Ok(())
    }

    /// Reads the folder again if a file in it has changed; true if one has.
    ///
    /// # Errors
    /// The store's. Mistakes in files are logged with their place; the last good version stays in force.
    pub async fn look_again(&self) -> Result<bool, store::Error> {
        let Some(folder) = self.0.folder.as_deref() else { return Ok(false) };
        let now = look(folder);
        if *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner) == now {
            return Ok(false);
        }
        for mistake in self.0.library.reload(Some(folder)) {
            tracing::warn!("{mistake}");
            metrics::counter!("mayday_playbook_mistakes_total").increment(1);
        }
        self.note().await?;
        *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(true)
    }

    /// Follows the files and what other replicas choose, until asked to stop.
    pub async fn run(self, stop: Stop) {
        let mut chosen = self.0.store.watch(&Key::of(["playbook-pin"]));
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = chosen.changed() => {}
                () = self.0.clock.sleep(LOOK_EVERY) => {}
            }
            let looked = match self.look_again().await {
                // What is chosen may have changed elsewhere.
                Ok(false) => self.apply_pins().await,
                Ok(true) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = looked {
                tracing::warn!(%error, "the versions of playbooks can't be looked at");
            }
        }
    }
}

fn look(folder: &Path) -> Seen {
    let mut mistakes = Vec::new();
    let about = |path: PathBuf| {
        let meta = std::fs::metadata(&path).ok();
        let size = meta.as_ref().map_or(0, std::fs::Metadata::len);
        (path, (size, meta.and_then(|meta| meta.modified().ok())))
    };
    library::files(folder, &mut mistakes).into_iter().map(about).collect()
}

#[cfg(test)]
mod tests;

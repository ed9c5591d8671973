//! The playbooks there are: those that Mayday ships, and a folder of the team's own. One bad file does not hide the rest.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::book::Book;
use super::diagnostic::{Code, Diagnostic, Place};
use super::trigger::{self, Match};
use crate::alert::Alert;
use crate::core::nearest::nearest;

/// The shipped playbooks.
#[derive(rust_embed::Embed)]
#[folder = "playbooks/"]
struct Shipped;

/// Not more files than this are read from a folder.
const MAX_FILES: usize = 1_000;

/// Playbooks by id.
#[derive(Debug, Default)]
pub struct Library {
    books: RwLock<BTreeMap<String, Arc<Book>>>,
    /// Versions that a person chose instead of what the files say.
    pinned: RwLock<BTreeMap<String, Arc<Book>>>,
    /// What was wrong with the files when they were read last, a line each.
    wrong: RwLock<Vec<String>>,
}

impl Library {
    /// A library of these playbooks.
    #[must_use]
    pub fn of(books: impl IntoIterator<Item = Book>) -> Self {
        let books = books.into_iter().map(|book| (book.playbook.playbook_id.clone(), Arc::new(book))).collect();
        Self { books: RwLock::new(books), ..Self::default() }
    }

    /// The shipped playbooks and those of a folder (`*.yaml`, `*.yml`, not below it), with every mistake found. One of the
    /// folder replaces a shipped one of the same id; of two in the folder the first by name stays.
    #[must_use]
    pub fn load(folder: Option<&Path>) -> (Self, Vec<Diagnostic>) {
        let library = Self::default();
        let mistakes = library.reload(folder);
        (library, mistakes)
    }

    /// Reads all again. Runs keep the version they began with. A file that has become bad keeps its last good version here.
    pub fn reload(&self, folder: Option<&Path>) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        let mut found: BTreeMap<String, Arc<Book>> = BTreeMap::new();
        for name in Shipped::iter() {
            let Some(file) = Shipped::get(&name).filter(|_| name.ends_with(".yaml")) else { continue };
            match Book::read(&format!("playbooks/{name}"), &file.data) {
                Ok(book) => drop(found.insert(book.playbook.playbook_id.clone(), Arc::new(book))),
                Err(wrong) => mistakes.extend(wrong),
            }
        }
        let mut own: BTreeMap<String, Arc<Book>> = BTreeMap::new();
        for path in folder.map(|folder| files(folder, &mut mistakes)).unwrap_or_default() {
            let file = path.display().to_string();
            match read(&path) {
                Ok(book) => {
                    let id = book.playbook.playbook_id.clone();
                    match own.get(&id) {
                        Some(first) => mistakes.push(Diagnostic {
                            says: format!("`{id}` is also the id of {}; rename one", first.file),
                            code: Code::PB028,
                            place: Place { line: 1, column: 1 },
                            file,
                        }),
                        None => drop(own.insert(id, Arc::new(book))),
                    }
                }
                Err(wrong) => {
                    if let Some(last) = self.of_files().into_iter().find(|book| book.file == file) {
                        own.entry(last.playbook.playbook_id.clone()).or_insert(last);
                    }
                    mistakes.extend(wrong);
                }
            }
        }
        found.extend(own);
        let all: Vec<&Book> = found.values().map(AsRef::as_ref).collect();
        mistakes.extend(super::children::mistakes(&all));
        *self.books.write().unwrap_or_else(PoisonError::into_inner) = found;
        *self.wrong.write().unwrap_or_else(PoisonError::into_inner) =
            mistakes.iter().map(ToString::to_string).collect();
        mistakes
    }

    /// What is wrong with the files as they were read last, a line each: where one has become bad, its last good version is in
    /// force.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        self.wrong.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts versions in force instead of what the files say; those pinned before no longer are.
    pub(super) fn pin(&self, pinned: BTreeMap<String, Arc<Book>>) {
        *self.pinned.write().unwrap_or_else(PoisonError::into_inner) = pinned;
    }

    /// What the files say, whatever is in force.
    pub(super) fn of_files(&self) -> Vec<Arc<Book>> {
        self.books.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The playbook of this id that is in force, whatever the case.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Book>> {
        let id = id.trim();
        let find = |books: &RwLock<BTreeMap<String, Arc<Book>>>| {
            let books = books.read().unwrap_or_else(PoisonError::into_inner);
            let exact = books.get(id);
            exact.or_else(|| books.values().find(|book| book.playbook.playbook_id.eq_ignore_ascii_case(id))).cloned()
        };
        find(&self.pinned).or_else(|| find(&self.books))
    }

    /// All that are in force, by id.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Book>> {
        let mut all = self.books.read().unwrap_or_else(PoisonError::into_inner).clone();
        all.extend(self.pinned.read().unwrap_or_else(PoisonError::into_inner).clone());
        all.into_values().collect()
    }

    /// The id nearest to a wrong one.
    #[must_use]
    pub fn nearest(&self, wrong: &str) -> Option<String> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        nearest(wrong, books.keys().map(String::as_str)).map(str::to_owned)
    }

    /// The playbook that fits an alert best.
    #[must_use]
    pub fn best_match(&self, alert: &Alert) -> Match {
        trigger::best(&self.all(), alert)
    }
}

/// Reads and checks one file.
///
/// # Errors
/// Every mistake, the file's being unreadable included.
pub fn read(path: &Path) -> Result<Book, Vec<Diagnostic>> {
    let file = path.display().to_string();
    let cant = |says: String| {
        vec![Diagnostic { file: file.clone(), place: Place { line: 1, column: 1 }, code: Code::PB001, says }]
    };
    let size = std::fs::metadata(path).map_err(|error| cant(format!("the file can't be read: {error}")))?;
    if size.len() > super::yaml::MAX_BYTES as u64 {
        return Err(cant(format!(
            "the file has {} bytes, at most {} are read; split it",
            size.len(),
            super::yaml::MAX_BYTES
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| cant(format!("the file can't be read: {error}")))?;
    Book::read(&file, &bytes)
}

/// The playbook files of a folder, by name.
pub(super) fn files(folder: &Path, mistakes: &mut Vec<Diagnostic>) -> Vec<std::path::PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            mistakes.push(Diagnostic {
                file: folder.display().to_string(),
                place: Place { line: 1, column: 1 },
                code: Code::PB001,
                says: format!("the folder can't be read: {error}; create it, or correct `playbooks.folder`"),
            });
            return Vec::new();
        }
    };
    let mut found: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .take(MAX_FILES)
        .collect();
    found.sort();
    found
}

#[cfg(test)]
#[path = "library_tests.rs"]
pub(crate) mod tests;

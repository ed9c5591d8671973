//! For authors: check files, run the tests they carry, the reference, and the schema for editors.

use std::path::{Path, PathBuf};

use super::book::Book;
use super::diagnostic::{Code, Diagnostic, Place};
use super::{children, library};

pub use super::reference::reference;
pub use super::schema::schema;
pub use super::testing::{TestReport, run_tests};

/// Every mistake in a file, or in the playbooks of a folder; two files with one id included.
#[must_use]
pub fn check(path: &Path) -> Vec<Diagnostic> {
    load(path).1
}

/// The playbooks of a file or a folder that are right, and every mistake of the others.
#[must_use]
pub fn load(path: &Path) -> (Vec<Book>, Vec<Diagnostic>) {
    let mut mistakes = Vec::new();
    let files = if path.is_dir() { library::files(path, &mut mistakes) } else { vec![path.to_owned()] };
    let (books, more) = load_files(&files);
    mistakes.extend(more);
    (books, mistakes)
}

/// The playbooks of these files that are right, and every mistake of the others; what they do to each other included.
#[must_use]
pub fn load_files(files: &[PathBuf]) -> (Vec<Book>, Vec<Diagnostic>) {
    let mut mistakes = Vec::new();
    let mut books: Vec<Book> = Vec::new();
    for file in files {
        match library::read(file) {
            Ok(book) => {
                let id = &book.playbook.playbook_id;
                if let Some(first) = books.iter().find(|first| first.playbook.playbook_id == *id) {
                    let line = book.text.lines().position(|line| line.starts_with("playbook_id")).unwrap_or(0) + 1;
                    mistakes.push(Diagnostic {
                        file: book.file.clone(),
                        place: Place { line, column: 1 },
                        code: Code::PB028,
                        says: format!("`{id}` is also the id of {}; rename one", first.file),
                    });
                } else {
                    books.push(book);
                }
            }
            Err(wrong) => mistakes.extend(wrong),
        }
    }
    mistakes.extend(children::mistakes(&books.iter().collect::<Vec<_>>()));
    (books, mistakes)
}

/// Every mistake in a text; `file` is what to call it.
#[must_use]
pub fn check_text(file: &str, text: &[u8]) -> Vec<Diagnostic> {
    Book::read(file, text).err().unwrap_or_default()
}

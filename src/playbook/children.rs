//! Which playbooks a playbook runs as parts of itself: none may run itself through them, and the line is short.

use super::book::Book;
use super::diagnostic::{Code, Diagnostic, Place};
use super::run::CHILD;
use super::text;
use crate::core::message::playbook as say;

/// So many playbooks may run each other in a line, the first one included.
pub const DEEPEST: usize = 3;

/// The ids that a playbook's Sub_Playbook tasks name; what is worked out in a run is looked at then.
pub fn named(book: &Book) -> impl Iterator<Item = &str> {
    let children = book.playbook.tasks.iter().filter(|task| task.kind == CHILD);
    let names = children.filter_map(|task| task.parameters.get("playbook")?.as_str());
    names.filter(|name| !text::is_template(name))
}

/// What is wrong with a line of playbooks (`line` runs `book`), followed down as far as the names tell.
#[must_use]
pub fn wrong<B: AsRef<Book>>(line: &[String], book: &Book, find: &dyn Fn(&str) -> Option<B>) -> Option<String> {
    let id = &book.playbook.playbook_id;
    let mut line = line.to_vec();
    let circle = line.iter().any(|above| above.eq_ignore_ascii_case(id));
    line.push(id.clone());
    if circle {
        return Some(say::child_circle(&line));
    }
    if line.len() > DEEPEST {
        return Some(say::child_too_deep(&line, DEEPEST));
    }
    named(book).find_map(|child| match find(child) {
        Some(child) => wrong(&line, child.as_ref(), find),
        None => None,
    })
}

/// The mistakes of playbooks that are read together: circles and lines that are too long. Those of other folders can't be
/// seen here; a run looks again.
#[must_use]
pub fn mistakes(books: &[&Book]) -> Vec<Diagnostic> {
    struct Found<'a>(&'a Book);
    impl AsRef<Book> for Found<'_> {
        fn as_ref(&self) -> &Book {
            self.0
        }
    }
    let find =
        |id: &str| books.iter().find(|book| book.playbook.playbook_id.eq_ignore_ascii_case(id)).map(|book| Found(book));
    let of = |book: &&Book| {
        let says = wrong(&[], book, &find)?;
        Some(Diagnostic { file: book.file.clone(), place: place(book), code: Code::PB032, says })
    };
    books.iter().filter_map(of).collect()
}

/// The first line that names a child.
fn place(book: &Book) -> Place {
    let names: Vec<&str> = named(book).collect();
    let calls = |line: &str| {
        let at = line.find("playbook:").filter(|_| names.iter().any(|name| line.contains(name)))?;
        Some(line[..at].chars().count() + 1)
    };
    let found = book.text.lines().enumerate().find_map(|(number, line)| Some((number + 1, calls(line)?)));
    found.map_or(Place { line: 1, column: 1 }, |(line, column)| Place { line, column })
}

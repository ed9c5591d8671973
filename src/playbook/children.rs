//! Which playbooks a playbook runs as parts of itself: none may run itself through them, and the line is short.

use super::book::Book;
use super::diagnostic::{Code, Diagnostic, Place};
use super::run::CHILD;
use super::text;
use crate::core::message::playbook as say;
use crate::core::nearest::{hint, nearest};

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
    bad_line(line, book, find).map(|line| told(&line))
}

/// The line that comes back to itself or is too long.
fn bad_line<B: AsRef<Book>>(line: &[String], book: &Book, find: &dyn Fn(&str) -> Option<B>) -> Option<Vec<String>> {
    let mut line = line.to_vec();
    line.push(book.playbook.playbook_id.clone());
    if is_circle(&line) || line.len() > DEEPEST {
        return Some(line);
    }
    named(book).find_map(|child| match find(child) {
        Some(child) => bad_line(&line, child.as_ref(), find),
        None => None,
    })
}

/// Whether the last of a line stands in it before.
fn is_circle(line: &[String]) -> bool {
    line.split_last().is_some_and(|(last, above)| above.iter().any(|id| id.eq_ignore_ascii_case(last)))
}

fn told(line: &[String]) -> String {
    if is_circle(line) { say::child_circle(line) } else { say::child_too_deep(line, DEEPEST) }
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
    // A circle is the same whichever of its playbooks one begins with: it is told once.
    let mut circles: Vec<Vec<String>> = Vec::new();
    let mut mistakes = Vec::new();
    for book in books {
        let Some(line) = bad_line(&[], book, &find) else { continue };
        if is_circle(&line) {
            let mut members: Vec<String> = line.iter().map(|id| id.to_ascii_lowercase()).collect();
            let last = members.pop();
            let start = members.iter().position(|id| Some(id) == last.as_ref()).unwrap_or(0);
            let mut members = members.split_off(start);
            members.sort();
            if circles.contains(&members) {
                continue;
            }
            circles.push(members);
        }
        mistakes.push(Diagnostic { file: book.file.clone(), place: place(book), code: Code::PB032, says: told(&line) });
    }
    mistakes.extend(books.iter().flat_map(|book| given(book, &find)));
    mistakes
}

/// Parameters that a Sub_Playbook gives and the other playbook does not take, or that it needs and are not given.
fn given<B: AsRef<Book>>(book: &Book, find: &dyn Fn(&str) -> Option<B>) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    for task in book.playbook.tasks.iter().filter(|task| task.kind == CHILD) {
        let Some(id) = task.parameters.get("playbook").and_then(serde_json::Value::as_str) else { continue };
        let Some(child) = find(id) else { continue };
        let takes = &child.as_ref().playbook.parameters;
        let none = serde_json::Map::new();
        let given = task.parameters.get("parameters").and_then(serde_json::Value::as_object).unwrap_or(&none);
        let start = line_of(&book.text, 0, &task.id);
        let mut add = |word: &str, code: Code, says: String| {
            let line = line_of(&book.text, start, word);
            let column =
                book.text.lines().nth(line).and_then(|text| Some(text[..text.find(word)?].chars().count() + 1));
            mistakes.push(Diagnostic {
                file: book.file.clone(),
                place: Place { line: line + 1, column: column.unwrap_or(1) },
                code,
                says,
            });
        };
        for name in given.keys().filter(|name| !takes.contains_key(*name)) {
            let near = hint(name, takes.keys().map(String::as_str));
            add(name, Code::PB013, format!("{id} takes no `{name}`{near}"));
        }
        let meant = |name: &String| {
            let unknown = given.keys().filter(|key| !takes.contains_key(*key));
            unknown.filter_map(|key| nearest(key, takes.keys().map(String::as_str))).any(|near| near == name)
        };
        for (name, parameter) in takes {
            if parameter.default.is_none() && !given.contains_key(name) && !meant(name) {
                add(id, Code::PB014, format!("{id} needs the parameter `{name}`; add it under `parameters:`"));
            }
        }
    }
    mistakes
}

/// The first line from `start` on that has a word; `start` if none has.
fn line_of(text: &str, start: usize, word: &str) -> usize {
    text.lines().skip(start).position(|line| line.contains(word)).map_or(start, |found| start + found)
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

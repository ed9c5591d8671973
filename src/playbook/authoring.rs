//! For authors: check files, look at what a playbook would do here, run its tests, and the schema for editors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::action::{Action, Context, Planned};
use super::book::Book;
use super::diagnostic::{Code, Diagnostic, Place};
use super::engine::parameters_of;
use super::model::{Risk, Task, Undo};
use super::options::Approvals;
use super::registry::Registry;
use super::run::{CHILD, Event, Head, MAX_ITEMS, Part, Status, TaskHead, apply, values};
use super::tasks;
use super::{children, library, parameters};
use crate::access::Actor;
use crate::core::message::playbook as say;
use crate::core::{RunId, Timestamp};

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

/// What one task of a playbook would do here.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Its id.
    pub task: String,
    /// Its name for people.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// How risky it is.
    pub risk: Risk,
    /// How many people must approve it.
    pub people: u32,
    /// What is known now.
    pub would: Would,
}

/// What is known of a task before a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Would {
    /// It reads; nothing changes.
    Read,
    /// It would change this.
    Change(Box<Planned>),
    /// It depends on what earlier tasks find out: the sentence says on what.
    Later(String),
    /// It can't be done here, and why.
    NotHere(String),
}

/// Works out what a playbook would do here with these parameters, without changing anything and without running its read
/// tasks. Changes that need an earlier output are said to be planned later, in the run.
///
/// # Errors
/// The parameters don't fit.
pub async fn plan(
    book: &Book,
    actions: &Registry,
    given: &BTreeMap<String, Value>,
    approvals: &Approvals,
    now: Timestamp,
) -> Result<Vec<Preview>, String> {
    let status = before(book, parameters::resolve(&book.playbook, given, None)?, now)?;
    let mut previews = Vec::new();
    // A list that the author wrote down, or that only needs the parameters, is known before the run.
    let mut status = status;
    for (index, each) in book.each.iter().enumerate() {
        let Some(declared) = &book.playbook.tasks[index].for_each else { continue };
        let listed = match each {
            Some(cel) => cel.list(&values(book, &status)).ok(),
            None => declared.list().map(<[Value]>::to_vec),
        };
        let id = book.playbook.tasks[index].id.clone();
        if let Some(items) = listed.filter(|items| items.len() <= MAX_ITEMS)
            && let Ok(spread) = apply(&Event::Spread { task: id, items }, now, Some(status.clone()))
        {
            status = spread;
        }
    }
    for index in 0..status.tasks.len() {
        let task = &book.playbook.tasks[status.declared(index)];
        let head = &status.head.tasks[index];
        let risk = tasks::risk(task);
        let spec = task.approval.as_ref().and_then(|approval| approval.count).unwrap_or(0);
        let people = if risk == Risk::Read { 0 } else { approvals.of(risk).max(spec) };
        let name = head.name.clone();
        let own =
            matches!(task.kind.as_str(), "Verify") || (task.kind == "Wait" && task.parameters.contains_key("until"));
        let would = if task.kind == CHILD {
            Would::Later(say::child_later(task.parameters.get("playbook").and_then(Value::as_str).unwrap_or("another")))
        } else if head.part == Part::Each && status.items(index).next().is_some() {
            // Its items stand below, each with what it would do.
            continue;
        } else if head.part == Part::Each && risk > Risk::Read {
            Would::Later(say::for_each_later(&task.id))
        } else if own {
            Would::Read
        } else {
            match actions.get(&task.kind) {
                None => Would::NotHere(say::no_executor(&task.kind)),
                Some(_) if risk == Risk::Read => Would::Read,
                Some(action) => match parameters_of(book, &status, index) {
                    Err(why) => Would::Later(why),
                    Ok(rendered) => {
                        let context = Context {
                            run: status.head.run,
                            task: head.id.clone(),
                            task_name: name.clone(),
                            incident: None,
                            by: status.head.by.clone(),
                            now,
                        };
                        match action.plan(&context, &rendered).await {
                            Ok(mut planned) => {
                                planned.undo = undone_by(book, task, action.as_ref(), &planned);
                                Would::Change(Box::new(planned))
                            }
                            Err(error) => Would::NotHere(error.to_string()),
                        }
                    }
                },
            }
        };
        previews.push(Preview { task: head.id.clone(), name, kind: task.kind.clone(), risk, people, would });
    }
    Ok(previews)
}

/// How a change is undone, for people: as the playbook says, else in the action's words. An inverse that the action does
/// not have for this target is told before anyone approves.
#[must_use]
pub(super) fn undone_by(book: &Book, task: &Task, action: &dyn Action, planned: &Planned) -> Option<String> {
    match task.undone_by() {
        None => planned.undo.clone(),
        Some(Undo::Inverse) if action.inverse(&planned.target, &Value::Null).is_none() => {
            Some(say::undo_missing(&task.kind))
        }
        Some(Undo::Inverse) => Some(say::undo_by_inverse(planned.undo.as_deref())),
        Some(Undo::Task(by)) => {
            let found = book.playbook.tasks.iter().find(|task| task.id == by);
            let name = found.map_or(by, |task| if task.name.is_empty() { &task.id } else { &task.name });
            Some(say::undo_by_task(name))
        }
    }
}

/// A run that has not begun.
fn before(book: &Book, parameters: BTreeMap<String, Value>, now: Timestamp) -> Result<Status, String> {
    let head = Head {
        run: RunId::new(0),
        playbook: book.playbook.playbook_id.clone(),
        playbook_name: book.playbook.name.clone(),
        version: book.version(),
        digest: book.digest.clone(),
        incident: None,
        by: Actor::Mayday("plan".to_owned()),
        parameters,
        alert: None,
        at: now,
        deadline: now,
        tasks: TaskHead::of(&book.playbook),
        actions: BTreeMap::new(),
        parent: None,
        line: Vec::new(),
        lock: None,
        recent: None,
    };
    apply(&Event::Proposed { head: Box::new(head) }, now, None).map_err(|illegal| illegal.to_string())
}

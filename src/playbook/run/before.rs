//! Whether what verifies a change held already before it: that it holds afterwards does not show then that anything was
//! fixed.
//!
//! What verifies a change are its own `verify`, those of the changes after it, and the Verify tasks after it. Each of them
//! measures one or several changes; what counts is how it was right before the first of them, since what that one did is
//! measured from then on. Where a condition can't be evaluated before (it names what only the change gives, or a reading
//! failed) nothing is known, and nothing is claimed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{CHILD, Part};
use super::status::Status;
use super::task::Stage;
use super::values::values_for;
use crate::playbook::book::Book;
use crate::playbook::condition::Condition;

/// How it was right before a change that was, or may have been, made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBefore {
    /// The number of the event by which the change was started: of several changes the first one counts.
    pub seq: u64,
    /// Whether what verifies it held, by the id of what verifies it; what could not be evaluated is not among them.
    pub held: BTreeMap<String, bool>,
}

/// Readings that were taken anew, by name; none where the reading failed.
pub type Anew = BTreeMap<String, Option<Value>>;

/// Something that verifies a change, as it is known before the change is made.
pub struct Verifier<'a> {
    /// Its id: of the change itself for its own `verify`, else of the task in the playbook.
    id: &'a str,
    /// The step whose values its condition sees.
    step: usize,
    /// What must hold.
    pub condition: &'a Condition,
}

/// Whether a step changes something, or has another run do so.
fn is_change(status: &Status, index: usize) -> bool {
    let head = &status.head.tasks[index];
    (head.changes || head.kind == CHILD) && !head.part.is_undo() && head.part != Part::Each
}

/// What verifies a change, of which nothing else was changed yet that it measures as well: how it is now is how it was before.
pub fn verifiers<'a>(book: &'a Book, status: &'a Status, change: usize) -> Vec<Verifier<'a>> {
    if !is_change(status, change) {
        return Vec::new();
    }
    let (own, ancestors) = (status.declared(change), &book.graph.ancestors);
    let is_begun = |index: &usize| {
        let task = &status.tasks[*index];
        let under_way = task.stage.is_open() || matches!(task.stage, Stage::Waits { .. });
        *index != change && is_change(status, *index) && (under_way || task.did())
    };
    let begun: Vec<usize> = (0..status.tasks.len()).filter(is_begun).map(|index| status.declared(index)).collect();
    let verifies = |(declared, condition): (usize, &'a Option<Condition>)| {
        let condition = condition.as_ref()?;
        let task = &book.playbook.tasks[declared];
        let is_own = declared == own;
        let measures = |other: usize| ancestors[declared][other] || !is_own && declared == other;
        let first = !begun.iter().any(|other| measures(*other));
        let (id, step) = if is_own { (&status.head.tasks[change].id, change) } else { (&task.id, declared) };
        let counts = task.kind != "Wait" && (is_own || ancestors[declared][own]) && first;
        counts.then_some(Verifier { id, step, condition })
    };
    book.verify.iter().enumerate().filter_map(verifies).collect()
}

/// Whether what verifies a change holds right before it, as far as that can be told.
#[must_use]
pub fn held_before(book: &Book, status: &Status, change: usize, anew: &Anew) -> BTreeMap<String, bool> {
    let held = |verifier: &Verifier<'_>| {
        let mut values = values_for(book, status, verifier.step);
        if let Value::Object(map) = &mut values {
            for (name, reading) in anew {
                match reading {
                    Some(reading) => map.insert(name.clone(), reading.clone()),
                    // What can't be read must not be judged by what was read before.
                    None => map.remove(name),
                };
            }
        }
        Some((verifier.id.to_owned(), verifier.condition.holds(&values).ok()?))
    };
    verifiers(book, status, change).iter().filter_map(held).collect()
}

/// Whether what a step verified is known to have held already before the first of the changes that it measured.
pub(super) fn held_already(book: &Book, status: &Status, verifier: usize, changes: &[usize]) -> bool {
    // Of a change that an earlier Mayday made it is not known: it comes first, and says nothing.
    let first = changes.iter().min_by_key(|change| status.tasks[**change].held_before.as_ref().map(|held| held.seq));
    let known = first.and_then(|change| {
        let head = &status.head.tasks[*change];
        let id = if *change == verifier { &head.id } else { &book.playbook.tasks[status.declared(verifier)].id };
        status.tasks[*change].held_before.as_ref()?.held.get(id)
    });
    known == Some(&true)
}

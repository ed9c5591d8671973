//! What a run came to once nothing more happens.
//!
//! `fixed`: something was changed, and what must hold afterwards does. `no_effect`: nothing was changed, or it did not help,
//! or nothing measured it. `made_worse`: what must hold does not, and the measurement is further from it than before
//! ([`crate::playbook::measure`]). `failed`: a task failed; what said how it is undone is undone. `stuck`: it is not known
//! what happened, or an undo failed.

use std::time::Duration;

use super::decide::aborts;
use super::event::{CHILD, FailureKind, Part};
use super::status::Status;
use super::task::Stage;
use crate::access::Actor;
use crate::core::message::playbook as say;
use crate::playbook::book::Book;
use crate::playbook::view::RunOutcome;

/// The outcome, and one sentence on why.
pub(super) fn of(book: &Book, status: &Status, overdue: bool) -> (RunOutcome, String) {
    let (outcome, why) = if overdue && status.cancelled.is_none() && status.rejected.is_none() {
        let limit = status.head.deadline.duration_since(status.head.at);
        (RunOutcome::Failed, say::end_too_long(Duration::try_from(limit).unwrap_or_default()))
    } else {
        plain(book, status)
    };
    let names = |wanted: &dyn Fn(usize) -> bool| -> Vec<&str> {
        (0..status.tasks.len())
            .filter(|index| wanted(*index))
            .map(|index| status.head.tasks[index].name.as_str())
            .collect()
    };
    let undone = names(&|index| status.tasks[index].stage == Stage::RolledBack);
    let stopped = status.unwinding.is_some() || status.cancelled.is_some() || status.rejected.is_some();
    let stays = names(&|index| stopped && changed(status, index) && status.tasks[index].stage != Stage::RolledBack);
    // Before it unwinds it is said why; afterwards also what became of what was done.
    let after = status.unwinding.is_some() || undone.is_empty();
    (outcome, if after { say::end_with_undone(&why, &undone, &stays) } else { why })
}

/// Whether a step of the playbook's order changed something.
fn changed(status: &Status, index: usize) -> bool {
    // A child run that fixed something changed something.
    if child_fixed(status, index) {
        return true;
    }
    let works = !status.part(index).is_undo() && status.part(index) != Part::Each;
    status.head.tasks[index].changes && works && status.tasks[index].did()
}

fn child_fixed(status: &Status, index: usize) -> bool {
    let output = status.tasks[index].output.as_ref();
    status.head.tasks[index].kind == CHILD
        && output.is_some_and(|output| output["outcome"] == serde_json::json!(RunOutcome::Fixed))
}

fn plain(book: &Book, status: &Status) -> (RunOutcome, String) {
    if let Some(by) = &status.cancelled {
        let why = match (&status.head.parent, by) {
            (Some(parent), Actor::Mayday(_)) => say::end_with_parent(parent.run),
            _ => say::end_cancelled(by),
        };
        return (RunOutcome::Cancelled, why);
    }
    if let Some(why) = &status.rejected {
        let outcome = if status.expired { RunOutcome::Expired } else { RunOutcome::Rejected };
        return (outcome, why.clone());
    }
    let all = || 0..status.tasks.len();
    let changes: Vec<usize> = all().filter(|index| changed(status, *index)).collect();
    let note = |index: usize| {
        let note = status.tasks[index].note.clone().unwrap_or_default();
        (status.head.tasks[index].name.clone(), note)
    };
    // A task that was undone since keeps how it failed.
    let unverified = |index: &usize| status.tasks[*index].verified == Some(false);
    if !changes.is_empty() {
        let worse = |index: &usize| status.tasks[*index].failure == Some(FailureKind::MadeWorse);
        if let Some(index) = all().find(|index| unverified(index) && worse(index)) {
            let (task, note) = note(index);
            return (RunOutcome::MadeWorse, say::end_made_worse(&task, &note));
        }
        if let Some(index) = all().find(unverified) {
            let (task, note) = note(index);
            return (RunOutcome::NoEffect, say::end_no_effect(&task, &note));
        }
    }
    if let Some(index) = all().find(|index| aborts(book, status, *index)) {
        let (task, note) = note(index);
        return (RunOutcome::Failed, say::end_failed(&task, &note));
    }
    if changes.is_empty() {
        return (RunOutcome::NoEffect, say::end_nothing_changed());
    }
    // Each change must be covered: verified itself, or by a verification that comes after it and began after it.
    let covered = |change: &usize| {
        child_fixed(status, *change)
            || all().any(|index| {
                let after = book.graph.ancestors[status.declared(index)][status.declared(*change)];
                let began = status.tasks[index].started.or(status.tasks[index].done);
                let younger = began > status.tasks[*change].last_done();
                status.tasks[index].verified == Some(true) && (index == *change || after && younger)
            })
    };
    if changes.iter().all(covered) {
        (RunOutcome::Fixed, say::end_fixed())
    } else {
        (RunOutcome::NoEffect, say::end_not_verified())
    }
}

/// The measurements that are done and come after a task that failed: once it is started again they tell of the time before.
#[must_use]
pub fn stale(book: &Book, status: &Status) -> Vec<String> {
    let failed = |index: &usize| status.tasks[*index].stage == Stage::Failed && !status.part(*index).is_undo();
    let again: Vec<usize> = (0..status.tasks.len()).filter(failed).map(|index| status.declared(index)).collect();
    let after = |index: usize| again.iter().any(|before| book.graph.ancestors[status.declared(index)][*before]);
    let measured = |index: &usize| {
        let (head, task) = (&status.head.tasks[*index], &status.tasks[*index]);
        head.kind == "Verify" && task.stage == Stage::Succeeded && !head.part.is_undo() && after(*index)
    };
    (0..status.tasks.len()).filter(measured).map(|index| status.head.tasks[index].id.clone()).collect()
}

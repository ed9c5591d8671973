//! Taking back what a run did: which steps are undone, in which order, and what follows from each.
//!
//! A run unwinds when it stops before its work is done: a task failed and the playbook does not go on after it, what must
//! hold does not, a person cancelled or rejected it, or its time is over. Everything done so far that says how it is undone
//! is undone, one step at a time, what was done last first; what does not say so stays. Nothing is undone while it is not
//! known whether something happened. An undo that fails ends the run as stuck; a person's `retry` tries it again.
//!
//! An undo that is not what was approved with its change ([`super::Rollback`]) is asked for first. Until people decide
//! nothing else is undone, so that the order stays; the request has a time of its own, and is not cut short by the run's:
//! a run that unwinds because its time is over may ask as well. Rejected or not decided in time is a failed undo.

use serde_json::Value;

use super::decide::{Decision, Next};
use super::each::item_id;
use super::ending;
use super::event::{CHILD, Event, FailureKind, Part, TaskHead};
use super::status::{End, Status};
use super::task::{Stage, TaskStatus};
use crate::core::message::playbook::{self as say, Held};
use crate::playbook::book::Book;
use crate::playbook::model::Retry;
use crate::playbook::view::RunOutcome;

/// The id of the step that undoes a task by its action's own inverse.
#[must_use]
pub fn undo_id(task: &str) -> String {
    format!("undo:{task}")
}

/// The steps that would be undone if the run stopped now: done or perhaps done, not undone yet, and with a way to undo
/// them. What was done last comes first; what was done several times stands there as often.
#[must_use]
pub fn undoable(book: &Book, status: &Status) -> Vec<usize> {
    let mut found: Vec<(u64, usize)> = (0..status.tasks.len())
        .filter(|index| !status.part(*index).is_undo() && status.tasks[*index].stage != Stage::RolledBack)
        .filter(|index| book.playbook.tasks[status.declared(*index)].undone_by().is_some())
        .flat_map(|index| {
            let stands = move |(_, earlier): &(u64, Option<usize>)| !status.nothing_stands(index, *earlier);
            status.tasks[index].times().filter(stands).map(move |(seq, _)| (seq, index))
        })
        .collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, index)| index).collect()
}

/// An undo is tried so often where the playbook does not say: nobody wants to be woken by one lost packet.
const UNDO_TRIES: u32 = 3;

/// How a step's failures are tried again.
#[must_use]
pub fn retry(book: &Book, status: &Status, index: usize) -> Option<Retry> {
    let declared = book.playbook.tasks[status.declared(index)].retry.clone();
    let undo = || Retry { attempts: UNDO_TRIES, backoff: None, jitter: None, on: Vec::new() };
    declared.or_else(|| status.part(index).is_undo().then(undo))
}

impl Status {
    /// Begins to unwind: finds, or adds, the step that undoes each of these tasks. A task that was done several times is
    /// named as often, and undone as often: the last time first. None if one is not there.
    pub(super) fn unwind(&mut self, undo: &[String]) -> Option<()> {
        let mut steps = Vec::new();
        for (at, task) in undo.iter().enumerate() {
            let of = self.index(task)?;
            let before = undo[..at].iter().filter(|other| *other == task).count();
            let stands = |(_, earlier): &(u64, Option<usize>)| !self.nothing_stands(of, *earlier);
            let (_, earlier) = self.tasks[of].times().filter(stands).nth(before)?;
            let step = self.undo_step(of, earlier, before, &steps);
            steps.push(step);
        }
        self.unwinding = Some(steps);
        self.ask = None;
        self.votes.clear();
        Some(())
    }

    /// The step that undoes a task, for the time that it was done; `before` of its times have one already.
    fn undo_step(&mut self, of: usize, earlier: Option<usize>, before: usize, taken: &[usize]) -> usize {
        let again = |id: String| if before == 0 { id } else { format!("{id}#{}", before + 1) };
        let own = Part::Undo { of, inverse: false, earlier };
        let template = match self.part(of) {
            Part::Item { of: group, number } => self.template(group).map(|template| (template, number)),
            _ => None,
        };
        let by = |head: &TaskHead| matches!(head.part, Part::Undo { of: undoes, inverse: false, .. } if undoes == of);
        let added = if let Some((template, number)) = template {
            let head = self.head.tasks[template].clone();
            TaskHead {
                id: again(item_id(&head.id, number)),
                name: say::undo_item(&head.name, &self.head.tasks[of].name),
                part: own,
                declared: Some(template),
                ..head
            }
        } else if let Some(step) = self.head.tasks.iter().position(by) {
            if !taken.contains(&step) {
                self.head.tasks[step].part = own;
                return step;
            }
            let head = self.head.tasks[step].clone();
            TaskHead { id: again(head.id.clone()), part: own, declared: Some(self.declared(step)), ..head }
        } else {
            let head = &self.head.tasks[of];
            TaskHead {
                id: again(undo_id(&head.id)),
                name: say::undo_of(&head.name),
                kind: head.kind.clone(),
                changes: head.changes,
                part: Part::Undo { of, inverse: true, earlier },
                declared: Some(self.declared(of)),
            }
        };
        self.head.tasks.push(added);
        self.tasks.push(TaskStatus::new());
        self.tasks.len() - 1
    }

    /// Whether this is a child run that left nothing changed, so that there is nothing to take back.
    fn nothing_stands(&self, index: usize, earlier: Option<usize>) -> bool {
        let task = &self.tasks[index];
        let output = match earlier {
            Some(place) => task.earlier.get(place).and_then(|done| done.output.as_ref()),
            None => task.output.as_ref(),
        };
        let stays = output.and_then(|output| output["stays"].as_array());
        self.head.tasks[index].kind == CHILD && stays.is_some_and(Vec::is_empty)
    }

    /// Whether it has ended well, so that the run that it is a part of may have it take back what it did.
    #[must_use]
    pub fn may_be_taken_back(&self) -> bool {
        let well = |end: &End| matches!(end.outcome, RunOutcome::Fixed | RunOutcome::NoEffect);
        let untouched = self.cancelled.is_none() && self.unwinding.is_none();
        self.head.parent.is_some() && untouched && self.ended.as_ref().is_some_and(well)
    }

    /// A child run took back what it could; this of it stands all the same.
    pub(super) fn child_left(&mut self, step: usize, left: &[Value]) {
        let Part::Undo { of, earlier, .. } = self.part(step) else { return };
        let task = &mut self.tasks[of];
        let output = match earlier {
            Some(place) => task.earlier.get_mut(place).and_then(|done| done.output.as_mut()),
            None => task.output.as_mut(),
        };
        if let Some(output) = output.filter(|output| output.is_object()) {
            output["stays"] = left.into();
        }
        let task = &self.tasks[of];
        let outputs = task.earlier.iter().filter_map(|done| done.output.as_ref()).chain(task.output.as_ref());
        let stands = |output: &Value| output["stays"].as_array().is_some_and(|stays| !stays.is_empty());
        if !outputs.into_iter().any(stands) {
            self.undone(of);
        }
    }

    /// A step was undone, once for one of the times it was done.
    pub(super) fn undone(&mut self, of: usize) {
        let left = |step: &usize| {
            let undoes = matches!(self.part(*step), Part::Undo { of: undoes, .. } if undoes == of);
            undoes && !matches!(self.tasks[*step].stage, Stage::Succeeded | Stage::Verifying { .. })
        };
        if self.unwinding.iter().flatten().any(left) {
            return;
        }
        self.tasks[of].stage = Stage::RolledBack;
        let undone = &mut self.tasks[of];
        undone.note = Some(say::undone(undone.note.as_deref().filter(|_| undone.failure.is_some())));
        if let Part::Item { of: group, .. } = self.part(of) {
            let left =
                self.items(group).any(|item| self.tasks[item].did() && self.tasks[item].stage != Stage::RolledBack);
            if !left {
                self.tasks[group].stage = Stage::RolledBack;
                self.tasks[group].note = Some(say::undone(None));
            }
        }
    }

    /// The task that says how the items of another are undone.
    fn template(&self, group: usize) -> Option<usize> {
        let says = |head: &TaskHead| matches!(head.part, Part::Template { of } if of == group);
        self.head.tasks.iter().position(says)
    }

    /// The undo that failed for good.
    #[must_use]
    pub fn failed_undo(&self) -> Option<usize> {
        self.unwinding.as_ref()?.iter().copied().find(|step| self.tasks[*step].stage == Stage::Failed)
    }
}

impl Decision<'_> {
    /// The run is to end: what has begun is seen through, then what was done is undone, then it ends.
    pub(super) fn wind_down(&mut self, overdue: bool) {
        let order = self.status.unwinding.clone();
        if let Some(order) = order {
            self.undo_next(&order, overdue);
            return;
        }
        let all = || 0..self.status.tasks.len();
        let doubt = self.status.tasks.iter().position(|task| task.stage == Stage::InDoubt);
        let in_doubt = |index: usize| self.status.tasks[index].stage == Stage::InDoubt;
        let only_doubt = all().all(|index| !self.status.is_open(index) || in_doubt(index));
        if let Some(doubt) = doubt
            && overdue
            && only_doubt
        {
            let head = &self.status.head.tasks[doubt];
            let why = say::end_stuck(&head.name, &head.id);
            self.next.push(Next::Record(Event::Ended { outcome: RunOutcome::Stuck, why }));
        } else if all().any(|index| self.status.is_open(index)) {
            if doubt.is_some() {
                self.wake_at(self.status.head.deadline);
            }
        } else {
            let undo = undoable(self.book, self.status);
            if undo.is_empty() {
                self.end(overdue);
            } else if self.status.paused.is_some() && !overdue {
                self.wake_at(self.status.head.deadline);
            } else {
                let undo = undo.iter().map(|index| self.status.head.tasks[*index].id.clone()).collect();
                let (_, why) = ending::so_far(self.book, self.status, overdue);
                self.next.push(Next::Record(Event::Unwinding { undo, why }));
            }
        }
    }

    fn end(&mut self, overdue: bool) {
        let (outcome, why) = ending::of(self.book, self.status, overdue);
        self.next.push(Next::Record(Event::Ended { outcome, why }));
    }

    /// One step at a time, in order. A person who paused the run holds it here too.
    fn undo_next(&mut self, order: &[usize], overdue: bool) {
        let left = order.iter().copied().find(|step| self.status.tasks[*step].stage != Stage::Succeeded);
        let Some(step) = left else { return self.end(overdue) };
        if self.busy.contains(&step) {
            return;
        }
        let lacks = self.lacks(step);
        let held = self.status.paused.is_some() || lacks;
        // Neither a doubt, nor a pause, nor a missing action holds the run, and its lock, for ever.
        let stage = self.status.tasks[step].stage;
        let doubt = stage == Stage::InDoubt;
        let starts = matches!(stage, Stage::Pending | Stage::Approved | Stage::Again { .. });
        if doubt || held && starts || stage == Stage::Planned && self.status.paused.is_some() {
            if !overdue {
                if lacks && !doubt {
                    self.hold(Held::Unwinding);
                }
                return self.wake_at(self.status.head.deadline);
            }
            let why = if lacks { self.lacking(Held::TooLate) } else { say::held_too_long() };
            let head = &self.status.head.tasks[step];
            self.next.push(Next::Record(if doubt {
                Event::Ended { outcome: RunOutcome::Stuck, why: say::end_stuck(&head.name, &head.id) }
            } else {
                // A failed undo ends the run as stuck, and a person may let it be tried again.
                Event::Failed { task: head.id.clone(), kind: FailureKind::Permanent, why, retry_at: None, output: None }
            }));
            return;
        }
        // What people were asked for is done as they saw it; what goes with the change is worked out anew.
        let work = if self.status.was_asked(step) { Next::Begin(step) } else { Next::Prepare(step) };
        match stage {
            Stage::Pending | Stage::Approved => self.next.push(work),
            Stage::Again { at } if self.now >= at => self.next.push(work),
            Stage::Planned if self.status.ask.is_none() => self.ask_for(&[step]),
            Stage::Again { at } => self.wake_at(at),
            // A child run is looked at as what is open anyway.
            Stage::Waits { .. } if self.status.is_open(step) => {}
            Stage::Waits { until } if self.now >= until => self.next.push(Next::Look(step)),
            Stage::Waits { until } => self.wake_at(until),
            Stage::Failed => {
                let note = self.status.tasks[step].note.clone().unwrap_or_default();
                let of = match self.status.part(step) {
                    Part::Undo { of, .. } => of,
                    _ => step,
                };
                let why = say::end_not_undone(&self.status.head.tasks[of].name, &note);
                let why = ending::with_what_became(self.status, &why, RunOutcome::Stuck);
                self.next.push(Next::Record(Event::Ended { outcome: RunOutcome::Stuck, why }));
            }
            // Running is settled, and a doubt has waited for a person: nothing more is undone before it is known. What is
            // asked for waits for people, until their time is over.
            Stage::Planned
            | Stage::Running
            | Stage::Verifying { .. }
            | Stage::InDoubt
            | Stage::Spread
            | Stage::Succeeded
            | Stage::Skipped
            | Stage::RolledBack => {}
        }
    }
}

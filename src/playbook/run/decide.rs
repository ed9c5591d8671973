//! What a run does next: a pure decision from its status, its playbook and the time.

use std::collections::HashSet;

use super::ending;
use super::event::{Ask, CHILD, Event, FailureKind, Missing, Part};
use super::plan::Frontier;
use super::status::Status;
use super::task::Stage;
use super::values::values;
use crate::access::{Actor, Hashed as _, Policy, Request, Risk};
use crate::core::Timestamp;
use crate::core::duration::Span;
use crate::core::message::playbook::{self as say, Held};
use crate::playbook::book::Book;
use crate::playbook::model::{Otherwise, Task, Undo};
use crate::playbook::options::Approvals;
use crate::playbook::tasks;

/// Tasks that this process is working on right now (planning, performing, looking): the runtime state, as far as a
/// decision needs it. After a crash it is empty.
pub type Busy = HashSet<usize>;

/// What decisions need of this process: a part of its options, and what it lacks for the run.
#[derive(Debug, Clone)]
pub struct Limits {
    /// People needed, by risk.
    pub approvals: Approvals,
    /// How long a request stands.
    pub approval_expires: Span,
    /// Whether the proposer may approve.
    pub allow_self: bool,
    /// Tasks of one run at the same time.
    pub parallel_tasks: usize,
    /// Actions that the run was started with and that are not here.
    pub missing: Vec<Missing>,
    /// Longest output of a task, bytes.
    pub output_bytes: usize,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Write this down; nothing outside happens.
    Record(Event),
    /// Work out what a task would do. A read task is started after that, a change is planned.
    Prepare(usize),
    /// An approved change (or a try again): check the guards, then start it.
    Begin(usize),
    /// A waiting task's time has come: look again.
    Look(usize),
    /// An intent without an outcome that nobody here works on: find out what happened.
    Settle(usize),
    /// See whether what must hold after a task does.
    Verify(usize),
    /// Nothing before this moment, unless something comes.
    Wake(Timestamp),
}

/// Decides. Records come first: after folding them, decide again.
#[must_use]
pub fn decide(book: &Book, status: &Status, busy: &Busy, now: Timestamp, limits: &Limits) -> Vec<Next> {
    if status.ended.is_some() {
        return Vec::new();
    }
    let mut found = Decision { book, status, busy, now, limits, next: Vec::new(), wake: None };
    found.run();
    if let Some(wake) = found.wake {
        found.next.push(Next::Wake(wake));
    }
    found.next
}

pub(super) struct Decision<'a> {
    pub(super) book: &'a Book,
    pub(super) status: &'a Status,
    pub(super) busy: &'a Busy,
    pub(super) now: Timestamp,
    pub(super) limits: &'a Limits,
    pub(super) next: Vec<Next>,
    wake: Option<Timestamp>,
}

impl Decision<'_> {
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    pub(super) fn declared(&self, index: usize) -> &Task {
        &self.book.playbook.tasks[self.status.declared(index)]
    }

    fn run(&mut self) {
        let overdue = self.now >= self.status.head.deadline;
        if self.status.held.is_some() && self.limits.missing.is_empty() {
            self.next.push(Next::Record(Event::Released));
            return;
        }
        // While a person holds the run nobody is late.
        if let Some(ask) = self.status.ask.as_ref().filter(|_| self.status.paused.is_none()) {
            if self.now >= ask.request.expires {
                self.next.push(Next::Record(Event::Expired));
                return;
            }
            self.wake_at(ask.request.expires);
        }
        let stopping = stops(self.book, self.status, self.now);
        self.open_effects(stopping);
        if stopping {
            self.wind_down(overdue);
            return;
        }
        self.wake_at(self.status.head.deadline);
        if let Some(joined) = self.joined() {
            self.next.push(Next::Record(joined));
            return;
        }
        if !self.limits.missing.is_empty() && self.forward().any(|index| !self.status.tasks[index].stage.is_final()) {
            self.hold(Held::MayBeCancelled);
            return;
        }
        if self.status.paused.is_none() {
            self.start_what_is_ready();
            self.ask_when_reads_are_done();
        }
        if self.next.is_empty()
            && self.busy.is_empty()
            && self.forward().all(|index| self.status.tasks[index].stage.is_final())
        {
            let (outcome, why) = ending::of(self.book, self.status, false);
            self.next.push(Next::Record(Event::Ended { outcome, why }));
        }
    }

    /// The steps of the playbook's order.
    fn forward(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.status.tasks.len()).filter(|index| !self.status.part(*index).is_undo())
    }

    /// Nothing starts here: what the run was started with is missing. Said once.
    pub(super) fn hold(&mut self, left: Held) {
        let why = self.lacking(left);
        if self.status.held.as_ref() != Some(&why) {
            self.next.push(Next::Record(Event::Held { why }));
        }
    }

    /// What is missing, in words.
    pub(super) fn lacking(&self, left: Held) -> String {
        let missing = self.limits.missing.iter();
        let said: Vec<String> =
            missing.map(|missing| say::action_missing(&missing.kind, missing.version, missing.here)).collect();
        say::held(&said, left)
    }

    /// Whether the action of a step is missing.
    pub(super) fn lacks(&self, index: usize) -> bool {
        self.limits.missing.iter().any(|missing| missing.kind == self.status.head.tasks[index].kind)
    }

    /// Effects that have begun are seen through whatever else happens.
    fn open_effects(&mut self, stopping: bool) {
        for (index, task) in self.status.tasks.iter().enumerate() {
            if self.busy.contains(&index) {
                continue;
            }
            // Where something is missing, readings wait until it is there; of a change a person is asked.
            let reads = stopping || self.limits.missing.is_empty();
            match task.stage {
                Stage::Running if reads || self.status.head.tasks[index].changes => {
                    self.next.push(Next::Settle(index));
                }
                Stage::Verifying { .. } if reads => self.next.push(Next::Verify(index)),
                // A child run is waited for whatever becomes of this one.
                Stage::Waits { .. } if self.status.is_open(index) => self.next.push(Next::Look(index)),
                Stage::Waits { until } if !stopping && !self.lacks(index) => {
                    if self.now >= until {
                        self.next.push(Next::Look(index));
                    } else {
                        self.wake_at(until);
                    }
                }
                Stage::Running
                | Stage::Verifying { .. }
                | Stage::Waits { .. }
                | Stage::Pending
                | Stage::Planned
                | Stage::Approved
                | Stage::Again { .. }
                | Stage::InDoubt
                | Stage::Spread
                | Stage::Succeeded
                | Stage::Failed
                | Stage::Skipped
                | Stage::RolledBack => {}
            }
        }
    }

    fn start_what_is_ready(&mut self) {
        let mut free = self.limits.parallel_tasks.max(1).saturating_sub(self.busy.len());
        let mut pauses = None;
        for index in 0..self.status.tasks.len() {
            if self.busy.contains(&index) || self.status.part(index).is_undo() {
                continue;
            }
            let next = match self.status.tasks[index].stage {
                Stage::Pending if self.is_ready(index) => match self.condition(index) {
                    Some(event) => {
                        self.next.push(Next::Record(event));
                        continue;
                    }
                    None if self.declared(index).pause
                        && !matches!(self.status.part(index), Part::Item { .. })
                        && !self.status.paused_before.contains(&self.declared(index).id) =>
                    {
                        pauses.get_or_insert(index);
                        continue;
                    }
                    None if self.status.part(index) == Part::Each => {
                        self.next.push(Next::Record(self.spread(index)));
                        continue;
                    }
                    None => Next::Prepare(index),
                },
                Stage::Approved => Next::Begin(index),
                Stage::Again { at } if self.now >= at => {
                    if self.status.head.tasks[index].changes {
                        Next::Begin(index)
                    } else {
                        Next::Prepare(index)
                    }
                }
                Stage::Again { at } => {
                    self.wake_at(at);
                    continue;
                }
                Stage::Pending
                | Stage::Planned
                | Stage::Running
                | Stage::Waits { .. }
                | Stage::Verifying { .. }
                | Stage::InDoubt
                | Stage::Spread
                | Stage::Succeeded
                | Stage::Failed
                | Stage::Skipped
                | Stage::RolledBack => continue,
            };
            let plans_only = matches!(next, Next::Prepare(_)) && self.status.head.tasks[index].changes;
            if let Part::Item { of, .. } = self.status.part(index)
                && !plans_only
                && !self.has_room(of)
            {
                continue;
            }
            if free > 0 {
                free -= 1;
                self.next.push(next);
            }
        }
        if let Some(index) = pauses
            && self.next.is_empty()
            && self.busy.is_empty()
        {
            let by = Actor::Mayday(say::pauses_before(&self.status.head.tasks[index].name));
            let before = Some(self.declared(index).id.clone());
            self.next.push(Next::Record(Event::Paused { by, before }));
        }
    }

    /// A task is ready when everything it depends on is done, skipped, or failed in a way that lets the run go on.
    fn is_ready(&self, index: usize) -> bool {
        if let Part::Item { of, .. } = self.status.part(index) {
            return self.status.tasks[of].stage == Stage::Spread;
        }
        self.book.graph.before[self.status.declared(index)].iter().all(|before| {
            match self.status.tasks[*before].stage {
                Stage::Succeeded | Stage::Skipped => true,
                Stage::Failed => self.declared(*before).on_failure.continues(),
                Stage::Pending
                | Stage::Planned
                | Stage::Approved
                | Stage::Running
                | Stage::Waits { .. }
                | Stage::Again { .. }
                | Stage::Verifying { .. }
                | Stage::InDoubt
                | Stage::RolledBack
                | Stage::Spread => false,
            }
        })
    }

    /// What the conditions make of a task: skipped, failed because one can't be evaluated, or nothing.
    fn condition(&self, index: usize) -> Option<Event> {
        // Asked once, before the list is worked out.
        if matches!(self.status.part(index), Part::Item { .. }) {
            return None;
        }
        let conditions = &self.book.conditions[self.status.declared(index)];
        if conditions.is_empty() {
            return None;
        }
        let values = values(self.book, self.status);
        let task = self.declared(index).id.clone();
        // An error beats a "no" of another condition, whatever their order.
        let mut no = None;
        for condition in conditions {
            match condition.holds(&values) {
                Ok(true) => {}
                Ok(false) => no = no.or(Some(condition)),
                Err(why) => {
                    return Some(Event::Failed { task, kind: FailureKind::Broken, why, retry_at: None, output: None });
                }
            }
        }
        no.map(|condition| Event::Skipped { task, why: say::skipped(condition.source()) })
    }

    fn ask_when_reads_are_done(&mut self) {
        // A child run may take as long as its people do, and what waits for a condition as long as the playbook lets it:
        // no other branch waits for these.
        let long = |index: usize| {
            let kind = self.status.head.tasks[index].kind.as_str();
            kind == CHILD
                || matches!(kind, "Verify" | "Wait") && self.book.verify[self.status.declared(index)].is_some()
        };
        let reading = |index: usize| !self.status.head.tasks[index].changes && !long(index);
        let busy_reading =
            self.busy.iter().any(|index| reading(*index) || self.status.tasks[*index].stage == Stage::Pending);
        let records = self.next.iter().any(|next| match next {
            Next::Record(_) | Next::Prepare(_) | Next::Begin(_) => true,
            Next::Settle(index) | Next::Look(index) | Next::Verify(index) => reading(*index),
            Next::Wake(_) => false,
        });
        let running =
            self.status.tasks.iter().enumerate().any(|(index, task)| reading(index) && task.stage == Stage::Running);
        if self.status.ask.is_some() || busy_reading || records || running {
            return;
        }
        let planned: Vec<usize> =
            (0..self.status.tasks.len()).filter(|index| self.status.tasks[*index].stage == Stage::Planned).collect();
        let Some(first) = planned.first() else { return };
        let wanted = self.who(*first);
        let tasks: Vec<usize> = planned.iter().copied().filter(|index| self.who(*index) == wanted).collect();
        self.ask_for(&tasks);
    }

    /// Asks people for these tasks, which are planned and have the same approvers.
    pub(super) fn ask_for(&mut self, tasks: &[usize]) {
        let Some(first) = tasks.first() else { return };
        let ask = self.ask(tasks, self.who(*first));
        self.next.push(Next::Record(Event::Asked { ask: Box::new(ask) }));
    }

    /// The change that a step makes, or that it undoes: who may approve the one may approve the other.
    fn change(&self, index: usize) -> &Task {
        match self.status.part(index) {
            Part::Undo { of, .. } => self.declared(of),
            Part::Forward | Part::Each | Part::Item { .. } | Part::Template { .. } => self.declared(index),
        }
    }

    /// Who may approve a task: changes with the same answer are asked together.
    fn who(&self, index: usize) -> (Vec<String>, bool) {
        let spec = self.change(index).approval.as_ref();
        let mut approvers = spec.map(|spec| spec.approvers.clone()).unwrap_or_default();
        approvers.sort();
        (approvers, spec.is_some_and(|spec| spec.allow_self) || self.limits.allow_self)
    }

    fn ask(&self, indexes: &[usize], (approvers, allow_self): (Vec<String>, bool)) -> Ask {
        let mut policy =
            Policy { risk: Risk::Read, count: 1, approvers, allow_self, expires_after: self.limits.approval_expires };
        for task in indexes.iter().map(|index| self.change(*index)) {
            let risk = risk(self.book, task);
            policy.risk = policy.risk.max(risk);
            policy.count = policy.count.max(self.limits.approvals.of(risk));
            if let Some(spec) = &task.approval {
                policy.count = policy.count.max(spec.count.unwrap_or(0));
                policy.expires_after = spec.expires.map_or(policy.expires_after, |span| span.min(policy.expires_after));
            }
        }
        let frontier = Frontier::of(
            &self.status.head,
            indexes.iter().filter_map(|index| {
                let plan = self.status.tasks[*index].plan.as_ref()?;
                Some((self.status.head.tasks[*index].id.as_str(), plan))
            }),
        );
        let proposer = match &self.status.head.by {
            Actor::Person(person) => Some(person.clone()),
            Actor::Impersonated { admin, .. } => Some(admin.clone()),
            Actor::Mayday(_) => None,
        };
        Ask {
            request: Request::new(frontier.plan_hash(), proposer, policy, self.now),
            tasks: indexes.iter().map(|index| self.status.head.tasks[*index].id.clone()).collect(),
            frontier,
            difference: indexes.iter().flat_map(|index| self.status.tasks[*index].moved.iter().cloned()).collect(),
        }
    }
}

/// How risky a change is. Who approves it approves its undoing with it: the riskier of the two says who may.
#[must_use]
pub fn risk(book: &Book, task: &Task) -> Risk {
    let undo = match task.undone_by() {
        Some(Undo::Task(by)) => book.playbook.tasks.iter().find(|other| other.id == by).map_or(Risk::Read, tasks::risk),
        Some(Undo::Inverse) | None => Risk::Read,
    };
    tasks::risk(task).max(undo)
}

/// Whether a task's failure ends the run.
pub(super) fn aborts(book: &Book, status: &Status, index: usize) -> bool {
    let task = &status.tasks[index];
    if status.part(index).is_undo() {
        return false;
    }
    let declared = &book.playbook.tasks[status.declared(index)];
    let not_verified = task.failure.is_some_and(FailureKind::is_unverified)
        && declared.verify.as_ref().is_some_and(|verify| verify.otherwise != Otherwise::Fail);
    task.stage == Stage::Failed && (not_verified || !declared.on_failure.continues())
}

/// Whether the run is to end: nothing of its order starts any more.
#[must_use]
pub fn stops(book: &Book, status: &Status, now: Timestamp) -> bool {
    now >= status.head.deadline
        || status.cancelled.is_some()
        || status.rejected.is_some()
        || status.unwinding.is_some()
        || (0..status.tasks.len()).any(|task| aborts(book, status, task))
}

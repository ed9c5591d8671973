//! What a run's task sets going beside itself: looks at live systems, effects, what settles a doubt, verifications. Each
//! flies on its own and lands as a [`Landed`].

use std::time::Duration;

use serde_json::Value;

use super::commit::Lost;
use super::driver::{Driver, Landed};
use super::effects::{Came, Held, TIMEOUT, Time, Unplanned, Verification, safely, settles, timeout_of};
use super::rollback::{Wanted, together};
use super::{child, render};
use crate::access::Risk;
use crate::core::Timestamp;
use crate::core::message::playbook as say;
use crate::playbook::action::{Context, Intent, Planned, Settle};
use crate::playbook::pace::Pace;
use crate::playbook::run::{Anew, CHILD, Event, FailureKind, Part, Stage, TaskPlan, verifiers};
use crate::playbook::tasks;

/// Readings that an approved change depends on are taken anew right before it when they are older than this; before one
/// that interrupts or destroys something always, since what recovered a moment ago must be left alone. So are those that say
/// whether it held already.
const READINGS_HOLD: Duration = Duration::from_secs(30);

impl Driver {
    /// Whether a change that was interrupted would be made again.
    fn would_repeat(&self, index: usize, intent: &Intent) -> bool {
        let head = &self.status.head.tasks[index];
        let action = self.shared.tools.registry.get(&head.kind);
        head.changes && action.is_some_and(|action| settles(&**action, &intent.target) == Settle::Repeat)
    }

    /// The parameters of a step, filled in: its task's, or what its action says undoes what was done.
    fn parameters(&self, index: usize) -> Result<Value, String> {
        let undoes = matches!(self.status.part(index), Part::Undo { inverse: true, .. });
        let Some((of, task)) = self.status.undoes(index).filter(|_| undoes) else {
            return render::parameters(&self.book, &self.status, index);
        };
        let kind = &self.status.head.tasks[of].kind;
        if kind == CHILD {
            return child::to_take_back(&task).ok_or_else(|| say::no_inverse(kind));
        }
        let action = self.shared.tools.registry.get(kind).ok_or_else(|| say::no_executor(kind))?;
        if !action.knows(task.version) {
            return Err(say::other_version(kind, task.version, action.version()));
        }
        let target = task.intent.as_ref().map_or(&Value::Null, |intent| &intent.target);
        let output = task.output.as_ref().unwrap_or(&Value::Null);
        safely(|| action.inverse(target, output), || None).ok_or_else(|| say::no_inverse(kind))
    }

    pub(super) fn plan(
        &mut self,
        index: usize,
        now: Timestamp,
        land: fn(usize, Result<TaskPlan, Unplanned>) -> Landed,
    ) -> Result<(), Lost> {
        let parameters = match self.parameters(index) {
            Ok(parameters) => parameters,
            Err(why) => {
                let failed = Event::Failed {
                    task: self.id(index),
                    kind: FailureKind::Broken,
                    why,
                    retry_at: None,
                    output: None,
                };
                return self.record(failed, now);
            }
        };
        self.busy.insert(index);
        // What an earlier look measured is not how it is right before this one.
        self.before.remove(&index);
        if self.is_own(index) {
            let planned = Planned {
                object: String::new(),
                changes: Vec::new(),
                target: parameters.clone(),
                radius: String::new(),
                undo: None,
                details: Vec::new(),
            };
            let landed = land(index, Ok(together(parameters, planned, None)));
            if verifiers(&self.book, &self.status, index).is_empty() {
                self.fly(std::future::ready(landed));
                return Ok(());
            }
            // What a child run changes is measured as what this one does; it begins now.
            let measured = self.measured_by(index, now);
            let (tools, context) = (self.tools(), self.context(index, now));
            let (book, status) = (self.book.clone(), self.status.clone());
            self.fly(async move {
                let before = tools.before(&book, &status, index, &measured, &context, Anew::new()).await;
                Landed::Before(index, before, Box::new(landed))
            });
            return Ok(());
        }
        let kind = self.status.head.tasks[index].kind.clone();
        let action = self.shared.tools.registry.get(&kind).cloned();
        let (tools, context) = (self.tools(), self.context(index, now));
        let fresh = self.status.tasks[index].stage == Stage::Pending || self.status.part(index).is_undo();
        let stale = if fresh { Vec::new() } else { self.stale(index, now) };
        let measured = if fresh { Vec::new() } else { self.measured_by(index, now) };
        let verified = !fresh && !verifiers(&self.book, &self.status, index).is_empty();
        let looks = verified || !stale.is_empty() || !measured.is_empty();
        let (book, status) = (self.book.clone(), looks.then(|| self.status.clone()));
        let undo = self.rollback_of(index, &context);
        self.fly(async move {
            let mut before = None;
            if let Some(status) = &status {
                let mut read = Anew::new();
                if !stale.is_empty() {
                    match tools.no_longer(&book, status, index, &stale, &context, &mut read).await {
                        Ok(None) => {}
                        Ok(Some(condition)) => return Landed::Unneeded(index, condition),
                        Err(why) => return land(index, Err((FailureKind::Broken, why))),
                    }
                }
                before = Some(tools.before(&book, status, index, &measured, &context, read).await);
            }
            let planned = tools.plan(action, context, &kind, parameters.clone()).await;
            let rollback = match undo.filter(|_| planned.is_ok()) {
                Some(undo) => Some(undo.look(&tools).await),
                None => None,
            };
            let landed = land(index, planned.map(|planned| together(parameters, planned, rollback)));
            match before {
                Some(before) => Landed::Before(index, before, Box::new(landed)),
                None => landed,
            }
        });
        Ok(())
    }

    /// The task that would undo a change, to be worked out with it. Not where people approved the change before that was
    /// asked of them.
    fn rollback_of(&self, index: usize, context: &Context) -> Option<Wanted> {
        let task = &self.status.tasks[index];
        let approved = task.plan.as_ref().filter(|_| task.stage != Stage::Pending);
        let wanted = approved.is_none_or(|plan| plan.rollback.is_some()) && !self.status.part(index).is_undo();
        let wanted = wanted && self.status.head.tasks[index].changes;
        wanted.then(|| Wanted::of(&self.book, &self.status, index, &self.shared.tools.registry, context))?
    }

    /// What measures a change, by name, with the tasks that read it: what must hold after it, and the verifications that come
    /// after it. For those whose before this is, always: also a reading of a second ago does not say how it is right before,
    /// and a task that comes after the change has not read at all. For the others only where the reading that the run has
    /// is too old to be compared with.
    fn measured_by(&self, index: usize, now: Timestamp) -> Vec<(String, usize)> {
        let (change, mut found) = (self.status.declared(index), Vec::new());
        let verifiers = verifiers(&self.book, &self.status, index);
        let first = |root: &str| verifiers.iter().any(|verifier| verifier.condition.roots().any(|name| name == root));
        for (declared, condition) in self.book.verify.iter().enumerate() {
            let Some(condition) = condition else { continue };
            if declared != change && !self.book.graph.ancestors[declared][change] {
                continue;
            }
            for root in condition.roots() {
                let Some(reader) = self.book.reader(root) else { continue };
                let old = self.status.tasks[reader].came_at.is_some_and(|came| {
                    Duration::try_from(now.duration_since(came)).is_ok_and(|age| age > READINGS_HOLD)
                });
                if (old || first(root)) && !found.iter().any(|(name, _)| name == root) {
                    found.push((root.to_owned(), reader));
                }
            }
        }
        found
    }

    /// The read tasks that the conditions of an approved task name and whose outcome is too old to judge by.
    fn stale(&self, index: usize, now: Timestamp) -> Vec<usize> {
        let mut found = Vec::new();
        let always = tasks::risk(self.declared(index)) >= Risk::Disruptive;
        for reference in
            self.book.conditions[self.status.declared(index)].iter().flat_map(|condition| condition.references())
        {
            let reader = match (reference.root.as_str(), reference.fields.first()) {
                ("tasks", Some(task)) => self.status.index(task),
                (variable, _) => {
                    self.book.playbook.tasks.iter().position(|task| task.output_variable.as_deref() == Some(variable))
                }
            };
            // What was skipped, or never carried out, is not carried out now. A message is not sent twice, and no
            // person is asked twice.
            let Some(reader) = reader.filter(|reader| self.book.reads(*reader)) else { continue };
            let old = self.status.tasks[reader].came_at.is_some_and(|came| {
                always || Duration::try_from(now.duration_since(came)).is_ok_and(|age| age > READINGS_HOLD)
            });
            if old && !found.contains(&reader) {
                found.push(reader);
            }
        }
        found
    }

    /// Works on something beside everything else.
    pub(super) fn fly(&mut self, work: impl Future<Output = Landed> + Send + 'static) {
        self.flights.begin(work);
    }

    /// Performs the task's durable intent.
    pub(super) fn perform(&mut self, index: usize) {
        let Some(intent) = self.status.tasks[index].intent.clone() else { return };
        let own = self.is_own(index);
        if own && self.shared.tools.faults.fail.contains(&self.status.head.tasks[index].id) {
            self.busy.insert(index);
            let came = Came::Failed(FailureKind::Permanent, say::made_to_fail());
            return self.fly(std::future::ready(Landed::Came(index, came)));
        }
        if self.is_child(index) {
            let waits = matches!(self.status.tasks[index].stage, Stage::Waits { .. });
            match self.status.part(index).is_undo() {
                true if waits => self.await_taken_back(index),
                true => self.take_back(index),
                false if waits => self.await_child(index),
                false => self.call(index),
            }
            return;
        }
        self.busy.insert(index);
        let now = self.shared.parts.clock.now();
        let context = self.context(index, now);
        if self.measures(index) {
            return self.measure(index, intent.deadline, Landed::Measured);
        }
        let Some(action) = self.shared.tools.registry.get(&self.status.head.tasks[index].kind).cloned() else {
            let why = say::no_executor(&self.status.head.tasks[index].kind);
            let came = Landed::Came(index, Came::Failed(FailureKind::NotAvailable, why));
            self.fly(std::future::ready(came));
            return;
        };
        let mut intent = intent;
        let looks = matches!(self.status.tasks[index].stage, Stage::Waits { .. });
        if looks {
            // A look at something that waits is bounded by a time-out of its own; the intent stays the same.
            intent.deadline = now.checked_add(self.timeout(index)).unwrap_or(now);
        }
        let tools = self.tools();
        let held = self.status.head.tasks[index].changes.then(|| Held {
            store: self.shared.parts.store.clone(),
            lease: self.lease.clone(),
            // What has begun is seen through.
            halt: (!looks).then(|| self.halt.clone()),
            undoes: self.status.part(index).is_undo(),
        });
        let performed = async move { Landed::Came(index, tools.perform(action, context, intent, held).await) };
        self.fly(performed);
    }

    pub(super) fn settle(&mut self, index: usize, now: Timestamp) {
        let Some(intent) = self.status.tasks[index].intent.clone() else { return };
        let deadline = self.status.head.deadline;
        if self.status.paused.is_some() && now < deadline && self.would_repeat(index, &intent) {
            // It would start again, and nothing starts while the run is paused. A pause ends with the run's time.
            return self.wake_at(deadline);
        }
        self.busy.insert(index);
        if self.is_own(index) {
            self.fly(std::future::ready(Landed::Came(index, Came::Repeat)));
            return;
        }
        let head = &self.status.head.tasks[index];
        let action = self.shared.tools.registry.get(&head.kind).cloned();
        let (changes, version) = (head.changes, self.status.tasks[index].version);
        let context = self.context(index, self.shared.parts.clock.now());
        let tools = self.tools();
        let of = (version, changes, !self.shared.parts.leases.shares());
        self.fly(async move { Landed::Came(index, tools.settle(action, context, intent, of).await) });
    }

    pub(super) fn verify(&mut self, index: usize) {
        let Stage::Verifying { until } = self.status.tasks[index].stage else { return };
        self.busy.insert(index);
        self.measure(index, until, Landed::Verified);
    }

    fn measure(&mut self, index: usize, until: Timestamp, land: fn(usize, Verification) -> Landed) {
        let pace = Pace::of(self.declared(index));
        let now = self.shared.parts.clock.now();
        // The journal has the end, and the playbook's text is the one that it was begun with.
        let begun = until.checked_sub(pace.within.0).unwrap_or(now);
        let mut time = Time { begun, until };
        if begun < self.taken_up {
            time = time.taken_up(self.taken_up, &pace);
        }
        let (tools, book, status) = (self.tools(), self.book.clone(), self.status.clone());
        let context = self.context(index, now);
        self.fly(async move {
            if tools.faults.repeat.as_ref() == Some(&context.task) {
                let _ = tools.verify(&book, &status, index, &context, time, pace).await;
            }
            let verification = tools.verify(&book, &status, index, &context, time, pace).await;
            land(index, verification)
        });
    }

    pub(super) fn timeout(&self, index: usize) -> Duration {
        if self.measures(index) {
            return Pace::of(self.declared(index)).within.0;
        }
        let declared = self.declared(index).timeout.map(|span| span.0);
        let action = self.shared.tools.registry.get(&self.status.head.tasks[index].kind);
        declared.unwrap_or_else(|| action.map_or(TIMEOUT, |action| timeout_of(&**action)))
    }

    pub(super) fn verify_until(&self, index: usize, now: Timestamp) -> Option<Timestamp> {
        // Whether it helped was asked of what is undone; of the undoing it is not.
        let declared = self.declared(index);
        let verified = declared.verify.is_some() && !self.status.part(index).is_undo();
        verified.then(|| now.checked_add(Pace::of(declared).within.0).ok()).flatten()
    }
}

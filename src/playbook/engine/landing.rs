//! What follows when something a run was working on comes to an end: the next records of its journal.

use serde_json::{Value, json};

use super::commit::Lost;
use super::driver::{Driver, Landed};
use super::effects::{Before, Came, Unplanned, safely};
use super::rollback::undone_by;
use super::standing::asked;
use crate::access::{Actor, Approved, AuditRecord, Hashed as _, Person, Right};
use crate::core::Timestamp;
use crate::core::message::{playbook as say, playbook_undo as undo};
use crate::playbook::action::Intent;
use crate::playbook::run::{
    Event, FailureKind, Given, Rollback, Stage, TaskPlan, capped, difference, idempotency_key, retry, retry_at, stops,
};
use crate::playbook::view::RunOutcome;

/// After so many interruptions of one try nothing is made again by itself.
const MOST_REPEATS: u32 = 3;

impl Driver {
    fn intent(&self, index: usize, target: Value, now: Timestamp) -> Intent {
        let changes = self.status.head.tasks[index].changes;
        let task = &self.status.tasks[index];
        // Every try of the same effect has the same key, also of a run that an earlier Mayday began. What only reads or
        // tells has one effect a round, whatever its words are by now.
        let before = task.intent.as_ref().filter(|before| !changes || before.target == target);
        let idempotency_key = match before {
            Some(before) => before.idempotency_key.clone(),
            None => idempotency_key(&self.status.head, &self.id(index), task.round, &target),
        };
        Intent {
            idempotency_key,
            target,
            deadline: now.checked_add(self.timeout(index)).unwrap_or(now),
            attempt: task.attempt + 1,
        }
    }

    fn start(&mut self, index: usize, intent: Intent, now: Timestamp) -> Result<(), Lost> {
        let action = self.shared.tools.registry.get(&self.status.head.tasks[index].kind);
        let version = action.map_or(0, |action| action.version());
        let Before { readings: before, held: held_before } = self.before.remove(&index).unwrap_or_default();
        self.record(Event::Started { task: self.id(index), intent, version, before, held_before }, now)?;
        self.busy.insert(index);
        self.starting.push(index);
        Ok(())
    }

    fn failed(&mut self, index: usize, kind: FailureKind, why: String, now: Timestamp) -> Result<(), Lost> {
        let task = &self.status.tasks[index];
        let seed = format!("{}-{}-{}", self.status.head.run, self.id(index), task.round);
        let started = matches!(task.stage, Stage::Running | Stage::Waits { .. });
        let attempt = task.attempt + u32::from(!started);
        let retry_at = retry_at(retry(&self.book, &self.status, index).as_ref(), kind, attempt, &seed, now);
        self.record(Event::Failed { task: self.id(index), kind, why, retry_at, output: None }, now)
    }

    pub(super) fn land(&mut self, landed: Landed) -> Result<(), Lost> {
        let now = self.shared.parts.clock.now();
        match landed {
            Landed::Planned(index, planned) => {
                self.busy.remove(&index);
                self.planned(index, planned, now)
            }
            Landed::Checked(index, planned) => {
                self.busy.remove(&index);
                self.checked(index, planned, now)
            }
            Landed::Before(index, before, landed) => {
                self.before.insert(index, before);
                self.land(*landed)
            }
            Landed::Unneeded(index, condition) => {
                self.busy.remove(&index);
                if self.holds(index, now) {
                    return Ok(());
                }
                if self.status.tasks[index].done.is_some() {
                    // It may have been what ended it: what must hold afterwards says whether it helped.
                    let (task, verify_until) = (self.id(index), self.verify_until(index, now));
                    let note = Some(say::done_unheard(&condition));
                    return self.record(Event::Succeeded { task, output: Value::Null, note, verify_until }, now);
                }
                self.record(Event::Skipped { task: self.id(index), why: say::no_longer_needed(&condition) }, now)
            }
            Landed::Came(index, came) => {
                self.busy.remove(&index);
                self.came(index, came, now)
            }
            Landed::Measured(index, found) => {
                self.busy.remove(&index);
                let task = self.id(index);
                if found.holds {
                    let output = if self.declared(index).kind == "Wait" {
                        json!({"waited_seconds": found.seconds})
                    } else {
                        let most = self.shared.parts.options.output_bytes;
                        let readings = capped(found.readings, most);
                        json!({"holds": true, "seconds": found.seconds, "readings": readings})
                    };
                    let note = Some(found.note);
                    return self.record(Event::Succeeded { task, output, note, verify_until: None }, now);
                }
                let kind = if found.worse { FailureKind::MadeWorse } else { FailureKind::NotVerified };
                self.record(Event::Failed { task, kind, why: found.note, retry_at: None, output: None }, now)
            }
            Landed::Consulted(hash, found) => {
                self.consulted(hash, found);
                Ok(())
            }
            Landed::Nothing(index) => {
                self.busy.remove(&index);
                Ok(())
            }
            Landed::Child(index, run, end) => {
                self.busy.remove(&index);
                let (task, output) = (self.id(index), super::child::output(run, &end));
                let note = say::child_ended(run, end.outcome.word(), &end.why);
                // What it had no way to undo stands, as in this run.
                if self.status.part(index).is_undo() && end.outcome != RunOutcome::Stuck {
                    let note = Some(note);
                    return self.record(Event::Succeeded { task, output, note, verify_until: None }, now);
                }
                if matches!(end.outcome, RunOutcome::Fixed | RunOutcome::NoEffect) {
                    return self.record(
                        Event::Succeeded {
                            task,
                            output,
                            note: Some(note),
                            verify_until: self.verify_until(index, now),
                        },
                        now,
                    );
                }
                let kind = FailureKind::Permanent;
                self.record(Event::Failed { task, kind, why: note, retry_at: None, output: Some(output) }, now)
            }
            Landed::Verified(index, found) => {
                self.busy.remove(&index);
                let task = self.id(index);
                self.record(Event::Verified { task, holds: found.holds, worse: found.worse, note: found.note }, now)
            }
        }
    }

    fn planned(&mut self, index: usize, planned: Result<TaskPlan, Unplanned>, now: Timestamp) -> Result<(), Lost> {
        let undo = self.status.part(index).is_undo();
        match planned {
            // The run has begun to unwind meanwhile: of its order nothing more is of interest.
            Err(_) if !undo && self.status.unwinding.is_some() => Ok(()),
            Err((kind, why)) => self.failed(index, kind, why, now),
            Ok(_) if self.holds(index, now) => Ok(()),
            Ok(plan) if undo && self.status.head.tasks[index].changes => self.undo(index, plan, now),
            Ok(mut plan) if self.status.head.tasks[index].changes => {
                plan.planned.undo = self.undone_by(index, &plan);
                self.record(Event::Planned { task: self.id(index), plan: Box::new(plan) }, now)
            }
            Ok(plan) => {
                let intent = self.intent(index, plan.planned.target, now);
                self.start(index, intent, now)
            }
        }
    }

    /// The guards right before an approved change: if they hold, it starts under its right; if not, people are asked again.
    fn checked(&mut self, index: usize, planned: Result<TaskPlan, Unplanned>, now: Timestamp) -> Result<(), Lost> {
        if self.holds(index, now) {
            return Ok(());
        }
        let task = self.id(index);
        let mut plan = match planned {
            Ok(plan) => plan,
            Err((kind, why)) => return self.failed(index, kind, why, now),
        };
        plan.planned.undo = self.undone_by(index, &plan);
        let (Some(approved), Some(_)) = (self.status.tasks[index].plan.clone(), self.status.tasks[index].grant) else {
            let difference = vec![say::not_approved()];
            return self.record(Event::Moved { task, plan: Box::new(plan), difference }, now);
        };
        let action = self.shared.tools.registry.get(&self.status.head.tasks[index].kind);
        let undone_as_before =
            plan.rollback.as_ref().map(Rollback::hash) == approved.rollback.as_ref().map(Rollback::hash);
        let still_holds = plan.parameters == approved.parameters
            && undone_as_before
            && action.is_some_and(|action| safely(|| action.still_holds(&approved.planned, &plan.planned), || false));
        if plan.hash() != approved.hash() && !still_holds {
            let difference = difference(&approved, &plan);
            return self.record(Event::Moved { task, plan: Box::new(plan), difference }, now);
        }
        let right = match self.right(index) {
            Ok(right) => right,
            Err(why) => return self.record(Event::Moved { task, plan: Box::new(plan), difference: vec![why] }, now),
        };
        // The target that was approved, not the one worked out just now: exactly what people saw.
        let intent = self.intent(index, approved.planned.target.clone(), now);
        self.audit(&task, index, &approved, &intent, right);
        self.start(index, intent, now)
    }

    /// Cancelled, paused or stopped meanwhile: nothing starts; it is planned again if the run goes on. What undoes something
    /// only waits while the run is paused.
    fn holds(&self, index: usize, now: Timestamp) -> bool {
        let stopped = !self.status.part(index).is_undo() && stops(&self.book, &self.status, now);
        stopped || self.status.paused.is_some()
    }

    /// How a change is undone, for the people who approve it.
    fn undone_by(&self, index: usize, plan: &TaskPlan) -> Option<String> {
        if let Some((of, _)) = self.status.undoes(index) {
            return Some(undo::takes_back(&self.status.head.tasks[of].name));
        }
        let action = self.shared.tools.registry.get(&self.status.head.tasks[index].kind)?;
        undone_by(&self.book, self.declared(index), action.as_ref(), plan)
    }

    /// The undoing of a change starts under the right that the change was made by. Nobody is asked again: who approved
    /// the change saw how it is undone, and waiting would leave the system as nobody wants it. Only what they did not see
    /// is asked for.
    fn undo(&mut self, index: usize, mut plan: TaskPlan, now: Timestamp) -> Result<(), Lost> {
        let task = self.id(index);
        let difference = self.not_approved(index, &plan);
        if !difference.is_empty() {
            plan.planned.undo = self.undone_by(index, &plan);
            return self.record(Event::Moved { task, plan: Box::new(plan), difference }, now);
        }
        let right = match self.right(index) {
            Ok(right) => right,
            Err(why) => return self.failed(index, FailureKind::Permanent, why, now),
        };
        self.record(Event::Planned { task: task.clone(), plan: Box::new(plan.clone()) }, now)?;
        let intent = self.intent(index, plan.planned.target.clone(), now);
        self.audit(&task, index, &plan, &intent, right);
        self.start(index, intent, now)
    }

    /// What of an undo is not as it was approved with its change.
    fn not_approved(&self, index: usize, plan: &TaskPlan) -> Vec<String> {
        let Some(approved) = self.status.approved_rollback(index) else { return Vec::new() };
        let difference = approved.difference(&plan.as_rollback(&self.declared(index).id));
        if let (true, Rollback::Known { planned: seen, .. }) = (difference.is_empty(), &approved) {
            let action = self.shared.tools.registry.get(&self.status.head.tasks[index].kind);
            let same = action.is_some_and(|action| safely(|| action.same_undo(seen, &plan.planned), || false));
            return if same { Vec::new() } else { vec![undo::not_the_same()] };
        }
        difference
    }

    /// The right to make a planned change, worked out again from what gave it. To undo one: the right it was made by, unless
    /// people were asked for the undo itself.
    ///
    /// # Errors
    /// Why there is none any more, in words.
    fn right(&self, index: usize) -> Result<Right, String> {
        let undoes = self.status.undoes(index).filter(|_| !self.status.was_asked(index));
        let undo = undoes.is_some();
        let (of, plan, grant) = match undoes {
            Some((of, done)) => (of, done.plan, done.grant),
            None => (index, self.status.tasks[index].plan.clone(), self.status.tasks[index].grant),
        };
        let task = &self.status.head.tasks[of].id;
        let grant = grant.and_then(|grant| self.status.grants.get(grant));
        let (Some(grant), Some(plan)) = (grant, plan) else { return Err(say::not_approved()) };
        let given = grant.frontier.clone();
        let approved = match &grant.given {
            Given::ByVotes => Approved::from_votes(given, &grant.request, &grant.votes),
            Given::ByBrokenGlass => {
                let vote = grant.votes.first().filter(|vote| vote.plan_hash == given.plan_hash());
                let vote = vote.ok_or_else(say::not_approved)?;
                let (id, name) = (vote.by.clone(), vote.name.clone());
                let person = Person { id, name, role: vote.role, teams: vote.teams.clone() };
                Approved::break_glass(given, &person, vote.reason.as_deref().unwrap_or_default())
            }
            Given::ByPolicy(then) => {
                let asked = asked(&self.book, &self.status.head, self.status.declared(of), &plan);
                Approved::from_policy(given, self.policy_now(then, undo)?, &asked)
            }
        };
        let approved = approved.map_err(|why| why.to_string())?;
        if approved.plan().covers(task, &plan) { Ok(approved.into_parts().1) } else { Err(say::not_approved()) }
    }

    /// What is about to be performed goes into the audit in the commit that holds its intent.
    fn audit(&mut self, task: &str, index: usize, approved: &TaskPlan, intent: &Intent, right: Right) {
        self.pending.audit.push(AuditRecord {
            actor: Actor::Mayday("playbook".to_owned()),
            action: if self.status.part(index).is_undo() { "undo" } else { "perform" }.to_owned(),
            subject: self.status.head.run.to_string(),
            detail: json!({
                "playbook": self.status.head.playbook,
                "version": self.status.head.version,
                "task": task,
                "kind": self.status.head.tasks[index].kind,
                "object": approved.planned.object,
                "changes": approved.planned.changes,
                "idempotency_key": intent.idempotency_key,
                "attempt": intent.attempt,
            }),
            right: Some(right),
        });
    }

    /// An effect that may have happened and may be made again: a try like any other, counted and audited. Once the run is
    /// to end, nothing starts any more, and a person says whether it happened. While it is paused, or goes to another
    /// process, it stays as it is and is settled later.
    fn repeat(&mut self, index: usize, now: Timestamp) -> Result<(), Lost> {
        if self.leaves() {
            return Ok(());
        }
        let Some(mut intent) = self.status.tasks[index].intent.clone() else { return Ok(()) };
        if !self.measures(index) {
            // What was to hold within a time is measured from the beginning, and within that time all the same.
            intent.deadline = now.checked_add(self.timeout(index)).unwrap_or(now);
        }
        let (task, changes) = (self.id(index), self.status.head.tasks[index].changes);
        if let Some(given_up) = self.given_up(index, say::repeated_too_often(MOST_REPEATS)) {
            return self.record(given_up, now);
        }
        if changes {
            let ends = !self.status.part(index).is_undo() && stops(&self.book, &self.status, now);
            let held = self.status.paused.is_some();
            if held && !ends && now < self.status.head.deadline {
                return Ok(());
            }
            let ends = ends || held;
            let right = self.right(index).ok().zip(self.status.tasks[index].plan.clone());
            let Some((right, plan)) = right.filter(|_| !ends) else {
                let why = say::in_doubt(&task, &say::not_repeated());
                return self.record(Event::Doubted { task, why }, now);
            };
            intent.attempt += 1;
            self.audit(&task, index, &plan, &intent, right);
        }
        self.start(index, intent, now)
    }

    /// What follows when one try was interrupted so often that it may be what takes Mayday down; none while it may be begun
    /// once more.
    fn given_up(&self, index: usize, why: String) -> Option<Event> {
        if self.status.tasks[index].repeats < MOST_REPEATS || self.is_own(index) {
            return None;
        }
        let task = self.id(index);
        Some(if self.status.head.tasks[index].changes {
            Event::Doubted { why: say::in_doubt(&task, &why), task }
        } else {
            Event::Failed { task, kind: FailureKind::Permanent, why, retry_at: None, output: None }
        })
    }

    fn came(&mut self, index: usize, came: Came, now: Timestamp) -> Result<(), Lost> {
        let task = self.id(index);
        match came {
            Came::Done(output) => {
                let note = ["note", "summary"].iter().find_map(|key| output.get(key)?.as_str().map(str::to_owned));
                let note = note.map(|note| crate::core::text::capped(&note, 300));
                let verify_until = self.verify_until(index, now);
                self.record(Event::Succeeded { task, output, note, verify_until }, now)
            }
            Came::Waits { until, why } => self.record(Event::Waits { task, until, why }, now),
            Came::Failed(kind, why) => self.failed(index, kind, why, now),
            // Only what was interrupted is asked for.
            Came::NotDone => {
                let given_up = self.given_up(index, say::not_done_too_often(MOST_REPEATS));
                self.record(given_up.unwrap_or(Event::NotDone { task, by: None, interrupted: true }), now)
            }
            // What an earlier try may have done stays known.
            Came::NotNow if self.status.tasks[index].done.is_some() => {
                let (kind, why, retry_at) = (FailureKind::Transient, say::halted(), Some(now));
                self.record(Event::Failed { task, kind, why, retry_at, output: None }, now)
            }
            Came::NotNow => self.record(Event::NotDone { task, by: None, interrupted: false }, now),
            Came::Repeat => self.repeat(index, now),
            Came::TakenOver => Err(Lost::Lease),
            Came::Doubt(why) => {
                let why = say::in_doubt(&task, &why);
                self.record(Event::Doubted { task, why }, now)
            }
        }
    }
}

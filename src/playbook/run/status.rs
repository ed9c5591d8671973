//! The status: what follows from a run's events, folded by one total transition function.

use serde::{Deserialize, Serialize};

use super::before::HeldBefore;
use super::event::{Ask, CHILD, Event, FailureKind, Head, Part};
use super::grant::{Given, Grant};
use super::task::{Stage, TaskStatus};
use crate::access::{Actor, Standing, Vote};
use crate::core::Timestamp;
use crate::core::message::playbook_undo as say;
use crate::playbook::view::{RunOutcome, RunState};

/// A run, folded from its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What does not change.
    pub head: Head,
    /// Events folded so far.
    pub seq: u64,
    /// When the last of them happened.
    pub at: Timestamp,
    /// Tasks, in the playbook's order.
    pub tasks: Vec<TaskStatus>,
    /// The request that waits now.
    pub ask: Option<Ask>,
    /// Votes for it.
    pub votes: Vec<Vote>,
    /// Approvals given so far.
    pub grants: Vec<Grant>,
    /// Who paused it.
    pub paused: Option<Actor>,
    /// Why the Mayday that drives it can't carry it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Tasks before which the playbook has paused already.
    pub paused_before: Vec<String>,
    /// Who cancelled it.
    pub cancelled: Option<Actor>,
    /// Who rejected it and why; set too when nobody decided in time.
    pub rejected: Option<String>,
    /// Whether nobody decided in time.
    #[serde(default)]
    pub expired: bool,
    /// Whether something has been changed, or may have been.
    pub touched: bool,
    /// How often people have started failed tasks again.
    pub round: u32,
    /// The end.
    pub ended: Option<End>,
    /// Set once the run undoes what it did: the steps that do so (indexes), in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwinding: Option<Vec<usize>>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What it came to.
    pub outcome: RunOutcome,
    /// One sentence.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// An event that can't happen to a run in this state: a damaged journal, or a mistake in Mayday.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{run}: `{event}` can't follow here ({state}); the journal is damaged or was written by another version")]
pub struct Illegal {
    /// Which run.
    pub run: String,
    /// Which event.
    pub event: &'static str,
    /// The state it met.
    pub state: String,
}

/// Folds one event into the status. Total: every pair of event and state either has its successor or is [`Illegal`].
///
/// # Errors
/// [`Illegal`]; the status is unchanged then.
pub fn apply(event: &Event, at: Timestamp, status: Option<Status>) -> Result<Status, Illegal> {
    match (status, event) {
        (None, Event::Proposed { head }) => Ok(Status {
            seq: 1,
            at,
            tasks: head.tasks.iter().map(|_| TaskStatus::new()).collect(),
            ask: None,
            votes: Vec::new(),
            grants: Vec::new(),
            paused: None,
            held: None,
            paused_before: Vec::new(),
            cancelled: None,
            rejected: None,
            expired: false,
            touched: false,
            round: 0,
            ended: None,
            unwinding: None,
            head: (**head).clone(),
        }),
        (None, event) => {
            Err(Illegal { run: "a run".to_owned(), event: event.word(), state: "before its proposal".to_owned() })
        }
        (Some(mut status), event) => {
            status.step(event, at)?;
            Ok(status)
        }
    }
}

impl Status {
    /// Whether a person has started something of it again, or of what it is a part of.
    #[must_use]
    pub fn is_again(&self) -> bool {
        self.round > 0 || self.head.parent.as_ref().is_some_and(|parent| parent.again)
    }

    /// The index of a task.
    #[must_use]
    pub fn index(&self, task: &str) -> Option<usize> {
        self.head.tasks.iter().position(|head| head.id == task)
    }

    /// The index in the playbook of the task that a step carries out.
    #[must_use]
    pub fn declared(&self, index: usize) -> usize {
        self.head.tasks[index].declared.unwrap_or(index)
    }

    /// What a step is in the run.
    #[must_use]
    pub fn part(&self, index: usize) -> Part {
        self.head.tasks[index].part
    }

    /// Whether an effect of this step may be under way, a child run included.
    #[must_use]
    pub fn is_open(&self, index: usize) -> bool {
        let stage = self.tasks[index].stage;
        stage.is_open() || (matches!(stage, Stage::Waits { .. }) && self.head.tasks[index].kind == CHILD)
    }

    /// One task.
    #[must_use]
    pub fn task(&self, task: &str) -> Option<&TaskStatus> {
        self.index(task).map(|index| &self.tasks[index])
    }

    /// The run's state, which follows from the rest.
    #[must_use]
    pub fn state(&self) -> RunState {
        let any = |wanted: fn(Stage) -> bool| self.tasks.iter().any(|task| wanted(task.stage));
        if self.ended.is_some() {
            RunState::Ended
        } else if self.paused.is_some() {
            RunState::Paused
        } else if self.unwinding.is_some() {
            RunState::RollingBack
        } else if self.held.is_some() {
            RunState::Waiting
        } else if self.ask.is_some() {
            if self.touched { RunState::Waiting } else { RunState::Proposed }
        } else if any(|stage| matches!(stage, Stage::Running | Stage::Verifying { .. })) {
            RunState::Running
        } else if any(|stage| matches!(stage, Stage::InDoubt | Stage::Waits { .. })) {
            RunState::Waiting
        } else if self.seq <= 1 {
            RunState::Proposed
        } else {
            RunState::Running
        }
    }

    /// Folds one event into this status: what [`apply`] does, in place.
    ///
    /// # Errors
    /// [`Illegal`]; the status is unchanged then.
    pub fn step(&mut self, event: &Event, at: Timestamp) -> Result<(), Illegal> {
        self.fold(event, at)?;
        if let Event::Succeeded { task, .. } | Event::Failed { task, .. } = event
            && let Some(index) = self.index(task)
        {
            self.tasks[index].came_at = Some(at);
        }
        self.seq += 1;
        self.at = at;
        Ok(())
    }

    fn illegal(&self, event: &Event) -> Illegal {
        let state = match event.task().map(|task| (task, self.task(task))) {
            Some((task, Some(found))) => format!("task {task} is {:?}", found.stage),
            Some((task, None)) => format!("there is no task {task}"),
            None => format!("the run is {:?}", self.state()),
        };
        Illegal { run: self.head.run.to_string(), event: event.word(), state }
    }

    fn fold(&mut self, event: &Event, at: Timestamp) -> Result<(), Illegal> {
        let reopens = match event {
            Event::Retried { .. } => self.failed_undo().is_some(),
            Event::Succeeded { task, .. }
            | Event::NotDone { task, .. }
            | Event::Failed { task, kind: FailureKind::Reported, .. } => self.waits_for_a_word(task),
            Event::Cancelled { reopens, .. } => *reopens && self.may_be_taken_back(),
            _ => false,
        };
        if self.ended.is_some() && !reopens {
            return Err(self.illegal(event));
        }
        if let Some(task) = event.task() {
            let Some(index) = self.index(task) else { return Err(self.illegal(event)) };
            self.fold_task(index, event)?;
            self.ended = None;
            return Ok(());
        }
        match event {
            Event::Asked { ask } if self.ask.is_none() && self.covers_planned(ask) => {
                self.ask = Some((**ask).clone());
                self.votes.clear();
                self.asked_of(ask);
            }
            Event::Allowed { ask, policy, .. } if self.ask.is_none() && self.covers_planned(ask) => {
                self.votes.clear();
                self.asked_of(ask);
                self.ask = Some((**ask).clone());
                self.grant(Given::ByPolicy(policy.clone()));
            }
            Event::Voted { vote } => {
                let Some(ask) = &self.ask else { return Err(self.illegal(event)) };
                self.votes.push(vote.clone());
                if ask.request.standing(&self.votes) == Standing::Complete {
                    self.grant(Given::ByVotes);
                }
            }
            Event::GlassBroken { vote } => {
                let Some(ask) = &self.ask else { return Err(self.illegal(event)) };
                if vote.plan_hash != ask.request.plan_hash {
                    return Err(self.illegal(event));
                }
                self.votes = vec![vote.clone()];
                self.grant(Given::ByBrokenGlass);
            }
            // What was done before stays as it is, and the run ends as stuck: it is the undo that people don't want.
            Event::Rejected { name, reason, .. } if self.unwinding.is_some() && self.ask.is_some() => {
                self.undo_refused(&say::not_wanted(name, reason.as_deref()));
            }
            Event::Expired if self.unwinding.is_some() && self.ask.is_some() => {
                self.undo_refused(&say::nobody_approved());
            }
            Event::Rejected { name, reason, .. } if self.rejected.is_none() => {
                self.rejected = Some(crate::core::message::playbook::end_rejected(name, reason.as_deref()));
                self.ask = None;
            }
            Event::Expired if self.ask.is_some() => {
                self.rejected = Some(crate::core::message::playbook::end_expired());
                self.expired = true;
                self.ask = None;
            }
            Event::Paused { by, before } if self.paused.is_none() => {
                self.paused = Some(by.clone());
                self.paused_before.extend(before.clone());
            }
            Event::Resumed { .. } if self.paused.is_some() => {
                self.paused = None;
                // Its time stood still: who is asked has all of it again.
                if let Some(request) = self.ask.as_mut().map(|ask| &mut ask.request) {
                    let anew = at.checked_add(request.policy.expires_after.0).unwrap_or(at);
                    request.expires = request.expires.max(anew);
                }
            }
            Event::Held { why } if self.held.as_ref() != Some(why) => self.held = Some(why.clone()),
            Event::Released if self.held.is_some() => self.held = None,
            Event::Cancelled { by, reopens } if self.cancelled.is_none() && (self.ended.is_some() || !reopens) => {
                self.cancelled = Some(by.clone());
                self.ended = None;
                self.ask = None;
                self.paused = None;
            }
            Event::Unwinding { undo, .. } if self.unwinding.is_none() => {
                self.unwind(undo).ok_or(self.illegal(event))?;
                // The playbook pauses before a task of its order: none comes any more.
                self.paused.take_if(|by| matches!(by, Actor::Mayday(_)));
            }
            Event::Retried { .. } if self.unwinding.is_some() => {
                let Some(failed) = self.failed_undo() else { return Err(self.illegal(event)) };
                self.round += 1;
                self.ended = None;
                self.tasks[failed] = TaskStatus { round: self.round, ..TaskStatus::new() };
            }
            Event::Retried { measure, .. } if self.tasks.iter().any(|task| task.stage == Stage::Failed) => {
                self.round += 1;
                for index in measure.iter().filter_map(|task| self.index(task)).collect::<Vec<_>>() {
                    if self.tasks[index].stage == Stage::Succeeded {
                        self.again(index);
                    }
                }
                for index in 0..self.tasks.len() {
                    if self.tasks[index].stage == Stage::Failed {
                        self.again(index);
                    }
                }
            }
            Event::Ended { outcome, why } if !self.tasks.iter().any(|task| task.stage == Stage::Running) => {
                self.ended = Some(End { outcome: *outcome, why: why.clone(), at });
                self.ask = None;
            }
            Event::Proposed { .. }
            | Event::Asked { .. }
            | Event::Allowed { .. }
            | Event::Rejected { .. }
            | Event::Expired
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Held { .. }
            | Event::Released
            | Event::Cancelled { .. }
            | Event::Unwinding { .. }
            | Event::Retried { .. }
            | Event::Ended { .. } => return Err(self.illegal(event)),
            // Events about a task have returned above.
            Event::Planned { .. }
            | Event::Moved { .. }
            | Event::Started { .. }
            | Event::Waits { .. }
            | Event::Succeeded { .. }
            | Event::Verified { .. }
            | Event::Spread { .. }
            | Event::Joined { .. }
            | Event::Failed { .. }
            | Event::Skipped { .. }
            | Event::Doubted { .. }
            | Event::NotDone { .. } => return Err(self.illegal(event)),
        }
        Ok(())
    }

    fn covers_planned(&self, ask: &Ask) -> bool {
        !ask.tasks.is_empty()
            && ask.tasks.iter().all(|task| self.task(task).is_some_and(|task| task.stage == Stage::Planned))
    }

    /// What moved since an earlier approval is said with this one.
    fn asked_of(&mut self, ask: &Ask) {
        for task in &ask.tasks {
            if let Some(index) = self.index(task) {
                self.tasks[index].moved.clear();
            }
        }
    }

    /// An undo that people were asked for is not done.
    fn undo_refused(&mut self, why: &str) {
        let Some(ask) = self.ask.take() else { return };
        self.votes.clear();
        for index in ask.tasks.iter().filter_map(|task| self.index(task)).collect::<Vec<_>>() {
            let task = &mut self.tasks[index];
            task.stage = Stage::Failed;
            task.failure = Some(FailureKind::Permanent);
            task.note = Some(why.to_owned());
        }
    }

    /// What was asked is approved.
    fn grant(&mut self, given: Given) {
        let Some(ask) = self.ask.take() else { return };
        let number = self.grants.len();
        for task in &ask.tasks {
            if let Some(index) = self.index(task)
                && self.tasks[index].stage == Stage::Planned
            {
                self.tasks[index].stage = Stage::Approved;
                self.tasks[index].grant = Some(number);
            }
        }
        let votes = std::mem::take(&mut self.votes);
        self.grants.push(Grant { request: ask.request, tasks: ask.tasks, frontier: ask.frontier, votes, given });
    }

    fn fold_task(&mut self, index: usize, event: &Event) -> Result<(), Illegal> {
        let changes = self.head.tasks[index].changes;
        let stage = self.tasks[index].stage;
        if matches!(self.part(index), Part::Template { .. }) {
            return Err(self.illegal(event));
        }
        let undoes = self.undoes(index);
        let undo = undoes.as_ref().map(|(of, _)| *of);
        // What only undoes something moves while the run unwinds, and nothing else but what has begun before.
        let starts = matches!(
            event,
            Event::Planned { .. } | Event::Started { .. } | Event::Skipped { .. } | Event::Spread { .. }
        ) || matches!(event, Event::Moved { .. }) && undo.is_some();
        if starts && undo.is_some() != self.unwinding.is_some() && stage != Stage::Running {
            return Err(self.illegal(event));
        }
        // A task with items does nothing itself.
        let each = self.part(index) == Part::Each;
        let (seq, grant) = (self.seq, undoes.and_then(|(_, done)| done.grant));
        let task = &mut self.tasks[index];
        match (stage, event) {
            (Stage::Pending, Event::Spread { items, .. }) if each => self.spread(index, items),
            (Stage::Spread, Event::Joined { output, failed, note, .. }) => {
                task.output = Some(output.clone());
                task.note = Some(note.clone());
                task.failure = (*failed > 0).then_some(FailureKind::Permanent);
                task.stage = if *failed > 0 { Stage::Failed } else { Stage::Succeeded };
            }
            (_, Event::Planned { .. } | Event::Started { .. }) if each => return Err(self.illegal(event)),
            // The right to undo a change is the one by which it was made.
            (Stage::Pending | Stage::Approved | Stage::Again { .. }, Event::Planned { plan, .. })
                if changes && undo.is_some() =>
            {
                task.plan = Some((**plan).clone());
                task.grant = grant;
                task.stage = Stage::Approved;
            }
            (Stage::Pending, Event::Planned { plan, .. }) if changes => {
                task.plan = Some((**plan).clone());
                task.stage = Stage::Planned;
            }
            // An undo that is not what was approved with its change is asked for, whatever it was tried before.
            (Stage::Approved | Stage::Again { .. }, Event::Moved { plan, difference, .. })
            | (Stage::Pending, Event::Moved { plan, difference, .. })
                if stage != Stage::Pending || changes && undo.is_some() =>
            {
                // A try before it may have done what was planned then.
                task.keep();
                task.repeats = 0;
                task.plan = Some((**plan).clone());
                task.grant = None;
                task.stage = Stage::Planned;
                let name = &self.head.tasks[index].name;
                task.moved.extend(difference.iter().map(|line| format!("{name}: {line}")));
            }
            (Stage::Pending, Event::Started { .. }) if changes => return Err(self.illegal(event)),
            (
                Stage::Pending | Stage::Approved | Stage::Again { .. },
                Event::Started { intent, version, before, held_before, .. },
            ) => {
                // A try before it may have changed what is measured.
                if task.done.is_none() {
                    task.before.clone_from(before);
                }
                if !task.did() && (changes || self.head.tasks[index].kind == CHILD) {
                    task.held_before = Some(HeldBefore { seq, held: held_before.clone() });
                }
                task.attempt = intent.attempt;
                task.intent = Some(intent.clone());
                task.version = *version;
                task.started = Some(seq);
                // What was interrupted and did not happen is the same try.
                if matches!(stage, Stage::Again { .. }) {
                    task.repeats = 0;
                }
                task.stage = Stage::Running;
                task.note = None;
                // What a child run does is not known here.
                self.touched |= changes || self.head.tasks[index].kind == CHILD;
            }
            // Done again after a crash, since that is safe: the same effect under the same key.
            (Stage::Running, Event::Started { intent, .. })
                if task.intent.as_ref().is_some_and(|before| before.idempotency_key == intent.idempotency_key) =>
            {
                task.attempt = intent.attempt;
                task.intent = Some(intent.clone());
                task.started = Some(seq);
                task.repeats += 1;
                // Asking for a child run again is no doing: what that one did is known by its end.
                if self.head.tasks[index].kind != CHILD {
                    task.done = task.done.or(Some(seq));
                }
            }
            (Stage::Running | Stage::Waits { .. }, Event::Waits { until, why, .. }) => {
                task.stage = Stage::Waits { until: *until };
                task.note = Some(why.clone());
            }
            (
                Stage::Running | Stage::Waits { .. } | Stage::InDoubt,
                Event::Succeeded { output, note, verify_until, .. },
            ) => {
                task.output = Some(output.clone());
                task.failure = None;
                task.done = Some(seq);
                task.note.clone_from(note);
                task.stage = match verify_until {
                    Some(until) => Stage::Verifying { until: *until },
                    None => Stage::Succeeded,
                };
                if matches!(self.head.tasks[index].kind.as_str(), "Verify") {
                    task.verified = Some(true);
                }
                match (undo, output["stays"].as_array()) {
                    (Some(_), Some(left)) if self.head.tasks[index].kind == CHILD => self.child_left(index, left),
                    (Some(of), _) => self.undone(of),
                    (None, _) => {}
                }
            }
            (Stage::Verifying { .. }, Event::Verified { holds, worse, note, .. }) => {
                task.verified = Some(*holds);
                task.note = Some(note.clone());
                task.stage = if *holds { Stage::Succeeded } else { Stage::Failed };
                let failure = if *worse { FailureKind::MadeWorse } else { FailureKind::NotVerified };
                task.failure = (!holds).then_some(failure);
            }
            (
                Stage::Pending
                | Stage::Approved
                | Stage::Running
                | Stage::Waits { .. }
                | Stage::Again { .. }
                | Stage::Planned,
                Event::Failed { kind, why, retry_at, output, .. },
            )
            | (Stage::InDoubt, Event::Failed { kind: kind @ FailureKind::Reported, why, retry_at, output, .. }) => {
                // What failed before it started was a try as well: it must end some time.
                let started = matches!(stage, Stage::Running | Stage::Waits { .. } | Stage::InDoubt);
                task.attempt += u32::from(!started);
                task.note = Some(why.clone());
                task.failure = Some(*kind);
                if output.is_some() {
                    task.output.clone_from(output);
                }
                if kind.is_unverified() {
                    task.verified = Some(false);
                }
                // Nobody waited to the end: it may have happened. What a failed child run changed may stand.
                let stands =
                    output.as_ref().is_some_and(|output| output["stays"].as_array().is_some_and(|it| !it.is_empty()));
                if matches!(kind, FailureKind::Timeout | FailureKind::Reported) || stands {
                    task.done = task.done.or(Some(seq));
                }
                task.stage = match retry_at {
                    Some(at) => Stage::Again { at: *at },
                    None => Stage::Failed,
                };
                if let Some(left) = output.as_ref().and_then(|output| output["stays"].as_array()).filter(|_| stands) {
                    self.child_left(index, left);
                }
            }
            // A try that nobody waited for has done it: what it was needed for is over.
            (Stage::Approved | Stage::Again { .. }, Event::Succeeded { note, verify_until, .. })
                if task.done.is_some() =>
            {
                task.note.clone_from(note);
                task.failure = None;
                task.stage = verify_until.map_or(Stage::Succeeded, |until| Stage::Verifying { until });
                if let Some(of) = undo {
                    self.undone(of);
                }
            }
            // An approved one too: what it was needed for may be over before it starts.
            (Stage::Pending | Stage::Approved | Stage::Again { .. }, Event::Skipped { why, .. })
                if task.done.is_none() =>
            {
                task.note = Some(why.clone());
                task.stage = Stage::Skipped;
            }
            (Stage::Running, Event::Doubted { why, .. }) => {
                task.note = Some(why.clone());
                task.stage = Stage::InDoubt;
            }
            // It starts again under the same approval, if the guards still hold then.
            (Stage::Running | Stage::InDoubt, Event::NotDone { by, interrupted, .. }) => {
                // Whoever says that it did not happen has it begun anew.
                task.repeats = if by.is_some() { 0 } else { task.repeats + u32::from(*interrupted) };
                task.note = None;
                task.done = None;
                task.attempt = task.attempt.saturating_sub(1);
                task.stage = if changes { Stage::Approved } else { Stage::Pending };
            }
            _ => return Err(self.illegal(event)),
        }
        // Nobody is asked any more for an undo that has failed meanwhile: the run's time was over while it was paused.
        if undo.is_some() && stage == Stage::Planned && self.tasks[index].stage == Stage::Failed {
            self.ask = None;
            self.votes.clear();
        }
        Ok(())
    }
}

//! One task of a run: where it stands, and what it has done so far.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::before::HeldBefore;
use super::event::{FailureKind, Part};
use super::plan::TaskPlan;
use super::status::Status;
use crate::core::Timestamp;
use crate::playbook::action::Intent;
use crate::playbook::view::RunOutcome;

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Where it stands.
    pub stage: Stage,
    /// Tries so far in this round.
    pub attempt: u32,
    /// The plan, for a change.
    pub plan: Option<TaskPlan>,
    /// Which grant covers the plan.
    pub grant: Option<usize>,
    /// What was started last.
    pub intent: Option<Intent>,
    /// The action's version at that start.
    pub version: u32,
    /// What it gave.
    pub output: Option<Value>,
    /// In a few words: outcome, error, or what it waits for.
    pub note: Option<String>,
    /// How it failed.
    pub failure: Option<FailureKind>,
    /// Whether something that must hold afterwards does.
    pub verified: Option<bool>,
    /// When it gave its output, or failed: how old that reading is.
    #[serde(default)]
    pub came_at: Option<Timestamp>,
    /// The number of the event by which it has happened, or may have: what is undone first was done last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// What it did, or may have done, before it was begun anew: that may have to be undone as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Done>,
    /// The number of the event by which it was started last: what it measures is younger than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// What measures the change, by name, as it was right before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Whether what verifies the change held before it was first made, or may have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_before: Option<HeldBefore>,
    /// What is different since its plan was approved, until people are asked again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<String>,
    /// Which of the run's rounds it is in: how often people had started failed tasks again when it was begun anew.
    #[serde(default)]
    pub round: u32,
    /// How often the try that was started last was interrupted, and started again or found not to have happened.
    #[serde(default)]
    pub repeats: u32,
    /// The item it is for, in a step of a `for_each`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Value>,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Stage {
    /// Not started.
    Pending,
    /// Planned; needs approval.
    Planned,
    /// Approved; not started.
    Approved,
    /// An intent without an outcome.
    Running,
    /// Waits for something that comes later, under the same intent.
    Waits {
        /// Looked at again then.
        until: Timestamp,
    },
    /// Failed; tried again.
    Again {
        /// Then.
        at: Timestamp,
    },
    /// Done; what must hold afterwards is being looked at.
    Verifying {
        /// Until then.
        until: Timestamp,
    },
    /// Not known whether it happened; a person must say.
    InDoubt,
    /// Its items are known; their steps do the work.
    Spread,
    /// Done.
    Succeeded,
    /// Failed for good.
    Failed,
    /// Its condition said no.
    Skipped,
    /// Done, and undone since.
    RolledBack,
}

impl Stage {
    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::RolledBack)
    }
    /// Whether an effect may be under way.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::InDoubt | Self::Verifying { .. })
    }
}

/// Something that a task did, or may have done: all that its undoing needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The number of the event by which it has happened, or may have.
    pub seq: u64,
    /// What was started.
    pub intent: Option<Intent>,
    /// The action's version at that start.
    pub version: u32,
    /// What it gave; nothing where nobody heard its answer.
    pub output: Option<Value>,
    /// The plan by which it was done.
    pub plan: Option<TaskPlan>,
    /// Which grant covers that plan.
    pub grant: Option<usize>,
}

impl TaskStatus {
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Pending,
            attempt: 0,
            plan: None,
            grant: None,
            intent: None,
            version: 0,
            output: None,
            note: None,
            failure: None,
            verified: None,
            came_at: None,
            done: None,
            earlier: Vec::new(),
            started: None,
            before: None,
            held_before: None,
            moved: Vec::new(),
            round: 0,
            repeats: 0,
            item: None,
        }
    }

    /// Whether it did something, or may have: what it does now, or did before it was begun anew.
    #[must_use]
    pub const fn did(&self) -> bool {
        self.done.is_some() || !self.earlier.is_empty()
    }

    /// The number of the event by which it last did something.
    #[must_use]
    pub fn last_done(&self) -> Option<u64> {
        self.done.or_else(|| self.earlier.last().map(|done| done.seq))
    }

    /// The times it did something, the last one first, each by its place among the earlier ones.
    pub(super) fn times(&self) -> impl Iterator<Item = (u64, Option<usize>)> + '_ {
        let now = self.done.map(|seq| (seq, None));
        now.into_iter().chain(self.earlier.iter().enumerate().rev().map(|(place, done)| (done.seq, Some(place))))
    }

    /// What it did at one of these times.
    fn time(&self, earlier: Option<usize>) -> Option<Done> {
        match earlier {
            Some(place) => self.earlier.get(place).cloned(),
            None => Some(Done {
                seq: self.done.unwrap_or_default(),
                intent: self.intent.clone(),
                version: self.version,
                output: self.output.clone(),
                plan: self.plan.clone(),
                grant: self.grant,
            }),
        }
    }

    /// It is begun anew, by another plan or another right: what it did so far stands for itself.
    pub(super) fn keep(&mut self) {
        if self.done.is_some() {
            self.earlier.extend(self.time(None));
            self.done = None;
        }
    }
}

impl Status {
    /// What a step undoes: whose doing, and which of the times it was done.
    #[must_use]
    pub fn undoes(&self, step: usize) -> Option<(usize, Done)> {
        let Part::Undo { of, earlier, .. } = self.part(step) else { return None };
        Some((of, self.tasks[of].time(earlier)?))
    }

    /// Whether a run that ended as stuck did so because nobody said whether this task happened: their word opens it again.
    #[must_use]
    pub fn waits_for_a_word(&self, task: &str) -> bool {
        let stuck = self.ended.as_ref().is_some_and(|end| end.outcome == RunOutcome::Stuck);
        stuck && self.task(task).is_some_and(|task| task.stage == Stage::InDoubt)
    }
}

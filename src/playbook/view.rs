//! What other rooms see of runs, and what they may ask of the engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::action::Planned;
use crate::access::{Actor, Person, PersonId};
use crate::alert::Alert;
use crate::core::{BoxFuture, IncidentId, RunId, Tainted, Timestamp};

/// A run's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words are the design's")]
pub enum RunState {
    Proposed,
    Waiting,
    Running,
    Paused,
    RollingBack,
    Ended,
}

/// What an ended run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words are the design's")]
pub enum RunOutcome {
    Fixed,
    NoEffect,
    MadeWorse,
    Failed,
    Rejected,
    Expired,
    Cancelled,
    Stuck,
}

impl RunOutcome {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::NoEffect => "no_effect",
            Self::MadeWorse => "made_worse",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Stuck => "stuck",
        }
    }
}

/// A task's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words are the design's")]
pub enum TaskState {
    Pending,
    Waiting,
    Running,
    Succeeded,
    Failed,
    Skipped,
    InDoubt,
    RolledBack,
}

/// A run as others see it; `/api/v1/runs` shows this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// `RUN-3`.
    pub run: RunId,
    /// The playbook's id.
    pub playbook: String,
    /// Its name for people.
    pub playbook_name: String,
    /// Its version (the playbook's `version`, and the digest of its text).
    pub version: String,
    /// For which incident.
    pub incident: Option<IncidentId>,
    /// Who asked for it.
    pub by: Actor,
    /// What the alert is called that it was proposed for.
    #[serde(default)]
    pub alert_name: Option<Tainted>,
    /// The run that it is a part of.
    #[serde(default)]
    pub part_of: Option<RunId>,
    /// State.
    pub state: RunState,
    /// Outcome once ended.
    pub outcome: Option<RunOutcome>,
    /// One sentence on why it is in this state (who rejected it, what failed, what it waits for).
    pub why: Option<String>,
    /// Started, proposed.
    pub proposed_at: Timestamp,
    /// Ended.
    pub ended_at: Option<Timestamp>,
    /// The run's parameters.
    pub parameters: BTreeMap<String, Value>,
    /// Tasks in the playbook's order.
    pub tasks: Vec<TaskView>,
    /// What waits for approval now.
    pub approval: Option<ApprovalView>,
    /// The standing policies that its changes were allowed by, in their order.
    #[serde(default)]
    pub allowed_by: Vec<String>,
    /// Who has approved so far, in the order they did.
    #[serde(default)]
    pub approved_by: Vec<PersonId>,
    /// Number of journal events so far: grows with every change.
    pub journal: u64,
    /// Names of the tasks that would be undone if the run failed or were cancelled now, the newest first.
    #[serde(default)]
    pub undoes: Vec<String>,
}

impl RunView {
    /// Whether it ended as stuck because an undo failed: a person may let it try again.
    #[must_use]
    pub fn undo_failed(&self) -> bool {
        let failed = self.tasks.iter().any(|task| task.undo && task.state == TaskState::Failed);
        self.outcome == Some(RunOutcome::Stuck) && failed
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// Id in the playbook.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Task type.
    pub kind: String,
    /// State.
    pub state: TaskState,
    /// Outcome or error in a few words.
    pub note: Option<String>,
    /// Stored output (redacted, capped).
    pub output: Option<Value>,
    /// Whether it undoes another.
    #[serde(default)]
    pub undo: bool,
}

/// The approval a run waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalView {
    /// Digest of what would be approved; a decision names it.
    pub plan_hash: String,
    /// What would change: task name and its plan.
    pub frontier: Vec<(String, Planned)>,
    /// How many people must approve.
    pub needed: u32,
    /// Who has approved so far.
    pub approved_by: Vec<PersonId>,
    /// Names or teams that may approve; empty: anyone whose role may.
    pub approvers: Vec<String>,
    /// The request is void after this.
    pub expires: Timestamp,
    /// What is different from what was approved before, when it is asked again.
    pub difference: Vec<String>,
    /// What verifies it afterwards, in words.
    pub verified_by: Option<String>,
}

/// A request to propose a run.
#[derive(Debug, Clone)]
pub struct ProposeRequest {
    /// Which playbook.
    pub playbook: String,
    /// Its parameters, as typed or from the trigger.
    pub parameters: BTreeMap<String, Value>,
    /// For which incident.
    pub incident: Option<IncidentId>,
    /// The alert that triggered it; templates see it as `alert`, data only.
    pub alert: Option<Alert>,
    /// Who.
    pub by: Actor,
    /// Asking twice with the same key proposes once (`INC-7/PB-Disk-Cleanup/<alert_id>`).
    pub key: String,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposed {
    /// A new run.
    New(RunId),
    /// That key was used before: the run it made.
    Already(RunId),
}

/// What became of a decision or an order; each is a sentence a person reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decided {
    /// It took effect.
    Done(String),
    /// It changed nothing (second click, wrong state), and why.
    Nothing(String),
    /// This person may not, and why.
    Refused(String),
}

/// What a person says about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
pub enum Order {
    /// Approve exactly this plan. Without a hash (typed by hand): the one that waits now.
    Approve {
        /// Digest of the plan the person saw.
        plan_hash: Option<String>,
        /// Why, for the audit.
        reason: Option<String>,
    },
    /// Approve it alone, past whom the policy asks for: an admin's own responsibility, told to everyone.
    BreakGlass {
        /// Digest of the plan the person saw.
        plan_hash: Option<String>,
        /// Why; it must be given.
        reason: String,
    },
    /// Reject it.
    Reject {
        /// Why, for the audit.
        reason: Option<String>,
    },
    /// Start no further task until resumed.
    Pause,
    /// Go on.
    Resume,
    /// End it; what runs now is finished first.
    Cancel,
    /// Start the failed tasks again; on a run that is stuck because an undo failed, that undo.
    Retry,
    /// Answer to an `Ask_Human` task, or to "did it happen?" of a task in doubt.
    Answer {
        /// Which task.
        task: String,
        /// What the person says; `done`, `not_done`, `failed` for a task in doubt.
        answer: String,
    },
}

/// The engine as other rooms see it.
pub trait Runs: Send + Sync + 'static {
    /// Proposes a run: read tasks start at once, changes wait for their right.
    fn propose(&self, request: ProposeRequest) -> BoxFuture<'_, Result<Proposed, super::Error>>;
    /// Carries out what a person says about a run; the decision is durable and audited when this returns.
    fn order<'a>(
        &'a self,
        run: RunId,
        order: Order,
        person: &'a Person,
    ) -> BoxFuture<'a, Result<Decided, super::Error>>;
    /// Takes a proposal back because there is no reason for it any more: Mayday's own order. A run that has changed
    /// something, or may have, goes on; it is for people to end.
    fn withdraw(&self, run: RunId, why: String) -> BoxFuture<'_, Result<Decided, super::Error>>;
    /// One run.
    fn get(&self, run: RunId) -> BoxFuture<'_, Result<Option<RunView>, super::Error>>;
    /// Runs, newest first, older than `before`.
    fn list(&self, before: Option<RunId>, limit: usize) -> BoxFuture<'_, Result<Vec<RunView>, super::Error>>;
}

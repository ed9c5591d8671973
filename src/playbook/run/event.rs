//! What happens to a run, one record of its journal each. Written once, never changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{Frontier, TaskPlan};
use crate::access::{Actor, PersonId, Request, StandingPolicy, Vote};
use crate::core::{IncidentId, RunId, Timestamp};
use crate::playbook::action::Intent;
use crate::playbook::book::Book;
use crate::playbook::model::{Playbook, Risk, Task, Undo};
use crate::playbook::tasks;
use crate::playbook::view::RunOutcome;

/// What does not change in the life of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// `RUN-3`.
    pub run: RunId,
    /// The playbook's id.
    pub playbook: String,
    /// Its name for people.
    pub playbook_name: String,
    /// The version people see.
    pub version: String,
    /// SHA-256 of the playbook's text, which is stored under it.
    pub digest: String,
    /// For which incident.
    pub incident: Option<IncidentId>,
    /// Who asked for it.
    pub by: Actor,
    /// The run's parameters.
    pub parameters: BTreeMap<String, Value>,
    /// The alert that triggered it, as conditions and texts see it.
    pub alert: Option<Value>,
    /// When it was proposed.
    pub at: Timestamp,
    /// The run ends as failed when it is not done by then.
    pub deadline: Timestamp,
    /// Its tasks, in the playbook's order.
    pub tasks: Vec<TaskHead>,
    /// The versions of the actions that it was started with. What had no executor then is not among them: such a task fails.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub actions: BTreeMap<String, u32>,
    /// The run and task that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The playbooks above it, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub line: Vec<String>,
    /// Lock of its concurrency key, if it holds one (a store key's last part).
    pub lock: Option<String>,
    /// Under what cooldown and quota count it, if its playbook has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent: Option<String>,
}

impl Head {
    /// Of a run that nobody has proposed, to try out what would follow: `for_what` stands in the proposer's place.
    #[must_use]
    pub fn imagined(
        book: &Book,
        for_what: &str,
        parameters: BTreeMap<String, Value>,
        alert: Option<Value>,
        now: Timestamp,
    ) -> Self {
        Self {
            run: RunId::new(1),
            playbook: book.playbook.playbook_id.clone(),
            playbook_name: book.playbook.name.clone(),
            version: book.version(),
            digest: book.digest.clone(),
            incident: None,
            by: Actor::Mayday(for_what.to_owned()),
            parameters,
            alert,
            at: now,
            deadline: now,
            tasks: TaskHead::of(&book.playbook),
            actions: BTreeMap::new(),
            parent: None,
            line: Vec::new(),
            lock: None,
            recent: None,
        }
    }
}

/// An action that a run was started with and that this process doesn't have, or not in a version that can go on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The task type.
    pub kind: String,
    /// The version at the run's start.
    pub version: u32,
    /// The one that is here.
    pub here: Option<u32>,
}

/// The task type whose task is a run of its own.
pub const CHILD: &str = "Sub_Playbook";

/// Where a run belongs that is part of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Which run.
    pub run: RunId,
    /// Which of its tasks.
    pub task: String,
    /// Whether a person had started something of it again by then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

/// A task as the journal knows it: enough to read a run without its playbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskHead {
    /// Id in the playbook.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Task type.
    pub kind: String,
    /// Whether it changes something.
    pub changes: bool,
    /// What it is among the run's steps.
    #[serde(default, skip_serializing_if = "Part::is_forward")]
    pub part: Part,
    /// Its index in the playbook, where that is not its index in the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<usize>,
}

/// What a step is in a run. Besides the playbook's tasks a run has steps that came up on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Part {
    /// A task of the playbook's order.
    #[default]
    Forward,
    /// A task of the order that is done once for each item; its items' steps do the work.
    Each,
    /// One item of such a task.
    Item {
        /// The task's index.
        of: usize,
        /// Which item, from 0.
        number: usize,
    },
    /// Says how the items of a task are undone; never runs itself.
    Template {
        /// The task's index.
        of: usize,
    },
    /// Undoes another step (`of`: its index), and only runs when the run unwinds.
    Undo {
        /// What it undoes.
        of: usize,
        /// By the action's own inverse; otherwise it is a task of the playbook.
        inverse: bool,
        /// Which of the times it was done, by its place among the earlier ones; none is the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        earlier: Option<usize>,
    },
}

impl Part {
    /// Whether it is a task of the playbook's order.
    #[must_use]
    pub const fn is_forward(&self) -> bool {
        matches!(self, Self::Forward)
    }
    /// Whether it undoes something, and has no place in the order.
    #[must_use]
    pub const fn is_undo(&self) -> bool {
        matches!(self, Self::Undo { .. } | Self::Template { .. })
    }
}

impl TaskHead {
    /// The tasks of a playbook.
    #[must_use]
    pub fn of(playbook: &Playbook) -> Vec<Self> {
        let undoes = |task: &Task| {
            let of = playbook.tasks.iter().position(|other| other.undone_by() == Some(Undo::Task(&task.id)));
            match of {
                Some(of) if playbook.tasks[of].for_each.is_some() => Part::Template { of },
                Some(of) => Part::Undo { of, inverse: false, earlier: None },
                None if task.for_each.is_some() => Part::Each,
                None => Part::Forward,
            }
        };
        let head = |task: &Task| Self {
            id: task.id.clone(),
            name: if task.name.is_empty() { task.id.clone() } else { task.name.clone() },
            kind: task.kind.clone(),
            changes: tasks::risk(task) > Risk::Read,
            part: undoes(task),
            declared: None,
        };
        playbook.tasks.iter().map(head).collect()
    }
}

/// A request for approval of the changes that can be made now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Whose approval of which plan until when.
    pub request: Request,
    /// The tasks it covers.
    pub tasks: Vec<String>,
    /// Exactly what an approval covers.
    pub frontier: Frontier,
    /// What is different from what was approved before.
    pub difference: Vec<String>,
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It did not happen; another try may help.
    Transient,
    /// It did not happen and will not.
    Permanent,
    /// It took too long, or broke off on its way: it may have happened, and repeating is safe.
    Timeout,
    /// This installation can't do it.
    NotAvailable,
    /// A condition could not be evaluated, or a text not filled in.
    Broken,
    /// What should hold afterwards does not.
    NotVerified,
    /// What should hold afterwards does not, and it is measurably worse than before.
    MadeWorse,
    /// A person says that it went wrong: it may have changed something.
    Reported,
}

impl FailureKind {
    /// Whether it was done, and what must hold afterwards does not.
    #[must_use]
    pub const fn is_unverified(self) -> bool {
        matches!(self, Self::NotVerified | Self::MadeWorse)
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The run exists.
    Proposed {
        /// What it is.
        head: Box<Head>,
    },
    /// A change was worked out against the live system.
    Planned {
        /// Which task.
        task: String,
        /// What it would do.
        plan: Box<TaskPlan>,
    },
    /// The live system moved since the approval: the plan is another one and must be approved anew. So must that of a task
    /// which is to undo a change, and is not what was approved together with the change.
    Moved {
        /// Which task.
        task: String,
        /// What it would do now.
        plan: Box<TaskPlan>,
        /// What is different.
        difference: Vec<String>,
    },
    /// People are asked.
    Asked {
        /// What.
        ask: Box<Ask>,
    },
    /// Nobody is asked: people allowed this class of change in advance.
    Allowed {
        /// What would have been asked.
        ask: Box<Ask>,
        /// The policy, as it was then.
        policy: StandingPolicy,
        /// How many changes it has allowed in the 24 hours before, these included.
        used: u32,
    },
    /// A person approved.
    Voted {
        /// Their vote.
        vote: Vote,
    },
    /// An admin approved on their own responsibility, past whom the policy asks for; the vote says why.
    GlassBroken {
        /// Their vote.
        vote: Vote,
    },
    /// A person rejected the run.
    Rejected {
        /// Who.
        by: PersonId,
        /// Their name.
        name: String,
        /// Why, in their words.
        reason: Option<String>,
    },
    /// Nobody decided in time.
    Expired,
    /// An effect will start now. Durable before it does.
    Started {
        /// Which task.
        task: String,
        /// What exactly.
        intent: Intent,
        /// The action's version.
        version: u32,
        /// What measures a change, by name, as it was right before; only what was read anew for that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Value>,
        /// Whether what verifies a change held right before it, by the id of what verifies it; what is not known is missing.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        held_before: BTreeMap<String, bool>,
    },
    /// The effect waits for something that comes later.
    Waits {
        /// Which task.
        task: String,
        /// Looked at again at the latest then.
        until: Timestamp,
        /// What for.
        why: String,
    },
    /// The effect is done.
    Succeeded {
        /// Which task.
        task: String,
        /// What it gave, redacted and capped.
        output: Value,
        /// In a few words.
        note: Option<String>,
        /// Set when something must hold afterwards: until when.
        verify_until: Option<Timestamp>,
    },
    /// What must hold after a task does, or does not in time.
    Verified {
        /// Which task.
        task: String,
        /// Whether it holds.
        holds: bool,
        /// Whether it is measurably worse than before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        worse: bool,
        /// In words.
        note: String,
    },
    /// The list of a `for_each` task is known: a step for each item.
    Spread {
        /// Which task.
        task: String,
        /// The items.
        items: Vec<Value>,
    },
    /// All items of a task are over.
    Joined {
        /// Which task.
        task: String,
        /// What they gave, in their order; null where there is nothing.
        output: Value,
        /// How many failed: with any, the task has.
        failed: usize,
        /// In words.
        note: String,
    },
    /// It did not work.
    Failed {
        /// Which task.
        task: String,
        /// Which kind.
        kind: FailureKind,
        /// Why.
        why: String,
        /// Tried again then.
        retry_at: Option<Timestamp>,
        /// What it gave all the same: a child run's outcome.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
    },
    /// Its condition says no.
    Skipped {
        /// Which task.
        task: String,
        /// Which condition.
        why: String,
    },
    /// It is not known whether the effect happened; a person must say.
    Doubted {
        /// Which task.
        task: String,
        /// Why it is not known.
        why: String,
    },
    /// It is known now that the effect did not happen: it may start again.
    NotDone {
        /// Which task.
        task: String,
        /// Who said so; none if the target did.
        by: Option<PersonId>,
        /// Whether it had been started, and Mayday was interrupted before it heard an answer.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        interrupted: bool,
    },
    /// No further task starts.
    Paused {
        /// Who.
        by: Actor,
        /// The task before which the playbook pauses.
        before: Option<String>,
    },
    /// Tasks may start again.
    Resumed {
        /// Who.
        by: Actor,
    },
    /// The Mayday that drives it now can't carry it on: nothing starts until one that can does.
    Held {
        /// What is missing, and what to do.
        why: String,
    },
    /// What was missing is here.
    Released,
    /// The run ends once what runs now is done.
    Cancelled {
        /// Who.
        by: Actor,
        /// It had ended well, and goes on to take back what it did: the run that it is a part of does.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reopens: bool,
    },
    /// What was done is undone, in this order. No task of the playbook's order starts any more.
    Unwinding {
        /// Ids of the tasks to undo, the newest first.
        undo: Vec<String>,
        /// Why, in words.
        why: String,
    },
    /// Failed tasks start again; after a failed rollback, that rollback.
    Retried {
        /// Who.
        by: Actor,
        /// Measurements after them that are done: they would tell of the time before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        measure: Vec<String>,
    },
    /// The run is over.
    Ended {
        /// What it came to.
        outcome: RunOutcome,
        /// One sentence.
        why: String,
    },
}

impl Event {
    /// Its word in the journal.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Proposed { .. } => "proposed",
            Self::Planned { .. } => "planned",
            Self::Moved { .. } => "moved",
            Self::Asked { .. } => "asked",
            Self::Allowed { .. } => "allowed",
            Self::Voted { .. } => "voted",
            Self::GlassBroken { .. } => "glass_broken",
            Self::Rejected { .. } => "rejected",
            Self::Expired => "expired",
            Self::Started { .. } => "started",
            Self::Waits { .. } => "waits",
            Self::Succeeded { .. } => "succeeded",
            Self::Verified { .. } => "verified",
            Self::Spread { .. } => "spread",
            Self::Joined { .. } => "joined",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Doubted { .. } => "doubted",
            Self::NotDone { .. } => "not_done",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::Held { .. } => "held",
            Self::Released => "released",
            Self::Cancelled { .. } => "cancelled",
            Self::Unwinding { .. } => "unwinding",
            Self::Retried { .. } => "retried",
            Self::Ended { .. } => "ended",
        }
    }

    /// The task it is about.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        match self {
            Self::Planned { task, .. }
            | Self::Moved { task, .. }
            | Self::Started { task, .. }
            | Self::Waits { task, .. }
            | Self::Succeeded { task, .. }
            | Self::Verified { task, .. }
            | Self::Spread { task, .. }
            | Self::Joined { task, .. }
            | Self::Failed { task, .. }
            | Self::Skipped { task, .. }
            | Self::Doubted { task, .. }
            | Self::NotDone { task, .. } => Some(task),
            Self::Proposed { .. }
            | Self::Asked { .. }
            | Self::Voted { .. }
            | Self::Allowed { .. }
            | Self::GlassBroken { .. }
            | Self::Rejected { .. }
            | Self::Expired
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::Held { .. }
            | Self::Released
            | Self::Cancelled { .. }
            | Self::Unwinding { .. }
            | Self::Retried { .. }
            | Self::Ended { .. } => None,
        }
    }
}

//! What the engine asks of an action; `action/` implements it, one file per kind.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Actor;
use crate::core::{BoxFuture, IncidentId, RunId, Timestamp};

/// What is known about the run a task belongs to. Data to read, no handle to do anything with.
#[derive(Debug, Clone)]
pub struct Context {
    /// The run.
    pub run: RunId,
    /// The task's id in the playbook (with `[i]` for an item of `for_each`; `undo:` before it when the action undoes it).
    pub task: String,
    /// The task's name for people.
    pub task_name: String,
    /// The incident it is for.
    pub incident: Option<IncidentId>,
    /// Who asked for the run.
    pub by: Actor,
    /// Now.
    pub now: Timestamp,
}

/// What a task would do, worked out against the live system without changing it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The object's identity, in words that stay the same while it is the same object: `order-service`, `service cart`.
    pub object: String,
    /// Guard fields and parameters: name, before → after. These are hashed into the approval and checked again before the effect.
    pub changes: Vec<Change>,
    /// The absolute target, with all that `perform` and `probe` need; stored in the intent. Never relative.
    pub target: Value,
    /// Blast radius in words: `restarts 1 process, ≈ 3 s without answers`.
    pub radius: String,
    /// How it is undone, in words; none if it can't be.
    pub undo: Option<String>,
    /// Lines that help the reader decide (what would be removed, for instance), at most 20; not hashed. A line in
    /// parentheses, `(up 2 min)`, belongs to how the first change's field is now.
    pub details: Vec<String>,
}

impl Planned {
    /// The service it changes, as the catalogue calls it; none if it is no service's. An action that changes one says so in
    /// its target.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.target.get("service").and_then(Value::as_str)
    }

    /// The plan as people see and approve it: nothing in its texts moves, hides or forges what stands around it, whatever a
    /// file or an object is called.
    #[must_use]
    pub fn for_people(mut self) -> Self {
        let change =
            self.changes.iter_mut().flat_map(|change| [&mut change.field, &mut change.before, &mut change.after]);
        let texts = change.chain([&mut self.object, &mut self.radius]).chain(&mut self.undo).chain(&mut self.details);
        for text in texts {
            *text = crate::core::redact::escaped(text);
        }
        self
    }
}

/// One field that changes or guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which field: `pid`, `files`, `replicas`.
    pub field: String,
    /// As it is.
    pub before: String,
    /// As it will be.
    pub after: String,
}

/// The record that an effect will start. Written before it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Unique for this run, task and attempt-independent: the same after a crash. Targets that can, are told it.
    pub idempotency_key: String,
    /// The absolute target from the plan (for read tasks, the rendered parameters).
    pub target: Value,
    /// After this moment nobody may still be performing it.
    pub deadline: Timestamp,
    /// Which try, from 1.
    pub attempt: u32,
}

/// How an intent without an outcome is settled after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settle {
    /// Do it again: it is idempotent.
    Repeat,
    /// Ask the target what happened, after the deadline.
    Probe,
    /// Ask a person.
    AskPerson,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// It happened; this is its outcome.
    Done(Value),
    /// It did not happen, and nobody is doing it.
    NotDone,
    /// It can't be told: a person must say.
    Unknown(String),
}

/// What performing an intent came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Perform {
    /// The output, of the declared schema. The engine redacts and caps it before it is stored.
    Done(Value),
    /// The task is waiting for something that comes later (a person's answer, a time): look again then.
    /// The engine stores it and calls `perform` again with the same intent.
    Wait {
        /// When to look again at the latest.
        until: Timestamp,
        /// For people: what it waits for.
        why: String,
    },
}

/// Why an action did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It did not happen; trying again may help.
    #[error("{0}")]
    Transient(String),
    /// It did not happen, and will not with these parameters.
    #[error("{0}")]
    Permanent(String),
    /// It is not known whether it happened, or how much of it (time-out after sending, a program that ran and failed).
    #[error("it is not known whether it happened: {0}")]
    InDoubt(String),
    /// This installation can't do it (no executor, nothing configured).
    #[error("not available here: {0}")]
    NotAvailable(String),
}

/// One kind of action.
pub trait Action: Send + Sync + 'static {
    /// The task type it carries out: `Service_Restart`.
    fn kind(&self) -> &'static str;
    /// Raised whenever stored intents of an older version could be misread.
    fn version(&self) -> u32 {
        1
    }
    /// Whether this code can go on with what a run began with that version of it: one that can read the targets of older
    /// versions says so.
    fn knows(&self, version: u32) -> bool {
        version == self.version()
    }
    /// How an intent in doubt is settled. May depend on the target (a GET repeats, a POST does not).
    fn settle(&self, target: &Value) -> Settle;
    /// Whether an effect under way ends with the process that makes it, whatever became of that: then, where no other one can
    /// be making it, nobody waits for the deadline before it is settled.
    fn ends_with_mayday(&self) -> bool {
        false
    }
    /// How long one try may take when the playbook does not say.
    fn default_timeout(&self) -> Duration {
        Duration::from_secs(30)
    }
    /// Works out against the live system what would happen. Must not change anything. Called for read tasks as well;
    /// they return their parameters as target and no changes.
    fn plan<'a>(&'a self, context: &'a Context, parameters: &'a Value) -> BoxFuture<'a, Result<Planned, Error>>;
    /// Does it. Checks the guards in `intent.target` against the live system right before the effect.
    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>>;
    /// Tells whether an intent in doubt happened. Only called where `settle` says [`Settle::Probe`].
    fn probe<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Probe, Error>> {
        let _ = (context, intent);
        Box::pin(std::future::ready(Ok(Probe::Unknown("this action can't be probed".to_owned()))))
    }
    /// Whether what people approved can still be done exactly as they saw it, though the plan made just now says more or
    /// other things. Asked only when the two differ; without such an answer people are asked again.
    fn still_holds(&self, approved: &Planned, now: &Planned) -> bool {
        let _ = (approved, now);
        false
    }
    /// Whether what is to undo a change is what people approved together with the change. Asked only where parameters,
    /// object and what each field becomes are the same. How the fields were before is not compared, since the change itself
    /// may have moved them: an action whose plan says only there what would be lost says it here.
    fn same_undo(&self, approved: &Planned, now: &Planned) -> bool {
        let _ = (approved, now);
        true
    }
    /// The parameters with which the same action undoes what was done to `target`, where it has an inverse of its own. They
    /// are planned and performed like those of any task, so they must be absolute. `output` is what it gave, or null when
    /// nobody heard its answer.
    fn inverse(&self, target: &Value, output: &Value) -> Option<Value> {
        let _ = (target, output);
        None
    }
}

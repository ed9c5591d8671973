//! A playbook as types: what the language has, and what editors complete (the JSON schema comes from here).
//!
//! [`super::read`] fills these from YAML and reports every mistake; [`super::check`] then looks at what they mean.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::diagnostic::Place;
pub use crate::access::Risk;
use crate::core::duration::Span;

/// Places of the parts of a playbook by path (`tasks[2].conditions[0]`), for diagnostics.
#[derive(Debug, Clone, Default)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    /// Remembers where a part stands.
    pub fn set(&mut self, path: &str, place: Place) {
        self.0.insert(path.to_owned(), place);
    }

    /// Where a part stands; if it is not written down, where the nearest part around it does.
    #[must_use]
    pub fn of(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return *place;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.0.get("").copied().unwrap_or(Place { line: 1, column: 1 }),
            }
        }
    }
}

/// A versioned DAG of tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// Unique id, as people type it: `PB-Disk-Cleanup`.
    pub playbook_id: String,
    /// Name for people.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The author's own version; the digest of the text is added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The team that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Among equally specific matches the highest wins, and where tasks of several runs wait for a place (`effects_at_once`)
    /// the highest goes first; 0 when missing.
    #[serde(default)]
    pub priority: i64,
    /// Alerts it is for. None: it is only run by hand.
    #[serde(default)]
    pub trigger_conditions: Vec<Trigger>,
    /// Values a run is given.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// Text; at most one run whose key renders the same is open at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    /// After a run was proposed, none is for this long (per concurrency key).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Span>,
    /// At most so many runs in a time (per concurrency key).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// A run that is not done by then ends as failed. From the proposal on, waiting included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<Span>,
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Given outputs, and what must come of them.
    #[serde(default)]
    pub tests: Vec<TestCase>,
}

/// Which alerts a playbook is for. What is missing or `any` matches all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The alert's name.
    pub alert_name: String,
    /// The service's name, or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// `Critical`, `Warning`, `Info` or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// CEL over the alert's value: `cpu_usage > 90`. Any one free name stands for the value; so does `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// One value a run is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its type; `name` accepts letters, digits, `.`, `_` and `-` only.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// What is used when the run is given none; text may use `alert`. Without one it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Only these values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<Value>,
}

/// Types of a playbook's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParameterType {
    /// A plain name: letters, digits, `.`, `_`, `-`; the only text an alert may give.
    Name,
    /// Any text; never filled from an alert.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `10m`.
    Duration,
}

/// At most `runs` within `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// How many; at least 1.
    pub runs: u32,
    /// In how long.
    pub per: Span,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Unique in the playbook: letters, digits, `_`, `-`.
    pub id: String,
    /// Name for people; the id when missing.
    #[serde(default)]
    pub name: String,
    /// Task type.
    #[serde(rename = "type")]
    pub kind: String,
    /// For an API_Call: `GET /path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Tasks that must be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// CEL; the task is skipped unless all are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    /// What the task type takes; texts in it may use `{{ … }}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
    /// The name under which later tasks see the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_variable: Option<String>,
    /// What happens after success.
    #[serde(default)]
    pub on_success: OnSuccess,
    /// What happens after failure.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How long one try may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Tries after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The task once for each of these, as `item`: a list, CEL that gives one, or `{in: …, concurrency: n}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// Who must approve it, where that differs from the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// How it is undone when the run fails or is cancelled after it: `inverse` (by the action itself), `none`, or the id
    /// of a task that then runs, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<String>,
    /// What must hold after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// The run pauses before this task until a person resumes it.
    #[serde(default)]
    pub pause: bool,
    /// For an API_Call that changes something: how risky it is, where `disruptive` is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
}

/// What a task is done for, once each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ForEach {
    /// A list, or CEL that gives one: one item at a time.
    Plain(Over),
    /// The same with several at a time.
    With(ForEachWith),
}

/// `{in: …, concurrency: n}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForEachWith {
    /// A list, or CEL that gives one.
    #[serde(rename = "in")]
    pub over: Over,
    /// How many items may be under way at once, 1 to 100; 1 when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// A list: as it is, or worked out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Over {
    /// These items; at most 100.
    List(Vec<Value>),
    /// CEL over earlier outputs and parameters that gives a list: `hosts.full`.
    Cel(String),
}

impl ForEach {
    /// The list or the CEL.
    #[must_use]
    pub const fn over(&self) -> &Over {
        match self {
            Self::Plain(over) => over,
            Self::With(with) => &with.over,
        }
    }
    /// The items, where the author wrote them.
    #[must_use]
    pub fn list(&self) -> Option<&[Value]> {
        match self.over() {
            Over::List(items) => Some(items),
            Over::Cel(_) => None,
        }
    }
    /// How many items may be under way at once.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        match self {
            Self::With(ForEachWith { concurrency: Some(most), .. }) => (*most).max(1) as usize,
            Self::Plain(_) | Self::With(_) => 1,
        }
    }
}

/// How a task is undone when its run unwinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo<'a> {
    /// By the action's own inverse.
    Inverse,
    /// By a task of this id, which is not part of the order.
    Task(&'a str),
}

impl Playbook {
    /// For the items of which task a task is done, if for any: its own, or those of the task that it undoes.
    #[must_use]
    pub fn item_of(&self, task: &Task) -> Option<usize> {
        let own = |other: &Task| other.id == task.id || other.undone_by() == Some(Undo::Task(&task.id));
        self.tasks.iter().position(|other| other.for_each.is_some() && own(other))
    }
}

impl Task {
    /// How it is undone, if it says so. `verify: {otherwise: rollback}` alone means the action's own inverse.
    #[must_use]
    pub fn undone_by(&self) -> Option<Undo<'_>> {
        match self.rollback.as_deref() {
            Some("inverse") => Some(Undo::Inverse),
            Some("none") => None,
            Some(task) => Some(Undo::Task(task)),
            None => {
                let asked = self.verify.as_ref().is_some_and(|verify| verify.otherwise == Otherwise::Rollback);
                asked.then_some(Undo::Inverse)
            }
        }
    }
}

/// After success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words are the design's")]
pub enum OnSuccess {
    #[default]
    None,
    SendNotification,
}

/// After failure. Only the `continue` words let the run go on; `escalate` aborts and asks for more people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words are the design's")]
pub enum OnFailure {
    #[default]
    Abort,
    Continue,
    Escalate,
    AbortWithNotification,
    ContinueWithNotification,
    EscalateWithNotification,
    SendNotification,
    SendNotificationAndEscalate,
}

impl OnFailure {
    /// Whether the run goes on after the failure.
    #[must_use]
    pub const fn continues(self) -> bool {
        matches!(self, Self::Continue | Self::ContinueWithNotification)
    }
    /// Whether people are told.
    #[must_use]
    pub const fn notifies(self) -> bool {
        matches!(
            self,
            Self::AbortWithNotification
                | Self::ContinueWithNotification
                | Self::EscalateWithNotification
                | Self::SendNotification
                | Self::SendNotificationAndEscalate
        )
    }
    /// Whether more people are called.
    #[must_use]
    pub const fn escalates(self) -> bool {
        matches!(self, Self::Escalate | Self::EscalateWithNotification | Self::SendNotificationAndEscalate)
    }
}

/// Tries after a failure that did not happen, or timed out where repeating is safe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries in all, the first one included: 1 to 20.
    pub attempts: u32,
    /// Wait before the second try; doubles with each, at most 5 minutes. 1 s when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Span>,
    /// The share of the wait that is left to chance, 0 to 1; 0.2 when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    /// Which failures are tried again; transient ones and time-outs when missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RetryOn>,
}

/// Kinds of failure that may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// It did not happen, and may the next time.
    Transient,
    /// It took too long, and repeating is safe.
    Timeout,
    /// Also what the action calls permanent.
    Any,
}

/// Who must approve.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Persons (`web:ana` or their name) or teams; empty: anyone whose role may.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// How many; never fewer than the policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The request is void after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
    /// Whether who proposed the run may approve it.
    #[serde(default)]
    pub allow_self: bool,
}

/// What must hold after a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// CEL over outputs; the read tasks that gave them are carried out again until it holds.
    pub condition: String,
    /// How long it may take; 60 s when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// What happens when it does not hold in time; `fail` when missing.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// When a verification does not hold in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// The task fails; `on_failure` says what then.
    #[default]
    Fail,
    /// The run is aborted and more people are called.
    Escalate,
    /// The run is aborted, and everything done so far that says how it is undone is undone, the newest first.
    Rollback,
}

/// A test of a playbook: nothing outside is touched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What it shows.
    pub name: String,
    /// The run's parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
    /// The alert that triggers it, as text templates see it (`service_name`, `metric_value`, `labels` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Value>,
    /// Output per task. `{fails: "why"}` makes it fail; a list gives one output per reading.
    #[serde(default)]
    pub given: BTreeMap<String, Value>,
    /// Whether the plan is approved; true when missing.
    #[serde(default = "yes")]
    pub approved: bool,
    /// What must come of it.
    pub expect: Expect,
}

const fn yes() -> bool {
    true
}

/// What a test expects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// State per task: `succeeded`, `failed`, `skipped`, `pending`, `rolled_back` …
    #[serde(default)]
    pub tasks: BTreeMap<String, String>,
    /// Texts that must stand in what people are told.
    #[serde(default)]
    pub messages: Vec<String>,
    /// The run's outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

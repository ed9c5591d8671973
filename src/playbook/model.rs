//! A playbook as types: what the language has, and what editors complete (the JSON schema comes from here).
//!
//! [`super::read`] fills these from YAML and reports every mistake; [`super::check`] then looks at what they mean.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::places::Places;
pub use crate::access::Risk;
use crate::core::duration::Span;

/// One file, one playbook: which alerts it is for, what it is given, and its tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// Unique id, as people type it: 1 to 80 letters, digits, `.`, `_`, `-`.
    #[schemars(example = &"PB-Disk-Cleanup")]
    pub playbook_id: String,
    /// Name for people, on cards and in lists.
    #[schemars(example = &"Free disk space")]
    pub name: String,
    /// What it is for and what it does, in a sentence or two.
    #[serde(default)]
    #[schemars(example = &"Removes old files after approval, and verifies the disk's use.")]
    pub description: String,
    /// The author's own version; the digest of the text is added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"1.2")]
    pub version: Option<String>,
    /// The team that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"shop")]
    pub team: Option<String>,
    /// Among equally specific matches the highest wins, and where tasks of several runs wait for a place (`effects_at_once`)
    /// the highest goes first; 0 when missing.
    #[serde(default)]
    #[schemars(example = 10)]
    pub priority: i64,
    /// Alerts it is for; any one is enough. Without: it is only run by hand, by a schedule or by another playbook.
    #[serde(default)]
    #[schemars(example = [serde_json::json!({"alert_name": "Disk_Full", "when": "disk_usage > 85"})])]
    pub trigger_conditions: Vec<Trigger>,
    /// Values that a run is given, by name. Texts see them as `{{ params.service }}`, conditions as `params.service`.
    #[serde(default)]
    #[schemars(example = serde_json::json!({"service": {"type": "name", "default": "{{ alert.service_name }}"}}))]
    pub parameters: BTreeMap<String, Parameter>,
    /// A text; of the runs for which it comes out the same, one is open at a time, whichever playbooks they run. What a
    /// run has another playbook do counts as its own. It sees `params` and `alert`. Without: there is no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"cleanup {{ params.service }}")]
    pub concurrency_key: Option<String>,
    /// After a run of it was proposed, or last changed something, none is for this long (per concurrency key). One that
    /// was turned down before it changed anything does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"30m")]
    pub cooldown: Option<Span>,
    /// At most so many runs of it in a time (per concurrency key), counted as for `cooldown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = serde_json::json!({"runs": 3, "per": "24h"}))]
    pub quota: Option<Quota>,
    /// A run that is not done by then ends as failed. Counts from the proposal on, waiting for people included.
    /// Without: what the configuration says (`playbooks.max_duration`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"1h")]
    pub max_duration: Option<Span>,
    /// The tasks. Their order is what `depends_on` says, not the order in the file.
    #[schemars(example = [serde_json::json!({"id": "restart", "type": "Service_Restart", "parameters": {"service": "shop"}})])]
    pub tasks: Vec<Task>,
    /// Given outputs, and what must come of them: `mayday playbook test` runs them without touching anything.
    #[serde(default)]
    #[schemars(example = [serde_json::json!({"name": "it restarts", "given": {"restart": {}}, "expect": {"outcome": "no_effect"}})])]
    pub tests: Vec<TestCase>,
}

/// Which alerts a playbook is for. The most specific playbook wins: a named service over any, a named severity over
/// any, with `when` over without, then `priority`, then the id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The alert's name, exactly.
    #[schemars(example = &"Disk_Full")]
    pub alert_name: String,
    /// The service's name; `any` or nothing matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"payment-gateway")]
    pub service_name: Option<String>,
    /// How bad the alert is; `any` or nothing matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"Critical")]
    pub severity: Option<String>,
    /// A condition over the alert's value. Any one name you choose stands for the value, and so does `value`. An
    /// alert without a value does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"disk_usage > 85")]
    pub when: Option<String>,
}

/// One value that a run is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its type. Text of an alert can only become a `name` (or a number), never a `string`.
    #[serde(rename = "type")]
    #[schemars(example = &"name")]
    pub kind: ParameterType,
    /// What is used when the run is given none. A text may use `alert`, as `{{ alert.service_name }}`. Without a
    /// default the value must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"{{ alert.service_name }}")]
    pub default: Option<Value>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"The service whose folders are cleaned.")]
    pub description: Option<String>,
    /// Only these values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["shop-a", "shop-b"])]
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
    /// How many runs.
    #[schemars(example = 3)]
    pub runs: u32,
    /// In how long.
    #[schemars(example = &"24h")]
    pub per: Span,
}

/// One step: it reads, changes or tells something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Unique in the playbook: 1 to 80 letters, digits, `.`, `_`, `-`. Other tasks and tests name it.
    #[schemars(example = &"restart")]
    pub id: String,
    /// Name for people; the id when missing.
    #[serde(default)]
    #[schemars(example = &"Restart the shop")]
    pub name: String,
    /// Task type; each is described below.
    #[serde(rename = "type")]
    #[schemars(example = &"Service_Restart")]
    pub kind: String,
    /// For an API_Call only: the method and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GET service:health")]
    pub action: Option<String>,
    /// Ids of tasks that must be done before. One that was skipped, or failed under `on_failure: continue`, counts as
    /// done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["read_usage"])]
    pub depends_on: Vec<String>,
    /// Conditions; the task is skipped unless all are true. One that can't be evaluated fails the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["disk.value > 80"])]
    pub conditions: Vec<String>,
    /// What the task type takes. Texts in it may use `{{ … }}`. Of an API_Call: the query of a GET, the JSON body
    /// otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(example = serde_json::json!({"service": "{{ params.service }}"}))]
    pub parameters: BTreeMap<String, Value>,
    /// The name under which later tasks see what this one gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"disk")]
    pub output_variable: Option<String>,
    /// What happens after success.
    #[serde(default)]
    #[schemars(example = &"send_notification")]
    pub on_success: OnSuccess,
    /// What happens after failure. Only the `continue` words let the run go on.
    #[serde(default)]
    #[schemars(example = &"escalate_with_notification")]
    pub on_failure: OnFailure,
    /// How long one try may take. Without: what the task type needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"2m")]
    pub timeout: Option<Span>,
    /// Tries after a failure. Without: there is one try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = serde_json::json!({"attempts": 3, "backoff": "5s"}))]
    pub retry: Option<Retry>,
    /// The task once for each of these, which it sees as `item`: a list, CEL that gives one, or `{in: …, concurrency:
    /// n}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"hosts.full")]
    pub for_each: Option<ForEach>,
    /// Who must approve it, where that differs from the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = serde_json::json!({"approvers": ["dba"], "count": 2}))]
    pub approval: Option<Approval>,
    /// How it is undone when the run fails or is cancelled after it: `inverse` (by the task type's own inverse),
    /// `none`, or the id of a task that then runs, and only then. Without: it is not undone. Who approves the change
    /// approves what that task will do as well; if it comes out otherwise, or speaks of what the change gives, it is asked
    /// for when it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"inverse")]
    pub rollback: Option<String>,
    /// What must hold after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = serde_json::json!({"condition": "disk.value < 80", "within": "90s"}))]
    pub verify: Option<Verify>,
    /// The run pauses before this task until a person resumes it.
    #[serde(default)]
    #[schemars(example = true)]
    pub pause: bool,
    /// For a Run_Command, or an API_Call that changes something: how risky it is; `disruptive` when missing, for a DELETE
    /// `destructive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"reversible")]
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

/// A list with how many of its items may be under way at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForEachWith {
    /// A list, or CEL that gives one.
    #[serde(rename = "in")]
    #[schemars(example = &"hosts.full")]
    pub over: Over,
    /// How many items may be under way at once; 1 when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = 5)]
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
pub enum OnSuccess {
    /// Nothing more.
    #[default]
    None,
    /// People are told in the incident's thread.
    SendNotification,
}

/// After failure. Only the `continue` words let the run go on; `escalate` aborts and asks for more people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run ends.
    #[default]
    Abort,
    /// The run goes on.
    Continue,
    /// The run ends and a person is called.
    Escalate,
    /// The run ends and people are told.
    AbortWithNotification,
    /// The run goes on and people are told.
    ContinueWithNotification,
    /// The run ends, people are told and a person is called.
    EscalateWithNotification,
    /// The same as `abort_with_notification`.
    SendNotification,
    /// The same as `escalate_with_notification`.
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
    /// Tries in all, the first one included.
    #[schemars(example = 3)]
    pub attempts: u32,
    /// Wait before the second try; doubles with each, at most 5 min. `1s` when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"5s")]
    pub backoff: Option<Span>,
    /// The share of the wait that is left to chance; 0.2 when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = 0.5)]
    pub jitter: Option<f64>,
    /// Which failures are tried again; `transient` and `timeout` when missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["transient"])]
    pub on: Vec<RetryOn>,
}

/// Kinds of failure that may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// It did not happen, and may the next time.
    Transient,
    /// It took too long, or broke off on its way, and repeating is safe.
    Timeout,
    /// Also what the action calls permanent.
    Any,
}

/// Who must approve.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Persons (`web:ana`, or `ana` on any chat) or teams; without any: anyone whose role may.
    #[serde(default)]
    #[schemars(example = ["web:ana", "dba"])]
    pub approvers: Vec<String>,
    /// How many people; never fewer than the policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = 2)]
    pub count: Option<u32>,
    /// The request is void after this. Without: what the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"30m")]
    pub expires: Option<Span>,
    /// Whether who proposed the run may approve it.
    #[serde(default)]
    #[schemars(example = true)]
    pub allow_self: bool,
}

/// What must hold after a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// A condition over outputs. The read tasks that gave them are carried out again until it holds.
    #[schemars(example = &"disk.value < 80")]
    pub condition: String,
    /// How long it may take; `60s` when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"90s")]
    pub within: Option<Span>,
    /// How long it must hold without interruption, read every two seconds; shorter than `within`. A reading that does not
    /// hold, or fails, begins it anew. Without: once is enough.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"30s")]
    pub held_for: Option<Span>,
    /// What happens when it does not hold in time.
    #[serde(default)]
    #[schemars(example = &"rollback")]
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
    #[schemars(example = &"a full disk is cleaned")]
    pub name: String,
    /// The run's parameters.
    #[serde(default)]
    #[schemars(example = serde_json::json!({"service": "shop"}))]
    pub parameters: BTreeMap<String, Value>,
    /// The alert that triggers it, as texts see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = serde_json::json!({"alert_name": "Disk_Full", "service_name": "shop", "metric_value": 93}))]
    pub alert: Option<Value>,
    /// Output per task id. `{fails: "why"}` makes it fail; a list gives one output per reading, the last one stays.
    /// Of a task that reads only after the change that it verifies, the first one is how it was before.
    /// `clean[0]` is an item of a `for_each`, `undo:shift` an undo.
    #[serde(default)]
    #[schemars(example = serde_json::json!({"read_usage": [{"value": 93}, {"value": 41}]}))]
    pub given: BTreeMap<String, Value>,
    /// Whether the plan is approved.
    #[serde(default = "yes")]
    #[schemars(example = false)]
    pub approved: bool,
    /// What must come of it.
    #[schemars(example = serde_json::json!({"tasks": {"clean_up": "succeeded"}, "outcome": "fixed"}))]
    pub expect: Expect,
}

const fn yes() -> bool {
    true
}

/// What a test expects; at least one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// State per task id.
    #[serde(default)]
    #[schemars(example = serde_json::json!({"clean_up": "succeeded"}))]
    pub tasks: BTreeMap<String, String>,
    /// Texts that must stand in what people are told.
    #[serde(default)]
    #[schemars(example = ["12 files were removed"])]
    pub messages: Vec<String>,
    /// What the run comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"fixed")]
    pub outcome: Option<String>,
}

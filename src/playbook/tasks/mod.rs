//! Every task type: what it takes, what it gives, how risky it is. Declared from the first day, with or without an
//! executor, so that playbooks can be checked and tested before anything can carry them out.
//!
//! What an action gets: `plan` is called with the task's rendered `parameters` as a JSON object, durations as the author
//! wrote them. An `API_Call` gets `{"action": "GET /path", "parameters": {…}}` instead, since its parameters are the
//! query or the body.

mod table;

pub use table::TASK_TYPES;

use super::model::{Risk, Task};

/// One task type.
#[derive(Debug)]
pub struct TaskType {
    /// As playbooks say it.
    pub name: &'static str,
    /// One line for the reference.
    pub doc: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What it gives.
    pub gives: Gives,
    /// How risky it is (an API_Call's depends on its method, see [`risk`]).
    pub risk: Risk,
    /// How a doubt after a crash is settled, for the reference. The action itself decides.
    pub doubt: &'static str,
    /// Whether it can be undone, at least in principle.
    pub reversible: bool,
    /// Whether the task has an `action:` line.
    pub action_line: bool,
}

/// What a task type takes.
#[derive(Debug)]
pub enum Takes {
    /// These parameters and no others.
    These(&'static [Param]),
    /// Whatever the author writes.
    Anything,
}

/// One parameter of a task type.
#[derive(Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ParamKind,
    /// Whether it must be there.
    pub required: bool,
    /// One line for the reference.
    pub doc: &'static str,
}

/// Types of task parameters. Text with `{{ … }}` is looked at when it is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// Text for people.
    Text,
    /// A plain name: letters, digits, `.`, `_`, `-`.
    Name,
    /// A list of texts.
    Texts,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A duration.
    Duration,
    /// CEL; never rendered, the engine evaluates it.
    Condition,
    /// A map.
    Map,
}

impl ParamKind {
    /// For messages.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Name => "a plain name (letters, digits, `.`, `_`, `-`)",
            Self::Texts => "a list of texts",
            Self::Whole => "a whole number",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Duration => "a duration like 90s",
            Self::Condition => "a condition",
            Self::Map => "a map",
        }
    }
}

/// What a task type gives.
#[derive(Debug)]
pub enum Gives {
    /// An object with these fields.
    These(&'static [Out]),
    /// An object whose fields only the live system knows.
    Dynamic,
}

/// One field of an output.
#[derive(Debug)]
pub struct Out {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: OutKind,
    /// One line for the reference.
    pub doc: &'static str,
}

/// Types of output fields. In conditions every number is a double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum OutKind {
    Number,
    Text,
    Bool,
    List,
    /// An object of unknown fields.
    Dynamic,
}

impl OutKind {
    /// For the reference.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "text",
            Self::Bool => "true or false",
            Self::List => "list",
            Self::Dynamic => "map",
        }
    }
}

/// The type of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static TaskType> {
    TASK_TYPES.iter().find(|task_type| task_type.name == name)
}

/// Whether the action of a task may have an inverse of its own: of API calls only a PATCH, which names the fields it sets.
#[must_use]
pub fn reversible(task: &Task) -> bool {
    match find(&task.kind) {
        Some(call) if call.name == "API_Call" => method(task) == "PATCH",
        Some(known) => known.reversible,
        None => false,
    }
}

fn method(task: &Task) -> &str {
    task.action.as_deref().and_then(|line| line.split_whitespace().next()).unwrap_or("")
}

/// Whether a parameter is words for people, which may hold anything. Whom they are told to is not.
#[must_use]
pub fn is_prose(kind: &str, parameter: &str) -> bool {
    matches!((kind, parameter), ("Notification", "message") | ("Ask_Human", "question" | "options"))
}

/// Whether a parameter decides who is told something.
#[must_use]
pub fn is_address(kind: &str, parameter: &str) -> bool {
    matches!((kind, parameter), ("Notification", "channel" | "recipients"))
}

/// How risky a task is. Unknown types count as destructive: nothing unknown runs without asking.
#[must_use]
pub fn risk(task: &Task) -> Risk {
    let Some(task_type) = find(&task.kind) else { return Risk::Destructive };
    match (task_type.name, method(task)) {
        ("API_Call", "GET" | "HEAD") => Risk::Read,
        // What was deleted is gone, unless the author knows better.
        ("API_Call", "DELETE") => task.risk.unwrap_or(Risk::Destructive),
        ("API_Call" | "Run_Command", _) => task.risk.unwrap_or(task_type.risk),
        _ => task_type.risk,
    }
}

/// Whether its risk is known: what a program does only the author of the playbook can tell.
#[must_use]
pub fn risk_is_known(task: &Task) -> bool {
    task.kind != "Run_Command" || task.risk.is_some()
}

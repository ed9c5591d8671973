//! The shape of a playbook file: which keys stand where and what kind of value each takes.

/// What a value must look like.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Text on one or several lines.
    Text,
    /// Text, or a whole number taken as text.
    Version,
    /// Letters, digits, `.`, `_`, `-`; at most 80.
    Id,
    /// A name that conditions can say: letters, digits, `_`.
    Variable,
    /// A duration.
    Duration,
    /// `true` or `false`.
    Bool,
    /// A whole number within limits.
    Whole(i64, i64),
    /// A number within limits.
    Number(f64, f64),
    /// One of some words.
    Word(&'static [&'static str]),
    /// CEL: text (or a bare `true`/`false`).
    Condition,
    /// A list of at most so many.
    List(&'static Shape, usize),
    /// A map with free keys, at most so many.
    Map(&'static Shape, usize),
    /// A map with known keys.
    Fields(&'static [Field]),
    /// A list, or CEL that gives one.
    Over,
    /// The same, or a map with it and a concurrency.
    ForEach,
    /// Anything.
    Any,
}

/// One known key.
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// Its value.
    pub shape: Shape,
}

const fn must(name: &'static str, shape: Shape) -> Field {
    Field { name, required: true, shape }
}
const fn may(name: &'static str, shape: Shape) -> Field {
    Field { name, required: false, shape }
}

/// The most tasks of one playbook.
pub const MAX_TASKS: usize = 200;
/// The longest duration of any kind is checked by the duration type; counts and tries here.
const PLAYBOOK_FIELDS: &[Field] = &[
    must("playbook_id", Shape::Id),
    must("name", Shape::Text),
    may("description", Shape::Text),
    may("version", Shape::Version),
    may("team", Shape::Id),
    may("priority", Shape::Whole(-1000, 1000)),
    may("trigger_conditions", Shape::List(&Shape::Fields(TRIGGER), 100)),
    may("parameters", Shape::Map(&Shape::Fields(PARAMETER), 100)),
    may("concurrency_key", Shape::Text),
    may("cooldown", Shape::Duration),
    may("quota", Shape::Fields(&[must("runs", Shape::Whole(1, 10_000)), must("per", Shape::Duration)])),
    may("max_duration", Shape::Duration),
    must("tasks", Shape::List(&Shape::Fields(TASK), MAX_TASKS)),
    may("tests", Shape::List(&Shape::Fields(TEST), 100)),
];

/// The whole file.
pub const PLAYBOOK: Shape = Shape::Fields(PLAYBOOK_FIELDS);

const TRIGGER: &[Field] = &[
    must("alert_name", Shape::Text),
    may("service_name", Shape::Text),
    may("severity", Shape::Word(&["Critical", "Warning", "Info", "any"])),
    may("when", Shape::Condition),
];

const PARAMETER: &[Field] = &[
    must("type", Shape::Word(&["name", "string", "integer", "number", "boolean", "duration"])),
    may("default", Shape::Any),
    may("description", Shape::Text),
    may("one_of", Shape::List(&Shape::Any, 100)),
];

/// A task.
pub const TASK: &[Field] = &[
    must("id", Shape::Id),
    may("name", Shape::Text),
    must("type", Shape::Text),
    may("action", Shape::Text),
    may("depends_on", Shape::List(&Shape::Text, MAX_TASKS)),
    may("conditions", Shape::List(&Shape::Condition, 50)),
    may("parameters", Shape::Map(&Shape::Any, 100)),
    may("output_variable", Shape::Variable),
    may("on_success", Shape::Word(&["none", "send_notification"])),
    may(
        "on_failure",
        Shape::Word(&[
            "abort",
            "continue",
            "escalate",
            "abort_with_notification",
            "continue_with_notification",
            "escalate_with_notification",
            "send_notification",
            "send_notification_and_escalate",
        ]),
    ),
    may("timeout", Shape::Duration),
    may("retry", Shape::Fields(RETRY)),
    may("for_each", Shape::ForEach),
    may("approval", Shape::Fields(APPROVAL)),
    may("rollback", Shape::Text),
    may("verify", Shape::Fields(VERIFY)),
    may("pause", Shape::Bool),
    may("risk", Shape::Word(&["read", "reversible", "disruptive", "destructive"])),
];

/// `for_each` written as a map.
pub const FOR_EACH: &[Field] = &[must("in", Shape::Over), may("concurrency", Shape::Whole(1, 100))];

const RETRY: &[Field] = &[
    must("attempts", Shape::Whole(1, 20)),
    may("backoff", Shape::Duration),
    may("jitter", Shape::Number(0.0, 1.0)),
    may("on", Shape::List(&Shape::Word(&["transient", "timeout", "any"]), 3)),
];

const APPROVAL: &[Field] = &[
    may("approvers", Shape::List(&Shape::Text, 50)),
    may("count", Shape::Whole(1, 20)),
    may("expires", Shape::Duration),
    may("allow_self", Shape::Bool),
];

const VERIFY: &[Field] = &[
    must("condition", Shape::Condition),
    may("within", Shape::Duration),
    may("for", Shape::Duration),
    may("otherwise", Shape::Word(&["fail", "escalate", "rollback"])),
];

const TEST: &[Field] = &[
    must("name", Shape::Text),
    may("parameters", Shape::Map(&Shape::Any, 100)),
    may("alert", Shape::Any),
    may("given", Shape::Map(&Shape::Any, MAX_TASKS)),
    may("approved", Shape::Bool),
    must(
        "expect",
        Shape::Fields(&[
            may(
                "tasks",
                Shape::Map(
                    &Shape::Word(&["succeeded", "failed", "skipped", "pending", "waiting", "in_doubt", "rolled_back"]),
                    MAX_TASKS,
                ),
            ),
            may("messages", Shape::List(&Shape::Text, 50)),
            may(
                "outcome",
                Shape::Word(&[
                    "fixed",
                    "no_effect",
                    "made_worse",
                    "failed",
                    "rejected",
                    "expired",
                    "cancelled",
                    "stuck",
                ]),
            ),
        ]),
    ),
];

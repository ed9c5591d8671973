//! The names that conditions and texts can say, beside the outputs of earlier tasks.

use super::condition::Kind;

/// Names that no output variable can have.
pub const RESERVED: &[&str] = &[
    "alert",
    "params",
    "run",
    "tasks",
    "item",
    "value",
    "true",
    "false",
    "null",
    "in",
    "size",
    "has",
    "all",
    "exists",
    "map",
    "filter",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "list",
    "bytes",
    "type",
    "dyn",
    "range",
    "dict",
    "namespace",
    "debug",
    "loop",
    "self",
];

/// A name with fields that every condition and text can say.
#[derive(Debug)]
pub struct Known {
    /// The field.
    pub name: &'static str,
    /// What kind of value it is.
    pub kind: Kind,
    /// One line for the reference.
    pub doc: &'static str,
}

const fn text(name: &'static str, doc: &'static str) -> Known {
    Known { name, kind: Kind::Text, doc }
}

/// Fields of `alert`: the normalised alert that triggered the run; `alert` itself is missing in a run by hand.
pub const ALERT_FIELDS: &[Known] = &[
    text("alert_id", "Its id."),
    text("source_system", "Who says it: `alertmanager`, `zabbix`, `generic`, `mayday`."),
    text("alert_name", "What it is called."),
    text("severity", "`Critical`, `Warning` or `Info`."),
    text("status", "`Firing` or `Resolved`."),
    text("service_name", "The service, as the catalogue calls it."),
    text("host_ip", "The host's address."),
    Known { name: "metric_value", kind: Kind::Number, doc: "The measured number, in the sender's unit." },
    text("timestamp", "When it started, UTC, RFC 3339."),
    Known { name: "labels", kind: Kind::Map, doc: "All labels, each text: `alert.labels.zone`." },
    text("description", "What a person reads about it."),
];

/// Fields of `run`.
pub const RUN_FIELDS: &[Known] = &[
    text("id", "The run: `RUN-3`."),
    text("playbook", "The playbook's id."),
    text("incident", "The incident it is for: `INC-7`."),
];

/// Fields of `tasks.<id>`.
pub const TASK_FIELDS: &[Known] = &[
    text("state", "`pending`, `waiting`, `running`, `succeeded`, `failed`, `skipped`, `in_doubt` or `rolled_back`."),
    text("note", "What is known about it besides, for people."),
];

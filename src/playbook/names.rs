//! The names that conditions and texts can say, beside the outputs of earlier tasks.

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

/// Fields of `alert`: the normalised alert that triggered the run; `alert` itself is missing in a run by hand.
pub const ALERT_FIELDS: &[&str] = &[
    "alert_id",
    "source_system",
    "alert_name",
    "severity",
    "status",
    "service_name",
    "host_ip",
    "metric_value",
    "timestamp",
    "labels",
    "description",
];

/// Fields of `run`.
pub const RUN_FIELDS: &[&str] = &["id", "playbook", "incident"];

/// Fields of `tasks.<id>`.
pub const TASK_FIELDS: &[&str] = &["state", "note"];

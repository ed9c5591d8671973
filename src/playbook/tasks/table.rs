//! The table of task types. One entry each; the reference and the checks read it, nothing else repeats it.

use super::{Gives, Out, OutKind, Param, ParamKind, Takes, TaskType};
use crate::playbook::model::Risk;

const fn must(name: &'static str, kind: ParamKind, doc: &'static str) -> Param {
    Param { name, kind, required: true, doc }
}
const fn may(name: &'static str, kind: ParamKind, doc: &'static str) -> Param {
    Param { name, kind, required: false, doc }
}
const fn number(name: &'static str, doc: &'static str) -> Out {
    Out { name, kind: OutKind::Number, doc }
}
const fn text(name: &'static str, doc: &'static str) -> Out {
    Out { name, kind: OutKind::Text, doc }
}
const fn truth(name: &'static str, doc: &'static str) -> Out {
    Out { name, kind: OutKind::Bool, doc }
}
const fn list(name: &'static str, doc: &'static str) -> Out {
    Out { name, kind: OutKind::List, doc }
}
const fn object(name: &'static str, doc: &'static str) -> Out {
    Out { name, kind: OutKind::Dynamic, doc }
}

const SERVICE: Param = must("service", ParamKind::Name, "the service, as the catalogue calls it");
const WINDOW: Param = may("time_window", ParamKind::Duration, "how far back to look; 10m when missing");

/// How doubts are settled.
const REPEATED: &str = "it is done again, which is the same as doing it once";
const PROBED: &str =
    "the process is looked at where Mayday supervises it; otherwise a person says `done`, `not_done` or `failed`";
const BY_LIST: &str = "it is done again where the allow-list says that this is safe; otherwise a person says `done`, `not_done` or `failed`";

/// A task type that changes nothing.
const fn read(name: &'static str, doc: &'static str, takes: &'static [Param], gives: &'static [Out]) -> TaskType {
    TaskType {
        name,
        doc,
        takes: Takes::These(takes),
        gives: Gives::These(gives),
        risk: Risk::Read,
        doubt: REPEATED,
        reversible: false,
        action_line: false,
    }
}

/// A task type that changes something.
const fn change(
    name: &'static str,
    doc: &'static str,
    risk: Risk,
    (doubt, reversible): (&'static str, bool),
    takes: &'static [Param],
    gives: &'static [Out],
) -> TaskType {
    TaskType {
        name,
        doc,
        takes: Takes::These(takes),
        gives: Gives::These(gives),
        risk,
        doubt,
        reversible,
        action_line: false,
    }
}

/// All task types.
pub const TASK_TYPES: &[TaskType] = &[
    TaskType {
        name: "API_Call",
        doc: "Calls an HTTP API. `action` is `METHOD /path` (default API), `METHOD service:/path` (a catalogue \
              entry's base URL) or `GET service:health` (its health path). The output is the answer's JSON object \
              (`{body: …}` for anything else) with `http_status` and `duration_ms` added; an answer other than 2xx is \
              a failure. Of a change that is answered with 5xx, or not at all, nobody knows whether it happened. `rollback: inverse` of a PATCH sets its fields back, where a GET of the same address shows them.",
        takes: Takes::Anything,
        gives: Gives::Dynamic,
        risk: Risk::Disruptive,
        doubt: "a GET or HEAD is done again; of another method a person says `done`, `not_done` or `failed`",
        reversible: false,
        action_line: true,
    },
    read(
        "Log_Aggregation",
        "Counts a service's log lines, those with a keyword, and errors.",
        &[
            SERVICE,
            WINDOW,
            may("keywords", ParamKind::Texts, "a line counts as matched if it has one of these; all when missing"),
            may("limit", ParamKind::Whole, "lines to keep as samples; 20 when missing"),
        ],
        &[
            number("total", "lines in the window"),
            number("matched", "lines with a keyword"),
            number("errors", "lines of level ERROR or worse"),
            number("error_rate", "errors / total, 0 to 1; 0 without lines"),
            number("matched_rate", "matched / total, 0 to 1; 0 without lines"),
            list("lines", "the newest matching lines: at, level, text"),
            list("templates", "shapes of the matching lines with their counts, most frequent first"),
            truth("has_data", "whether there were any lines"),
            truth("truncated", "whether the source no longer has the whole window"),
        ],
    ),
    read(
        "Metric_Query",
        "Evaluates a metric expression over a time window.",
        &[
            must("expr", ParamKind::Text, "the expression"),
            WINDOW,
            may("step", ParamKind::Duration, "distance of the points"),
        ],
        &[
            number("value", "the newest value of the first series"),
            number("min", "smallest value"),
            number("max", "largest value"),
            number("avg", "mean value"),
            number("points", "number of points"),
            number("series", "number of series"),
            list("latest", "the newest point of each series: labels, at, value"),
            truth("empty", "whether nothing was found (then there is no `value`)"),
            truth("has_data", "the opposite of `empty`"),
        ],
    ),
    read(
        "Trace_Analysis",
        "Finds the slow and failing operations of a service in its traces.",
        &[SERVICE, WINDOW],
        &[
            number("traces", "traces seen"),
            number("errors", "traces with an error"),
            number("p99_ms", "99th percentile of the duration, ms"),
            text("bottleneck", "the operation that takes most of the time"),
        ],
    ),
    read(
        "Dependency_Check",
        "Asks the health of what a service depends on.",
        &[SERVICE, may("direction", ParamKind::Name, "`downstream` (when missing) or `upstream`")],
        &[
            truth("healthy", "whether all are"),
            number("checked", "how many were asked"),
            list("unhealthy", "names of those that are not"),
        ],
    ),
    read(
        "Fault_Localisation",
        "Ranks services by how likely the fault began there.",
        &[may("service", ParamKind::Name, "where the symptom is"), WINDOW],
        &[
            text("top", "the most likely service"),
            number("confidence", "0 to 1"),
            list("ranking", "all candidates, best first"),
        ],
    ),
    read(
        "Root_Cause_Analysis",
        "Explains the incident from evidence.",
        &[may("service", ParamKind::Name, "where the symptom is"), WINDOW],
        &[
            text("summary", "one sentence"),
            text("component", "what is blamed"),
            number("confidence", "0 to 1"),
            list("evidence", "ids of the evidence"),
        ],
    ),
    change(
        "Kubernetes_Scale",
        "Sets the number of replicas of a service's workload.",
        Risk::Reversible,
        (REPEATED, true),
        &[
            SERVICE,
            may("replicas", ParamKind::Whole, "absolute number"),
            may("replicas_increase", ParamKind::Whole, "so many more; becomes an absolute number in the plan"),
            may("max_replicas", ParamKind::Whole, "never more than this"),
        ],
        &[number("before", "replicas before"), number("after", "replicas wanted"), number("ready", "replicas ready")],
    ),
    change(
        "Kubernetes_Restart",
        "Restarts a service's workload, pod by pod.",
        Risk::Disruptive,
        (REPEATED, false),
        &[SERVICE],
        &[number("restarted", "pods replaced"), number("ready", "pods ready")],
    ),
    change(
        "Kubernetes_Rollback",
        "Takes a service's workload back to an earlier revision.",
        Risk::Disruptive,
        (REPEATED, true),
        &[SERVICE, may("revision", ParamKind::Whole, "which; the one before when missing")],
        &[number("from", "revision before"), number("to", "revision after")],
    ),
    read(
        "Kubernetes_Inspect",
        "Looks at a service's workload, pods and events.",
        &[SERVICE],
        &[
            number("replicas", "wanted"),
            number("ready", "ready"),
            number("restarts", "restarts of all containers"),
            list("pods", "pod names and states"),
            list("events", "newest warnings"),
        ],
    ),
    change(
        "Cloud_Scale",
        "Sets the capacity of a cloud scaling group.",
        Risk::Reversible,
        (REPEATED, true),
        &[
            SERVICE,
            may("capacity", ParamKind::Whole, "absolute number"),
            may("capacity_increase", ParamKind::Whole, "so many more; becomes an absolute number in the plan"),
            may("max_capacity", ParamKind::Whole, "never more than this"),
        ],
        &[number("before", "capacity before"), number("after", "capacity wanted")],
    ),
    read(
        "Database_Check",
        "Looks at a service's database: reachable, connections, slow queries.",
        &[SERVICE, may("checks", ParamKind::Texts, "which checks; all when missing")],
        &[
            truth("healthy", "whether it answers"),
            number("connections", "open now"),
            number("max_connections", "allowed"),
            number("latency_ms", "of a trivial query, ms"),
            list("slow_queries", "the slowest that run now"),
        ],
    ),
    change(
        "Disk_Cleanup",
        "Removes old files from folders that the catalogue allows for the service. The plan lists them.",
        Risk::Destructive,
        (REPEATED, false),
        &[
            SERVICE,
            may("older_than", ParamKind::Duration, "only files unchanged for this long; the catalogue's when missing"),
        ],
        &[number("removed", "files removed"), number("freed_bytes", "bytes freed"), list("folders", "where")],
    ),
    change(
        "Cache_Clear",
        "Empties a service's cache.",
        Risk::Disruptive,
        (REPEATED, false),
        &[SERVICE, may("pattern", ParamKind::Text, "only keys like this; all when missing")],
        &[number("removed", "entries removed")],
    ),
    change(
        "Service_Restart",
        "Restarts a service the way its catalogue entry says.",
        Risk::Disruptive,
        (PROBED, false),
        &[SERVICE],
        &[
            text("service", "which"),
            number("pid_before", "process before; missing if it was not running"),
            number("pid_after", "process after"),
            text("started_at", "when it started, RFC 3339"),
        ],
    ),
    change(
        "Config_Rollback",
        "Takes a service's configuration back to an earlier version.",
        Risk::Disruptive,
        (REPEATED, true),
        &[SERVICE, may("to", ParamKind::Text, "which version; the one before when missing")],
        &[text("from", "version before"), text("to", "version after")],
    ),
    change(
        "Traffic_Shift",
        "Moves a share of a service's traffic.",
        Risk::Disruptive,
        (REPEATED, true),
        &[
            SERVICE,
            must("to", ParamKind::Name, "where to"),
            must("percent", ParamKind::Number, "share afterwards, 0 to 100"),
        ],
        &[number("before", "share before"), number("after", "share after")],
    ),
    change(
        "Run_Command",
        "Runs one allow-listed program with fixed arguments; no shell. `rollback: inverse` runs the `undo` that the list names.",
        Risk::Disruptive,
        (BY_LIST, true),
        &[
            must("program", ParamKind::Text, "its name in the allow-list"),
            may("args", ParamKind::Texts, "arguments, each passed as it is"),
        ],
        &[
            number(
                "exit_code",
                "0 is success; any other a failure where the allow-list calls the program idempotent, else a doubt",
            ),
            text("stdout", "what it wrote, cut"),
            text("stderr", "what it complained about, cut"),
            truth("truncated", "whether something was cut"),
            number("took_ms", "how long it ran, ms"),
        ],
    ),
    read(
        "Ask_Human",
        "Asks people a question and waits for the answer.",
        &[
            must("question", ParamKind::Text, "the question"),
            may("options", ParamKind::Texts, "the answers to choose from; any text when missing"),
            may("expires", ParamKind::Duration, "how long it waits; 30m when missing, then the task fails"),
        ],
        &[text("answer", "what was answered"), text("by", "who answered")],
    ),
    read(
        "Wait",
        "Waits a time, or until a condition holds.",
        &[
            may("for", ParamKind::Duration, "how long; with `until`: how long that must hold without interruption"),
            may("until", ParamKind::Condition, "until this holds; its outputs are read again and again"),
            may("within", ParamKind::Duration, "with `until`: at most this long, then the task fails; 5m when missing"),
        ],
        &[number("waited_seconds", "how long it took")],
    ),
    read(
        "Verify",
        "Waits for a condition over earlier outputs; the read tasks that gave them are carried out again.",
        &[
            must("condition", ParamKind::Condition, "what must hold"),
            may("within", ParamKind::Duration, "at most this long, then the task fails; 60s when missing"),
            may("for", ParamKind::Duration, "how long it must hold without interruption; once when missing"),
            may("every", ParamKind::Duration, "time between readings; 2s when missing"),
        ],
        &[
            truth("holds", "always true: a verification that does not hold fails"),
            number("seconds", "how long it took"),
            object("readings", "the outputs as they were read last"),
        ],
    ),
    TaskType {
        name: "Sub_Playbook",
        doc: "Runs another playbook as a part of this one. That run has its own plan and asks for its own approvals; this task \
         waits for its end, and fails unless it is fixed or no_effect. `rollback: inverse` has that run take back what it \
         did, as its own tasks say. At most three playbooks in a line.",
        takes: Takes::These(&[
            must("playbook", ParamKind::Name, "its id"),
            may("parameters", ParamKind::Map, "its parameters"),
        ]),
        gives: Gives::These(&[
            text("outcome", "what it came to"),
            text("run", "its id"),
            text("why", "why, in a sentence"),
            truth("changed", "whether something that it changed stands, or may"),
            list("stays", "what it changed that stands, or may"),
        ]),
        risk: Risk::Read,
        doubt: REPEATED,
        reversible: true,
        action_line: false,
    },
    read(
        "Notification",
        "Tells people something.",
        &[
            must("message", ParamKind::Text, "what"),
            may("recipients", ParamKind::Texts, "who, besides the incident's thread"),
            may("channel", ParamKind::Text, "another channel"),
        ],
        &[
            truth("delivered", "whether it was handed over"),
            list("to", "whom it was handed over to"),
            list("not_delivered", "whom not, and why"),
        ],
    ),
];

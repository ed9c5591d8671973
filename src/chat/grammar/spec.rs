//! The table of commands: their words, what each takes, an example. Help, usage lines and completion read it; the
//! parser is written by hand and tests hold it to the table.

use std::fmt;

use crate::core::message::command::grammar as say;

/// A command's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the words are the design's; `spec` explains each")]
pub enum Verb {
    Help,
    Incidents,
    Show,
    Ack,
    Assign,
    Severity,
    Resolve,
    Reopen,
    Silence,
    Why,
    Ask,
    Logs,
    Metrics,
    Trace,
    Topology,
    Anomalies,
    Forecast,
    Capacity,
    Playbooks,
    Plan,
    Run,
    Runs,
    Pause,
    Resume,
    Cancel,
    Retry,
    Approve,
    Reject,
    Answer,
    Oncall,
    Timeline,
    Postmortem,
    Report,
    Feedback,
    Schedule,
    Usage,
    Health,
}

/// What kind of thing a place in a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A command's word.
    Command,
    /// `INC-7`.
    Incident,
    /// `RUN-3`.
    Run,
    /// A playbook's id.
    Playbook,
    /// `key=value` of a playbook.
    Parameter,
    /// A service's name.
    Service,
    /// `@ana`.
    Person,
    /// A team's name.
    Team,
    /// `service=order-service`.
    Matcher,
    /// A metric expression.
    Expression,
    /// A duration; these are offered.
    Span(&'static [&'static str]),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Anything.
    Text,
}

/// Whether a place must be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Exactly once.
    One,
    /// Once or not at all.
    Maybe,
    /// At least once.
    Some,
    /// Any number of times.
    Any,
}

/// One place of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arg {
    /// As usage shows it.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether it must be there.
    pub need: Need,
}

/// An option: `--plan HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// With its dashes.
    pub name: &'static str,
    /// As usage shows its value.
    pub value: &'static str,
    /// What its value is.
    pub kind: Kind,
}

/// One command: how it is said.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Which.
    pub verb: Verb,
    /// Its word.
    pub name: &'static str,
    /// Other words for it.
    pub aliases: &'static [&'static str],
    /// Its places in order.
    pub args: &'static [Arg],
    /// Its options.
    pub flags: &'static [Flag],
    /// A line that works.
    pub example: &'static str,
}

const fn arg(name: &'static str, kind: Kind, need: Need) -> Arg {
    Arg { name, kind, need }
}

/// The severities as people write them.
pub const LEVELS: &[&str] = &["Critical", "Warning", "Info"];
/// Which incidents.
pub const FILTERS: &[&str] = &["open", "all"];
/// What is done with a playbook's versions.
pub const BOOK_ACTS: &[&str] = &["history", "diff", "use"];
/// The version that a playbook's file has now.
pub const NEWEST: &str = "newest";
/// Whether a finding helped.
pub const VERDICTS: &[&str] = &["good", "bad"];

const INCIDENT: Arg = arg("INC-7", Kind::Incident, Need::Maybe);
const RUN: Arg = arg("RUN-3", Kind::Run, Need::One);
const REASON: Arg = arg("reason", Kind::Text, Need::Maybe);
const LOOK_BACK: Kind = Kind::Span(&["10m", "30m", "1h", "6h", "24h"]);
const LOOK_AHEAD: Kind = Kind::Span(&["24h", "7d"]);
const PLAN_FLAG: &[Flag] = &[Flag { name: "--plan", value: "HASH", kind: Kind::Text }];
const APPROVE_FLAGS: &[Flag] = &[PLAN_FLAG[0], Flag { name: "--break-glass", value: "REASON", kind: Kind::Text }];
const INCIDENT_FLAG: &[Flag] = &[Flag { name: "--incident", value: "INC-7", kind: Kind::Incident }];
const TASK_FLAG: &[Flag] = &[Flag { name: "--task", value: "TASK", kind: Kind::Text }];

const fn spec(verb: Verb, name: &'static str, args: &'static [Arg], example: &'static str) -> Spec {
    Spec { verb, name, aliases: &[], args, flags: &[], example }
}

/// All commands, in the order help shows them.
pub const SPECS: &[Spec] = &[
    Spec { aliases: &["?"], ..spec(Verb::Help, "help", &[arg("command", Kind::Command, Need::Maybe)], "help silence") },
    spec(Verb::Incidents, "incidents", &[arg("open|all", Kind::Choice(FILTERS), Need::Maybe)], "incidents all"),
    spec(Verb::Show, "show", &[INCIDENT], "show INC-7"),
    Spec { aliases: &["acknowledge"], ..spec(Verb::Ack, "ack", &[INCIDENT], "ack INC-7") },
    spec(Verb::Assign, "assign", &[INCIDENT, arg("@who", Kind::Person, Need::One)], "assign INC-7 @ana"),
    spec(
        Verb::Severity,
        "severity",
        &[INCIDENT, arg("Critical|Warning|Info", Kind::Choice(LEVELS), Need::One)],
        "severity INC-7 Warning",
    ),
    spec(Verb::Resolve, "resolve", &[INCIDENT], "resolve INC-7"),
    spec(Verb::Reopen, "reopen", &[INCIDENT], "reopen INC-7"),
    spec(
        Verb::Silence,
        "silence",
        &[arg("label=value", Kind::Matcher, Need::Some), arg("2h", Kind::Span(&["30m", "2h", "8h", "24h"]), Need::One)],
        "silence service=order-service,severity=Warning 2h",
    ),
    spec(Verb::Why, "why", &[INCIDENT], "why INC-7"),
    spec(Verb::Ask, "ask", &[arg("question", Kind::Text, Need::One)], "ask what changed in order-service since noon"),
    spec(
        Verb::Logs,
        "logs",
        &[
            arg("service", Kind::Service, Need::One),
            arg("30m", LOOK_BACK, Need::Maybe),
            arg("words", Kind::Text, Need::Any),
        ],
        "logs order-service 30m timeout",
    ),
    spec(
        Verb::Metrics,
        "metrics",
        &[arg("expression", Kind::Expression, Need::One), arg("1h", LOOK_BACK, Need::Maybe)],
        "metrics rate(http_requests_total{service=\"order-service\"}[5m]) 1h",
    ),
    spec(Verb::Trace, "trace", &[arg("id", Kind::Text, Need::One)], "trace 4bf92f3577b34da6a3ce929d0e0e4736"),
    spec(Verb::Topology, "topology", &[arg("service", Kind::Service, Need::One)], "topology order-service"),
    spec(Verb::Anomalies, "anomalies", &[arg("service", Kind::Service, Need::Maybe)], "anomalies"),
    spec(
        Verb::Forecast,
        "forecast",
        &[arg("metric", Kind::Expression, Need::One), arg("7d", LOOK_AHEAD, Need::Maybe)],
        "forecast disk_used_percent 7d",
    ),
    spec(Verb::Capacity, "capacity", &[arg("service", Kind::Service, Need::Maybe)], "capacity"),
    spec(
        Verb::Playbooks,
        "playbooks",
        &[
            arg("playbook", Kind::Playbook, Need::Maybe),
            arg("history|diff|use", Kind::Choice(BOOK_ACTS), Need::Maybe),
            arg("version", Kind::Text, Need::Any),
        ],
        "playbooks PB-Disk-Cleanup history",
    ),
    Spec {
        flags: INCIDENT_FLAG,
        ..spec(
            Verb::Plan,
            "plan",
            &[arg("playbook", Kind::Playbook, Need::One), arg("key=value", Kind::Parameter, Need::Any)],
            "plan PB-Disk-Cleanup service=order-service",
        )
    },
    Spec {
        flags: INCIDENT_FLAG,
        ..spec(
            Verb::Run,
            "run",
            &[arg("playbook", Kind::Playbook, Need::One), arg("key=value", Kind::Parameter, Need::Any)],
            "run PB-Disk-Cleanup service=order-service",
        )
    },
    spec(Verb::Runs, "runs", &[arg("RUN-3", Kind::Run, Need::Maybe)], "runs"),
    spec(Verb::Pause, "pause", &[RUN], "pause RUN-3"),
    spec(Verb::Resume, "resume", &[RUN], "resume RUN-3"),
    spec(Verb::Cancel, "cancel", &[RUN], "cancel RUN-3"),
    spec(Verb::Retry, "retry", &[RUN], "retry RUN-3"),
    Spec { flags: APPROVE_FLAGS, ..spec(Verb::Approve, "approve", &[RUN, REASON], "approve RUN-3") },
    Spec { flags: PLAN_FLAG, ..spec(Verb::Reject, "reject", &[RUN, REASON], "reject RUN-3 not during the sale") },
    Spec {
        flags: TASK_FLAG,
        ..spec(Verb::Answer, "answer", &[RUN, arg("answer", Kind::Text, Need::One)], "answer RUN-3 done")
    },
    spec(Verb::Oncall, "oncall", &[arg("team", Kind::Team, Need::Maybe)], "oncall"),
    spec(Verb::Timeline, "timeline", &[INCIDENT], "timeline INC-7"),
    spec(Verb::Postmortem, "postmortem", &[INCIDENT], "postmortem INC-7"),
    spec(Verb::Report, "report", &[arg("24h", Kind::Span(&["24h", "7d"]), Need::Maybe)], "report 24h"),
    spec(
        Verb::Feedback,
        "feedback",
        &[INCIDENT, arg("good|bad", Kind::Choice(VERDICTS), Need::One), arg("text", Kind::Text, Need::Maybe)],
        "feedback good the finding was right",
    ),
    spec(Verb::Schedule, "schedule", &[], "schedule"),
    spec(Verb::Usage, "usage", &[], "usage"),
    spec(Verb::Health, "health", &[], "health"),
];

impl Verb {
    /// The row of the table.
    #[must_use]
    pub fn spec(self) -> &'static Spec {
        // A test proves that every verb has its row; the first one stands in for the impossible.
        SPECS.iter().find(|spec| spec.verb == self).unwrap_or(&SPECS[0])
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.spec().name
    }

    /// All of them, in the order help shows them.
    pub fn all() -> impl Iterator<Item = Self> {
        SPECS.iter().map(|spec| spec.verb)
    }

    /// The verb that goes by this word, whatever its case.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        let is = |name: &str| name.eq_ignore_ascii_case(word);
        SPECS.iter().find(|spec| is(spec.name) || spec.aliases.iter().any(|alias| is(alias))).map(|spec| spec.verb)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Spec {
    /// How it is said: `approve <RUN-3> [--plan HASH] [--break-glass REASON] [reason]`.
    #[must_use]
    pub fn usage(&self) -> String {
        let mut usage = self.name.to_owned();
        // Options come before free text, since text takes the rest of the line.
        let text = self.args.iter().position(|arg| arg.kind == Kind::Text).unwrap_or(self.args.len());
        let (before, after) = self.args.split_at(text);
        for arg in before {
            usage.push_str(&arg.usage());
        }
        for flag in self.flags {
            usage.push_str(&format!(" [{} {}]", flag.name, flag.value));
        }
        for arg in after {
            usage.push_str(&arg.usage());
        }
        usage
    }

    /// What it does, one line.
    #[must_use]
    pub fn about(&self) -> String {
        say::about(self.name)
    }
}

impl Arg {
    fn usage(&self) -> String {
        let name = self.name;
        match self.need {
            Need::One => format!(" <{name}>"),
            Need::Maybe => format!(" [{name}]"),
            Need::Some => format!(" <{name} …>"),
            Need::Any => format!(" [{name} …]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn every_command_of_the_table_has_help_and_an_example_that_parses_to_it() {
        let mut seen = std::collections::BTreeSet::new();
        for spec in SPECS {
            assert!(seen.insert(spec.verb), "{} stands twice", spec.name);
            assert_eq!(spec.verb.spec().name, spec.name);
            assert!(!spec.about().is_empty(), "{} has no help", spec.name);
            let command = parse(spec.example).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(command.verb(), spec.verb, "{}", spec.example);
        }
    }

    #[test]
    fn the_words_of_the_design_are_all_there() {
        for word in "help incidents show ack assign severity resolve reopen silence why ask logs metrics trace topology anomalies \
                     forecast capacity playbooks plan run runs pause resume cancel retry approve reject oncall timeline \
                     postmortem report feedback schedule usage health"
            .split_whitespace()
        {
            assert!(Verb::find(word).is_some(), "{word}");
        }
    }

    #[test]
    fn usage_shows_what_must_and_what_may_be_said() {
        assert_eq!(Verb::Approve.spec().usage(), "approve <RUN-3> [--plan HASH] [--break-glass REASON] [reason]");
        assert_eq!(Verb::Silence.spec().usage(), "silence <label=value …> <2h>");
        assert_eq!(Verb::Plan.spec().usage(), "plan <playbook> [key=value …] [--incident INC-7]");
    }
}

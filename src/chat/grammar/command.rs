//! What can be said to Mayday, as types.

use std::collections::BTreeMap;

use super::spec::Verb;
use crate::alert::Severity;
use crate::core::duration::Span;
use crate::core::{IncidentId, RunId};

/// One command. Where an incident is optional, the one whose thread the command was said in is meant.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields are the grammar's words, explained in the module above")]
pub enum Command {
    /// What can be said, or how one command is said.
    Help { about: Option<Verb> },
    /// Incidents, newest first.
    Incidents { filter: Filter },
    /// One incident's card.
    Show { incident: Option<IncidentId> },
    /// "I am on it."
    Ack { incident: Option<IncidentId> },
    /// Makes someone the commander.
    Assign { incident: Option<IncidentId>, to: Who },
    /// Sets how bad it is.
    Severity { incident: Option<IncidentId>, severity: Severity },
    /// Ends it.
    Resolve { incident: Option<IncidentId> },
    /// Takes the end back.
    Reopen { incident: Option<IncidentId> },
    /// Keeps matching alerts quiet for a while.
    Silence { matchers: Vec<Matcher>, span: Span },
    /// The root cause as far as it is known.
    Why { incident: Option<IncidentId> },
    /// A question in plain words.
    Ask { question: String },
    /// Log lines of a service.
    Logs { service: String, span: Option<Span>, words: Vec<String> },
    /// A chart of an expression.
    Metrics { expression: String, span: Option<Span> },
    /// One trace.
    Trace { id: String },
    /// What a service calls and who calls it.
    Topology { service: String },
    /// What behaves unlike itself now.
    Anomalies { service: Option<String> },
    /// Where a metric goes.
    Forecast { expression: String, span: Option<Span> },
    /// What runs out, and when.
    Capacity { service: Option<String> },
    /// The playbooks, or one of them.
    Playbooks { playbook: Option<String>, act: BookAct },
    /// What a run would change.
    Plan { playbook: String, parameters: BTreeMap<String, String>, incident: Option<IncidentId> },
    /// Proposes a run.
    Run { playbook: String, parameters: BTreeMap<String, String>, incident: Option<IncidentId> },
    /// The runs, or one of them.
    Runs { run: Option<RunId> },
    /// Starts no further task until resumed.
    Pause { run: RunId },
    /// Goes on.
    Resume { run: RunId },
    /// Ends a run.
    Cancel { run: RunId },
    /// Starts failed tasks again.
    Retry { run: RunId },
    /// Lets a plan happen. `plan`: digest of what the person saw.
    Approve { run: RunId, plan: Option<String>, reason: Option<String> },
    /// `approve <run> [--plan HASH] --break-glass REASON`: an admin alone, past whom the policy asks for.
    BreakGlass { run: RunId, plan: Option<String>, reason: String },
    /// Refuses a plan.
    Reject { run: RunId, plan: Option<String>, reason: Option<String> },
    /// Answers what a run asks.
    Answer { run: RunId, task: Option<String>, answer: String },
    /// Who is on call.
    Oncall { team: Option<String> },
    /// What happened, in order.
    Timeline { incident: Option<IncidentId> },
    /// A draft of the write-up.
    Postmortem { incident: Option<IncidentId> },
    /// What happened lately, over all incidents.
    Report { span: Option<Span> },
    /// Whether a finding helped.
    Feedback { incident: Option<IncidentId>, verdict: Verdict, text: Option<String> },
    /// What is planned to happen.
    Schedule,
    /// Tokens and cost of the language model.
    Usage,
    /// How Mayday itself is.
    Health,
}

impl Command {
    /// The command's word.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Help { .. } => Verb::Help,
            Self::Incidents { .. } => Verb::Incidents,
            Self::Show { .. } => Verb::Show,
            Self::Ack { .. } => Verb::Ack,
            Self::Assign { .. } => Verb::Assign,
            Self::Severity { .. } => Verb::Severity,
            Self::Resolve { .. } => Verb::Resolve,
            Self::Reopen { .. } => Verb::Reopen,
            Self::Silence { .. } => Verb::Silence,
            Self::Why { .. } => Verb::Why,
            Self::Ask { .. } => Verb::Ask,
            Self::Logs { .. } => Verb::Logs,
            Self::Metrics { .. } => Verb::Metrics,
            Self::Trace { .. } => Verb::Trace,
            Self::Topology { .. } => Verb::Topology,
            Self::Anomalies { .. } => Verb::Anomalies,
            Self::Forecast { .. } => Verb::Forecast,
            Self::Capacity { .. } => Verb::Capacity,
            Self::Playbooks { .. } => Verb::Playbooks,
            Self::Plan { .. } => Verb::Plan,
            Self::Run { .. } => Verb::Run,
            Self::Runs { .. } => Verb::Runs,
            Self::Pause { .. } => Verb::Pause,
            Self::Resume { .. } => Verb::Resume,
            Self::Cancel { .. } => Verb::Cancel,
            Self::Retry { .. } => Verb::Retry,
            Self::Approve { .. } | Self::BreakGlass { .. } => Verb::Approve,
            Self::Reject { .. } => Verb::Reject,
            Self::Answer { .. } => Verb::Answer,
            Self::Oncall { .. } => Verb::Oncall,
            Self::Timeline { .. } => Verb::Timeline,
            Self::Postmortem { .. } => Verb::Postmortem,
            Self::Report { .. } => Verb::Report,
            Self::Feedback { .. } => Verb::Feedback,
            Self::Schedule => Verb::Schedule,
            Self::Usage => Verb::Usage,
            Self::Health => Verb::Health,
        }
    }
}

/// Which incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// Those that are not over.
    #[default]
    Open,
    /// Also those that are.
    All,
}

/// What is done with a playbook's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BookAct {
    /// It is shown.
    #[default]
    Show,
    /// Which versions there are.
    History,
    /// What changed: from a version (the one before the newest if left out) to another (the newest).
    Diff {
        /// The older one.
        from: Option<u32>,
        /// The newer one.
        to: Option<u32>,
    },
    /// A version is put in force.
    Use {
        /// Which; none: the newest again.
        version: Option<u32>,
    },
}

/// Whether a finding helped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Good,
    /// It did not.
    Bad,
}

/// A person as the speaker names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Who speaks.
    Me,
    /// A name or id, without `@`.
    Name(String),
}

/// One condition on an alert's label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// Which label.
    pub label: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub value: String,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Is,
    /// `!=`
    IsNot,
    /// `=~`, a regular expression over the whole value.
    Matches,
    /// `!~`
    MatchesNot,
}

impl Operator {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::Matches => "=~",
            Self::MatchesNot => "!~",
        }
    }
}

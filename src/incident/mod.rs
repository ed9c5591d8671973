//! Incidents: alerts that belong together, from the first one to the last one's end, with everything that happened.
//!
//! Everything that changes an incident is an [`Input`] in the durable inbox (a [`crate::work`] queue named `incident`),
//! applied by the holder of the group key's shard. `apply` is pure; its effects are queue items of the same commit.
//!
//! * [`Intake`] takes bodies (or alerts of Mayday's own rules) in: parsed, deduplicated, durable, queued.
//! * [`Service`] applies the inbox.
//! * [`Incidents`] is the handle for everyone else: reads, pages, and [`Incidents::act`].
//! * [`card::card`] shows an incident.
//!
//! In the store: `alert/<alert_id>`, `series/<source>-<fingerprint>` (only for senders that do not repeat a start),
//! `alert-incident/<alert_id>` → incident and class, `incident-alert/<n>/<class>-<alert_id>` (class 0, 1, 2 firing from
//! critical to info, 9 ended, so that one short scan tells what still fires), `incident/<n>`, `incident-open/<n>`,
//! `incident-held/<n>` (resolved by a person while alerts of it fire), `group/<shard>/<digest>`, `moment/<n>/<seq>`, `set-aside/<time>-…`, `heard/<integration>`.

mod acts;
mod apply;
mod backlog;
pub mod card;
mod counted;
mod fold;
mod group;
mod handle;
mod held;
mod intake;
mod keys;
mod links;
mod loaded;
mod options;
mod refusals;
mod runs;
mod series;
mod service;
mod set_aside;
mod taking;
#[cfg(test)]
mod tests;

pub use apply::Illegal;
pub use fold::{OpenIncident, Related, Relations};
pub use group::place;
pub use handle::{AlertView, Error, Incidents};
pub use intake::{Accepted, AlertRecord, Intake, Refused, Sender};
pub use options::Options;
pub use service::Service;
pub use set_aside::SetAside;

use serde::{Deserialize, Serialize};

use crate::access::{Actor, PersonId};
use crate::alert::{AlertId, Severity};
use crate::analysis::{Evidence, Finding};
use crate::chat::{ChannelId, Chart, Fact, PlanBox};
use crate::core::{IncidentId, RunId, Tainted, Timestamp};

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody has said yet that they are on it.
    Triggered,
    /// A person is on it.
    Acknowledged,
    /// The harm has stopped; alerts may still be ending.
    Mitigated,
    /// Over.
    Resolved,
    /// It came back within the window.
    Reopened,
}

/// One incident as it is stored and as `/api/v1/incidents` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// `INC-7`.
    pub id: IncidentId,
    /// What its alerts have in common, as text: `service_name=order-service`.
    pub group_key: String,
    /// Owner.
    pub team: String,
    /// Canonical service name, or the label as it came, or empty.
    pub service: Tainted,
    /// Where its card stands.
    pub channel: ChannelId,
    /// Lifecycle.
    pub phase: Phase,
    /// Worst of its firing alerts, or what a person set.
    pub severity: Severity,
    /// Whether a person set the severity (then alerts don't change it).
    pub severity_by_person: bool,
    /// What the worst alert that fires is called (the newest of them); of a resolved incident, the worst of its last episode.
    pub alert_name: Tainted,
    /// What the worst alert says.
    pub description: Tainted,
    /// Start of the earliest alert; after it came back, of the earliest since then.
    pub started_at: Timestamp,
    /// When Mayday made it.
    pub opened_at: Timestamp,
    /// First acknowledgement.
    pub acknowledged_at: Option<Timestamp>,
    /// When it ended; none while it is open.
    pub resolved_at: Option<Timestamp>,
    /// Who leads.
    pub commander: Option<PersonId>,
    /// Alerts that fire now.
    pub firing: u64,
    /// Alerts folded in so far.
    pub alerts: u64,
    /// The newest of them, at most 20.
    pub latest_alerts: Vec<AlertId>,
    /// The latest finding's conclusions, best first.
    pub findings: Vec<Finding>,
    /// The evidence they cite.
    pub evidence: Vec<Evidence>,
    /// What could not be seen, in words.
    pub not_seen: Vec<String>,
    /// The chart of the latest finding.
    pub chart: Option<Chart>,
    /// Runs proposed or made for it, newest last, at most 10.
    pub runs: Vec<RunBrief>,
    /// Grows with every change; the card's version.
    pub version: u64,
    /// What the lifecycle and the card need to know beside that.
    #[serde(default)]
    pub known: Known,
}

/// What the lifecycle and the card need to know beside an incident's own fields.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// Who acknowledged it first.
    pub acknowledged_by: Option<PersonId>,
    /// The worst severity of the episode that goes on, or was the last.
    pub worst: Option<Severity>,
    /// When the latest of the episode's alerts that have ended did, by what its sender says.
    pub last_end: Option<Timestamp>,
    /// When the fault was over, by what the alerts' senders say; none when a person ended it.
    pub over_at: Option<Timestamp>,
    /// When the harm stopped.
    pub mitigated_at: Option<Timestamp>,
    /// Host of the first alert: its address, else its name, else empty.
    pub host: Tainted,
    /// Kinds of alerts seen, at most 50: the name and its severity.
    pub kinds: Vec<(Tainted, Severity)>,
    /// The kinds of the episode that goes on, or was the last: by name, at most 50.
    pub episode: Vec<Kind>,
    /// When the episode before this one ended.
    pub calm_since: Option<Timestamp>,
    /// Numbers that the latest finding shows, at most 6.
    pub facts: Vec<Fact>,
    /// How many times it came back.
    pub reopened: u32,
    /// Moments written so far.
    pub moments: u64,
    /// Which other incident is its cause, and which suffer from it.
    pub relations: Relations,
    /// The newest run of each playbook, also of those whose brief is not kept any more. As many as there are playbooks.
    #[serde(default)]
    pub newest_runs: std::collections::BTreeMap<String, RunId>,
}

/// One kind of alert in an episode: from the first alert to the last one's end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kind {
    /// The alerts' name.
    pub name: Tainted,
    /// How bad the worst of them is.
    pub severity: Severity,
    /// How many fire now.
    pub firing: u64,
    /// Start of the earliest of them.
    pub since: Timestamp,
    /// Start of the newest of them.
    pub newest: Timestamp,
    /// The newest value that one of them carried.
    pub value: Option<f64>,
    /// Its unit, when the sender writes one.
    pub unit: Option<String>,
    /// What the newest of them says, at most 600 bytes.
    pub says: Tainted,
    /// Which run fixed what these alerts are about, and when: they may still be ending.
    #[serde(default)]
    pub fixed: Option<(RunId, Timestamp)>,
}

/// A run as the incident's card shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunBrief {
    /// `RUN-3`.
    pub run: RunId,
    /// The playbook's id.
    pub playbook: String,
    /// The run's state and, when ended, its outcome, as words: `proposed`, `running`, `fixed`.
    pub state: String,
    /// Whether it has ended.
    pub ended: bool,
    /// Grows with the run's journal: an older brief never replaces a newer one.
    pub version: u64,
    /// How the card shows it.
    pub plan: PlanBox,
    /// Who has approved so far, in the order they did.
    #[serde(default)]
    pub approved_by: Vec<PersonId>,
    /// The standing policies that allowed its changes, in their order.
    #[serde(default)]
    pub allowed_by: Vec<String>,
    /// Why it ended as it did: who rejected it, what failed.
    #[serde(default)]
    pub why: Option<String>,
    /// What the alert is called that it was proposed for; none for a run that a person started.
    #[serde(default)]
    pub alert_name: Option<Tainted>,
    /// The run that it is a part of.
    #[serde(default)]
    pub part_of: Option<RunId>,
}

/// Everything that changes an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "input")]
pub enum Input {
    /// Accepted alerts of one group key (they stand in the store under their ids).
    Alerts {
        /// The group key they share.
        group_key: String,
        /// Which, in the order they came.
        alerts: Vec<AlertSeen>,
    },
    /// A person (or Mayday) did something to a known incident.
    Act {
        /// Which incident.
        incident: IncidentId,
        /// Who.
        by: Actor,
        /// What.
        act: Act,
    },
    /// Diagnosis has something to show.
    Found {
        /// Which incident.
        incident: IncidentId,
        /// Conclusions, best first.
        findings: Vec<Finding>,
        /// Evidence behind them.
        evidence: Vec<Evidence>,
        /// What could not be seen.
        not_seen: Vec<String>,
        /// A picture.
        chart: Option<Chart>,
        /// Numbers worth showing.
        #[serde(default)]
        facts: Vec<Fact>,
        /// The service that is the cause, if it is not the incident's own.
        #[serde(default)]
        cause: Option<String>,
    },
    /// A run for this incident moved.
    Run {
        /// Which incident.
        incident: IncidentId,
        /// How it stands now.
        brief: Box<RunBrief>,
    },
    /// Its cause has an incident of its own (none: no longer).
    SuffersFrom {
        /// Which incident suffers.
        incident: IncidentId,
        /// From which.
        cause: Option<Related>,
    },
    /// Another incident suffers from this one, or no longer does.
    Sufferer {
        /// Which incident is the cause.
        incident: IncidentId,
        /// Which suffers.
        other: Related,
        /// Whether it does now.
        suffers: bool,
    },
}

/// An alert's change as the incident needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertSeen {
    /// Which.
    pub alert_id: AlertId,
    /// Its status in this message.
    pub status: crate::alert::Status,
    /// How bad it is.
    pub severity: Severity,
    /// When it started.
    pub start: Timestamp,
    /// What it is called.
    pub name: Tainted,
    /// When it ended, if it did and its sender says when.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// When it was received, if it is known already and this only repeats that it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated_at: Option<Timestamp>,
}

/// What a person can do to an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act")]
pub enum Act {
    /// "I am on it."
    Acknowledge,
    /// Gives it to someone.
    Assign {
        /// The new commander.
        to: PersonId,
    },
    /// Sets how bad it is.
    SetSeverity {
        /// How bad.
        severity: Severity,
    },
    /// Ends it.
    Resolve,
    /// Takes the end back.
    Reopen,
    /// A line for the timeline.
    Note {
        /// What.
        text: Tainted,
    },
}

/// One thing that happened, for `timeline` and reports; stored under the incident, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// One sentence.
    pub says: String,
}

/// What the upper rooms should look at; items of the `signal` queue, committed with the change that caused them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "signal")]
pub enum Signal {
    /// A new (or reopened) incident: diagnose it, look for a playbook.
    Opened {
        /// Which.
        incident: IncidentId,
        /// The alert that opened it.
        alert: AlertId,
    },
    /// One more alert series joined an open incident: a playbook may match now.
    Joined {
        /// Which.
        incident: IncidentId,
        /// The alert that joined.
        alert: AlertId,
    },
    /// It ended.
    Resolved {
        /// Which.
        incident: IncidentId,
    },
    /// It was folded into its cause's incident: what was proposed for it has no reason any more.
    Folded {
        /// Which.
        incident: IncidentId,
    },
}

impl Phase {
    /// Whether an incident in this phase is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Resolved)
    }

    /// As people read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Acknowledged => "acknowledged",
            Self::Mitigated => "mitigated",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
        }
    }
}

impl Incident {
    /// When the fault was over: when its last alert ended, which Mayday may have heard later; else when it was resolved.
    /// None while it is open.
    #[must_use]
    pub fn over_at(&self) -> Option<Timestamp> {
        let resolved = self.resolved_at.filter(|_| self.phase.is_over())?;
        Some(self.known.over_at.unwrap_or(resolved))
    }

    /// From the first alert's start to the end, of the last episode; none while it is open.
    #[must_use]
    pub fn time_to_resolve(&self) -> Option<std::time::Duration> {
        let resolved = self.over_at()?;
        std::time::Duration::try_from(resolved.duration_since(self.started_at)).ok()
    }
}

impl Incident {
    /// The newest run of a playbook for this incident, whether or not its brief is still kept.
    #[must_use]
    pub fn newest_run(&self, playbook: &str) -> Option<RunId> {
        let kept = self.runs.iter().filter(|run| run.playbook == playbook).map(|run| run.run);
        kept.chain(self.known.newest_runs.get(playbook).copied()).max()
    }
}

impl Known {
    /// The kinds to speak of, worst first, then newest: those that fire, or all of the episode when none does.
    #[must_use]
    pub fn kinds_now(&self) -> Vec<&Kind> {
        let fires = self.episode.iter().any(|kind| kind.firing > 0);
        let mut kinds: Vec<&Kind> = self.episode.iter().filter(|kind| kind.firing > 0 || !fires).collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse((kind.severity, kind.newest)));
        kinds
    }
}

impl crate::store::Record for Incident {}
impl crate::store::Record for Input {}
impl crate::store::Record for Moment {}
impl crate::store::Record for Signal {}

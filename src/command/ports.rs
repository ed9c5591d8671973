//! What the desk asks of the rooms below, as small traits, so that tests can answer in their place. `wire.rs` implements
//! them for the real rooms.

use std::collections::BTreeMap;

use crate::access::{Actor, Person};
use crate::alert::Alert;
use crate::chat::Card;
use crate::core::{BoxFuture, IncidentId, Timestamp};
use crate::heal::Explained;
use crate::incident::{Act, Incident, Moment};
use crate::ops::health::Report;
use crate::ops::schedule::Listed;
use crate::playbook::engine::Preview;
use crate::playbook::versions::{History, Version};

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum No {
    /// It can't be done so; a sentence for the person.
    Refused(String),
    /// Something inside failed.
    Broken(String),
}

impl From<crate::store::Error> for No {
    fn from(error: crate::store::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Incidents: read, and what a person does to them.
pub trait Incidents: Send + Sync + 'static {
    /// One incident.
    fn get(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, No>>;
    /// Newest first, only those that are not over if `open`.
    fn list(&self, open: bool, limit: usize) -> BoxFuture<'_, Result<Vec<Incident>, No>>;
    /// What happened, oldest first: the newest `limit` moments.
    fn timeline(&self, id: IncidentId, limit: usize) -> BoxFuture<'_, Result<Vec<Moment>, No>>;
    /// Does something to an incident; when this returns it is done and durable.
    fn act(&self, id: IncidentId, by: Actor, act: Act) -> BoxFuture<'_, Result<Incident, No>>;
    /// The newest alert of an incident.
    fn newest_alert<'a>(&'a self, incident: &'a Incident) -> BoxFuture<'a, Result<Option<Alert>, No>>;
    /// As the channel shows it.
    fn card(&self, incident: &Incident, now: Timestamp) -> Card;
}

/// The loaded playbooks.
pub trait Playbooks: Send + Sync + 'static {
    /// All, by id.
    fn all(&self) -> Vec<PlaybookBrief>;
    /// One, whatever the case of its id.
    fn find(&self, id: &str) -> Option<PlaybookBrief> {
        self.all().into_iter().find(|playbook| playbook.id.eq_ignore_ascii_case(id))
    }
    /// Its versions, oldest first.
    fn history<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<History, No>>;
    /// What changed from one version to another; empty when nothing has.
    fn diff<'a>(&'a self, id: &'a str, from: u32, to: u32) -> BoxFuture<'a, Result<String, No>>;
    /// Puts a version in force, or the newest again.
    fn choose<'a>(&'a self, id: &'a str, version: Option<u32>, by: Actor) -> BoxFuture<'a, Result<Version, No>>;
    /// The values a run would have with these given ones; a sentence if they don't fit.
    fn resolve(
        &self,
        id: &str,
        given: &BTreeMap<String, String>,
        alert: Option<&Alert>,
    ) -> Result<BTreeMap<String, String>, String>;
}

/// What is needed of the engine to say what a playbook would do.
pub trait Plans: Send + Sync + 'static {
    /// What each task would do here and now, with these values, for this alert if there is one.
    fn preview<'a>(
        &'a self,
        id: &'a str,
        given: &'a BTreeMap<String, String>,
        alert: Option<&'a Alert>,
    ) -> BoxFuture<'a, Result<Vec<Preview>, No>>;
}

/// A playbook as people read it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PlaybookBrief {
    /// `PB-Disk-Cleanup`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its version.
    pub version: String,
    /// What it is proposed for, in words: `Disk_Full of any service, Warning`.
    pub triggers: Vec<String>,
    /// Its parameters.
    pub parameters: Vec<ParameterBrief>,
    /// Its tasks, in order.
    pub tasks: Vec<TaskBrief>,
}

/// A parameter of a playbook.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ParameterBrief {
    /// Its name.
    pub name: String,
    /// Its type: `string`, `number`, `boolean` …
    pub kind: String,
    /// As text; without one it is required.
    pub default: Option<String>,
    /// What it is.
    pub says: String,
    /// Whether its value names a service: a task takes it as one.
    pub names_service: bool,
}

/// A task of a playbook.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TaskBrief {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its type: `Service_Restart`.
    pub kind: String,
    /// How much harm it can do: `read`, `disruptive` …; empty if not known.
    pub risk: String,
}

/// What is planned to happen.
pub trait Schedules: Send + Sync + 'static {
    /// All schedules with their next times, by name.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, No>>;
}

/// Looks for causes now; what is found also comes to the incident's card.
pub trait Causes: Send + Sync + 'static {
    /// What is known now.
    fn look<'a>(&'a self, incident: &'a Incident) -> BoxFuture<'a, Result<Explained, No>>;
}

/// Who is known here.
pub trait People: Send + Sync + 'static {
    /// By id (`web:ana`, `ana`) or name, whatever the case.
    fn find(&self, name: &str) -> Option<Person>;
    /// All.
    fn all(&self) -> Vec<Person>;
}

/// Writes down who did what.
pub trait Audits: Send + Sync + 'static {
    /// Durable when this returns.
    fn record(&self, said: Said) -> BoxFuture<'_, Result<(), String>>;
}

/// A command that changes something, as the audit keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who, and who as whom.
    pub by: Actor,
    /// The command's word.
    pub verb: &'static str,
    /// The incident or run it is about; empty if none.
    pub subject: String,
    /// The whole line.
    pub line: String,
    /// Where it was said.
    pub place: Option<String>,
}

/// How Mayday itself is.
pub trait Healths: Send + Sync + 'static {
    /// Every part, now.
    fn report(&self) -> BoxFuture<'_, Report>;
}

//! What the loop asks of the rooms below, as small traits, so that tests can answer in their place.

use crate::alert::{Alert, AlertId};
use crate::analysis::{Evidence, Finding};
use crate::chat::{Chart, Fact};
use crate::core::{BoxFuture, IncidentId};
use crate::incident::Incident;
use crate::store;

/// Reads incidents and their alerts.
pub trait Incidents: Send + Sync + 'static {
    /// One incident.
    fn incident(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, store::Error>>;
    /// One alert.
    fn alert<'a>(&'a self, id: &'a AlertId) -> BoxFuture<'a, Result<Option<Alert>, store::Error>>;
}

/// Knows which playbook fits an alert.
pub trait Triggers: Send + Sync + 'static {
    /// The most specific match.
    ///
    /// # Errors
    /// [`NoMatch`]: none fits; with a sentence if that may be a mistake (a trigger needs a value the alert lacks).
    fn best(&self, alert: &Alert) -> Result<Chosen, NoMatch>;
}

/// A playbook that fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// Its id.
    pub playbook: String,
}

/// No playbook fits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoMatch {
    /// What a person should know about it; most alerts simply have no playbook.
    pub notes: Vec<String>,
}

/// Looks for the cause of an incident in metrics, logs and processes.
pub trait Explains: Send + Sync + 'static {
    /// What is known now. Never fails: what a source did not say stands in `not_seen`.
    fn explain<'a>(&'a self, incident: &'a Incident) -> BoxFuture<'a, Explained>;
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Explained {
    /// Conclusions, best first.
    pub findings: Vec<Finding>,
    /// Evidence behind them.
    pub evidence: Vec<Evidence>,
    /// What could not be seen, in words.
    pub not_seen: Vec<String>,
    /// A picture.
    pub chart: Option<Chart>,
    /// Numbers worth showing.
    pub facts: Vec<Fact>,
}

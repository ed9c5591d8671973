//! What the loop asks of the rooms below, as small traits, so that tests can answer in their place.

use crate::alert::{Alert, AlertId};
use crate::core::{BoxFuture, IncidentId};
use crate::incident::{Incident, OpenIncident};
use crate::store;

/// What a search came to.
pub use crate::diagnose::Explained;

/// Reads incidents and their alerts.
pub trait Incidents: Send + Sync + 'static {
    /// One incident.
    fn incident(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, store::Error>>;
    /// How the newest open incidents stand to others, at most `limit`.
    fn open(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OpenIncident>, store::Error>>;
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
    /// Whether one of its parameters is a service: then the alert must be about one of the catalogue.
    pub names_service: bool,
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

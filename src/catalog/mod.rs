//! The service catalogue: everything that needs to know "what is payment-gateway?" asks here.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Canonical name.
    pub name: String,
    /// Other names it goes by in alerts and logs.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The team that owns it.
    pub team: String,
    /// Channel its incidents are shown in; the team's when missing.
    #[serde(default)]
    pub channel: Option<String>,
    /// `http://127.0.0.1:8080`; what API_Call paths are relative to.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Health path below the base URL.
    #[serde(default)]
    pub health_path: Option<String>,
    /// Services it calls.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Labels that select its metrics: `{service: order-service}`.
    #[serde(default)]
    pub metrics: BTreeMap<String, String>,
    /// How it is restarted.
    #[serde(default)]
    pub restart: Option<Restart>,
    /// Folders that Disk_Cleanup may empty for it.
    #[serde(default)]
    pub cleanup: Vec<CleanupFolder>,
    /// What its users do with it: `checkout`.
    #[serde(default)]
    pub journey: Option<String>,
    /// What a minute of outage costs.
    #[serde(default)]
    pub cost_per_minute: Option<f64>,
    /// Where people read how to repair it.
    #[serde(default)]
    pub runbook: Option<String>,
}

/// How a service is restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// A process that Mayday started itself (`watch.processes`), by its name.
    Process(String),
    /// A program with fixed arguments (no shell), for instance `[systemctl, restart, order-service]`.
    Program(Vec<String>),
}

/// A folder that may be cleaned, and what in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanupFolder {
    /// Absolute path.
    pub path: PathBuf,
    /// Only names that match one of these patterns (`*.log.*`, `tmp-*`).
    pub patterns: Vec<String>,
    /// Only files not changed for this long.
    #[serde(default)]
    pub older_than: crate::core::duration::Span,
}

/// All services, found by name or alias, whatever the case.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    services: Vec<Service>,
    by_name: HashMap<String, usize>,
}

impl Catalog {
    /// Builds the index.
    ///
    /// # Errors
    /// A name or alias that two services claim.
    pub fn new(services: Vec<Service>) -> Result<Self, Error> {
        let mut by_name = HashMap::new();
        for (index, service) in services.iter().enumerate() {
            for name in std::iter::once(&service.name).chain(&service.aliases) {
                if let Some(other) = by_name.insert(name.to_lowercase(), index)
                    && other != index
                {
                    return Err(Error::Ambiguous {
                        name: name.clone(),
                        first: services[other].name.clone(),
                        second: service.name.clone(),
                    });
                }
            }
        }
        Ok(Self { services, by_name })
    }

    /// The service that goes by this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Service> {
        self.by_name.get(&name.trim().to_lowercase()).map(|index| &self.services[*index])
    }

    /// All services, as configured.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }
}

/// What can be wrong with a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two services claim one name.
    #[error("`{name}` names both {first} and {second}; remove it from one of them")]
    Ambiguous {
        /// The name.
        name: String,
        /// One service.
        first: String,
        /// The other.
        second: String,
    },
}

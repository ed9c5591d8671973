//! The one configuration file: every room's `Options`, read with precise errors, and assembled into a running bot.
//!
//! Architecture Invariant: rooms never read the configuration; they are given their `Options`.

pub mod assemble;
pub mod check;
pub mod database;
pub mod diagnostic;
mod expand;
pub mod load;
pub mod reader;
pub mod tree;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::Deserialize;

pub use diagnostic::{Code, Diagnostic};
pub use load::{from_bytes, load};

/// A whole, commented configuration that passes `check`.
pub const EXAMPLE: &str = include_str!("example.yaml");

/// `mayday.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the store, the token file and the series.
    #[serde(default = "default_data")]
    pub data: PathBuf,
    /// What Mayday writes about itself.
    #[serde(default)]
    pub log: LogOptions,
    /// The one listener.
    #[serde(default)]
    pub http: crate::http::Options,
    /// Who may sign in.
    #[serde(default)]
    pub access: crate::access::Options,
    /// The service catalogue.
    #[serde(default)]
    pub services: Vec<crate::catalog::Service>,
    /// What Mayday looks at by itself.
    #[serde(default)]
    pub watch: crate::watch::Options,
    /// How alerts become incidents.
    #[serde(default)]
    pub incidents: crate::incident::Options,
    /// How far causes are looked for.
    #[serde(default)]
    pub diagnose: crate::diagnose::Options,
    /// What follows when an incident opens, and how repairs are proposed.
    #[serde(default)]
    pub heal: crate::heal::Options,
    /// How playbooks run, and where the team's own ones stand.
    #[serde(default)]
    pub playbooks: crate::playbook::Options,
    /// What playbooks may reach.
    #[serde(default)]
    pub actions: crate::action::Options,
    /// How commands behave.
    #[serde(default)]
    pub commands: crate::command::Options,
    /// The web channel's memory.
    #[serde(default)]
    pub web: crate::chat::web::Options,
    /// How posts reach their chat.
    #[serde(default)]
    pub delivery: crate::chat::outbox::Options,
    /// Playbooks and jobs at set times.
    #[serde(default)]
    pub schedules: Vec<crate::ops::schedule::Options>,
    /// Who looks afterwards whether what should have happened did.
    #[serde(default)]
    pub auditor: crate::ops::auditor::Options,
    /// The store.
    #[serde(default)]
    pub store: crate::store::Options,
    /// Metrics and baselines.
    #[serde(default)]
    pub series: crate::store::series::Options,
}

/// What Mayday writes about itself to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogOptions {
    /// Which lines: `info`, or per room `warn,mayday::playbook=debug`. `MAYDAY_LOG` overrides it.
    pub filter: String,
    /// How they look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for log shippers.
    Json,
}

impl Default for LogOptions {
    fn default() -> Self {
        // Quiet: what a person must know stands on a card; what goes wrong inside is a warning.
        Self { filter: "warn".to_owned(), format: LogFormat::Text }
    }
}

fn default_data() -> PathBuf {
    PathBuf::from("mayday-data")
}

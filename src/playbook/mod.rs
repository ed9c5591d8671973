//! Playbooks: the language, its checks, triggers, plans, and the engine that runs them with a durable journal.
//!
//! Architecture Invariant: the engine knows the [`Action`] trait and nothing of what actions do.
//! Architecture Invariant: event, folded status and runtime state are three types.

pub mod action;
pub mod authoring;
pub mod book;
mod check;
mod children;
pub mod condition;
pub mod diagnostic;
pub mod engine;
pub mod faults;
pub mod library;
pub mod measure;
pub mod model;
mod names;
pub mod notices;
pub mod options;
mod order;
mod pace;
pub mod parameters;
mod places;
mod read;
mod reference;
pub mod registry;
pub mod run;
mod schema;
mod shape;
pub mod span;
pub mod tasks;
pub mod testing;
pub mod text;
pub mod trigger;
pub mod versions;
pub mod view;
mod yaml;

pub use action::{Action, Intent, Perform, Planned, Probe, Settle};
pub use book::Book;
pub use diagnostic::Diagnostic;
pub use engine::{Engine, Parts, Service};
pub use faults::Faults;
pub use library::Library;
pub use notices::{Notice, NoticeKind, Notices, QueuedNotices};
pub use options::Options;
pub use registry::Registry;
pub use trigger::Match;
pub use versions::Versions;
pub use view::{ProposeRequest, Proposed, RunState, RunView, Runs, TaskState};

/// What can go wrong when asking the engine.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such playbook, with the nearest names.
    #[error("there is no playbook `{name}`{}", .near.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    NoPlaybook {
        /// What was asked for.
        name: String,
        /// The nearest name.
        near: Option<String>,
    },
    /// No such run.
    #[error("there is no run {0}")]
    NoRun(crate::core::RunId),
    /// The parameters don't fit the playbook's.
    #[error("{0}")]
    BadParameters(String),
    /// The guards (cooldown, quota, concurrency key) forbid it now.
    #[error("{0}")]
    NotNow(String),
    /// The engine does not carry out something that the playbook asks for.
    #[error("{0}")]
    NotHere(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

/// A run's journal grew; an item of the `run-changed` queue, in the commit that wrote the journal.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RunChanged {
    /// Which run.
    pub run: crate::core::RunId,
    /// For which incident.
    pub incident: Option<crate::core::IncidentId>,
}

impl crate::store::Record for RunChanged {}

//! What tasks do: one file per action kind, each an implementation of [`Action`].
//!
//! Every action plans against the live system without changing it, puts an absolute target into the plan, checks that
//! target again right before its effect, and says how an intent in doubt is settled after a crash.
//!
//! `Verify`, and `Wait` until a condition, are the engine's own: only it can carry out earlier read tasks again.
//!
//! Architecture Invariant: nothing here decides whether it may run; it is only called with a right that `access/` made.
//! Architecture Invariant: what may be called, run or removed comes from the configuration, never from a playbook.

pub mod api_call;
pub mod ask_human;
pub mod disk_cleanup;
pub mod fetch;
pub mod gate;
pub mod here;
pub mod log_aggregation;
pub mod metric_query;
pub mod notification;
mod off_loop;
pub mod program;
pub mod run_command;
pub mod service_restart;
mod supervised;
mod trust;
pub mod wait;

use std::net::SocketAddr;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use notification::Mailer;
pub use run_command::Command;
pub use service_restart::{ProcessControl, ProcessState};

use crate::catalog::Catalog;
use crate::core::SharedClock;
use crate::core::duration::Span;
use crate::playbook::Action;
use crate::playbook::action::{Error, Planned};
use crate::source;
use crate::store::SharedStore;

/// `actions:` of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where API_Call paths without a service go: `http://127.0.0.1:8080`.
    pub default_api: Option<String>,
    /// Hosts that API_Call may reach besides the default API and the catalogue's base URLs: `host` or `host:port`, exactly.
    pub api_hosts: Vec<String>,
    /// How long one HTTP call may take.
    pub api_timeout: Span,
    /// Largest answer of an HTTP call, bytes.
    pub api_max_bytes: usize,
    /// Programs that Run_Command may run.
    pub commands: Vec<Command>,
    /// Most files that one Disk_Cleanup removes.
    pub cleanup_max_files: usize,
    /// Channel of a Notification that belongs to no incident.
    pub notification_channel: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            default_api: None,
            api_hosts: Vec::new(),
            api_timeout: Span::from_secs(10),
            api_max_bytes: 1024 * 1024,
            commands: Vec::new(),
            cleanup_max_files: 2000,
            notification_channel: "incidents".to_owned(),
        }
    }
}

/// What actions work with.
#[derive(Clone)]
pub struct Deps {
    /// Services: base URLs, how to restart them, folders to clean.
    pub catalog: Arc<Catalog>,
    /// Reads logs.
    pub logs: Arc<dyn source::Logs>,
    /// Reads metrics.
    pub metrics: Arc<dyn source::Metrics>,
    /// Restarts what Mayday started; none where nothing is.
    pub processes: Option<Arc<dyn ProcessControl>>,
    /// Sends mail; none where no server is configured.
    pub mail: Option<Arc<dyn Mailer>>,
    /// For Notification's posts.
    pub store: SharedStore,
    /// The clock.
    pub clock: SharedClock,
    /// What this machine is called, where several replicas may act; none where Mayday is alone.
    pub machine: Option<String>,
    /// Mayday's own listener, which playbooks may only call where it is listed.
    pub own_listener: Option<SocketAddr>,
    /// The configuration.
    pub options: Options,
}

/// A mistake in the configuration of actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `actions.commands[2]`, `services[0].restart`.
    pub path: String,
    /// What, and the fix.
    pub why: String,
}

impl Problem {
    fn at(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

/// What is wrong with the configuration of actions: every mistake, each with its fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct BadOptions(pub Vec<Problem>);

/// Every mistake in the options and in what the catalogue says for actions.
#[must_use]
pub fn problems(options: &Options, catalog: &Catalog) -> Vec<Problem> {
    let mut wrong = gate::Gate::new(options, catalog, None).err().unwrap_or_default();
    wrong.extend(run_command::check(&options.commands).err().unwrap_or_default());
    wrong.extend(disk_cleanup::check(catalog));
    wrong.extend(service_restart::check(catalog));
    wrong
}

/// All executors of this installation, for the engine's registry.
///
/// # Errors
/// [`BadOptions`]: every mistake in the options and in what the catalogue says for actions.
pub fn all(deps: &Deps) -> Result<Vec<Arc<dyn Action>>, BadOptions> {
    let bad = BadOptions(problems(&deps.options, &deps.catalog));
    if !bad.0.is_empty() {
        return Err(bad);
    }
    let (options, wrong) = (&deps.options, |why: String| BadOptions(vec![Problem::at("actions", why)]));
    let gate = gate::Gate::new(options, &deps.catalog, deps.own_listener).map_err(BadOptions)?;
    let commands = run_command::check(&options.commands).map_err(BadOptions)?;
    let fetcher = fetch::Fetcher::new(gate, options.api_timeout.0, options.api_max_bytes).map_err(wrong)?;
    let here = here::Here::new(deps.machine.clone());
    Ok(vec![
        Arc::new(api_call::ApiCall::new(fetcher, deps.catalog.clone(), deps.options.default_api.clone())),
        Arc::new(log_aggregation::LogAggregation::new(deps.logs.clone(), deps.catalog.clone())),
        Arc::new(metric_query::MetricQuery::new(deps.metrics.clone())),
        Arc::new(service_restart::ServiceRestart::new(deps.catalog.clone(), deps.processes.clone()).on(here.clone())),
        Arc::new(run_command::RunCommand::new(commands).on(here.clone())),
        Arc::new(disk_cleanup::DiskCleanup::new(deps.catalog.clone(), deps.options.cleanup_max_files).on(here)),
        Arc::new(notification::Notification::new(
            deps.store.clone(),
            deps.clock.clone(),
            deps.mail.clone(),
            deps.options.notification_channel.clone(),
        )),
        Arc::new(ask_human::AskHuman),
        Arc::new(wait::Wait),
    ])
}

/// A task's parameters as the type its action wants.
fn parameters<T: DeserializeOwned>(kind: &str, value: &Value) -> Result<T, Error> {
    serde_json::from_value(value.clone()).map_err(|error| Error::Permanent(format!("{kind}: {error}")))
}

/// A target as this version of the action wrote it.
fn target<T: DeserializeOwned>(kind: &str, value: &Value) -> Result<T, Error> {
    serde_json::from_value(value.clone())
        .map_err(|error| Error::Permanent(format!("{kind}: the stored target can't be read: {error}")))
}

/// A value as JSON. The types of this room always have a form; if one had not, it would be null and refused when read.
fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The plan of a task that changes nothing.
fn reading(object: impl Into<String>, target: Value) -> Planned {
    Planned {
        object: object.into(),
        changes: Vec::new(),
        target,
        radius: "reads only".to_owned(),
        undo: None,
        details: Vec::new(),
    }
}

#[cfg(test)]
mod testing;

//! The self-healing loop, as far as it goes today: an incident opens → its cause is looked for and the playbook that
//! matches best is proposed; a run moves → the incident's card shows it.
//!
//! Four durable queues, each with its own loop, so that a slow search never holds back a proposal:
//! * `signal` (written by `incident/`): what opened, what joined, what is over;
//! * `investigate` (written here): look for the cause of an incident, now or later;
//! * `run-changed` (written by the engine's journal): show how a run stands;
//! * `notice` (written by the engine's journal): tell the incident's thread.
//!
//! Architecture Invariant: nothing here changes anything outside; it proposes, and the engine asks for the right.
//! Architecture Invariant: an incident is changed only through its inbox (`incident::Input`).

mod box_text;
pub mod brief;
mod fold;
pub mod investigate;
mod notices;
pub mod ports;
mod progress;
mod run_card;
mod signals;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use brief::brief;
pub use investigate::{Investigate, Investigator};
pub use ports::{Chosen, Explained, Explains, Incidents, NoMatch, Triggers};
pub use wire::names_service;

use crate::catalog::Catalog;
use crate::chat::ChannelId;
use crate::core::SharedClock;
use crate::core::duration::Span;
use crate::core::stop::Stop;
use crate::incident::{self, Input, Signal};
use crate::playbook::notices::{Notice, QueuedNotices};
use crate::playbook::{RunChanged, RunView, Runs};
use crate::store::SharedStore;
use crate::work::{Leases, Queue, serve};

/// How the loop behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// A search for the cause ends after this long; the card then says that it found none in time.
    pub search_deadline: Span,
    /// A young incident is looked at once more after this long, when more of it can be seen.
    pub second_look: Span,
    /// So many searches run at the same time; others wait in their queue.
    pub searches: usize,
    /// Whether matching playbooks are proposed. Nothing is changed without an approval either way.
    pub propose: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { search_deadline: Span::from_secs(8), second_look: Span::from_secs(10), searches: 4, propose: true }
    }
}

/// What the loop needs from other rooms.
#[derive(Clone)]
pub struct Deps {
    /// Where queues and records are.
    pub store: SharedStore,
    /// Time.
    pub clock: SharedClock,
    /// Reads incidents and alerts.
    pub incidents: Arc<dyn Incidents>,
    /// The engine.
    pub runs: Arc<dyn Runs>,
    /// Which playbook fits an alert.
    pub triggers: Arc<dyn Triggers>,
    /// Looks for causes.
    pub explains: Arc<dyn Explains>,
    /// Which services there are.
    pub catalog: Arc<Catalog>,
    /// Where teams and services are spoken of: there a run without an incident is shown.
    pub places: incident::Options,
}

impl Deps {
    /// Whose a run without an incident is, and the channel that it belongs to: of the service it is for.
    fn place(&self, view: Option<&RunView>) -> (String, ChannelId) {
        let known = |value: &serde_json::Value| self.catalog.find(value.as_str()?);
        let of = |view: &RunView| {
            let named = view.parameters.get("service").and_then(known);
            named.or_else(|| view.parameters.values().find_map(known)).cloned()
        };
        incident::place(view.and_then(of).as_ref(), &self.places)
    }
}

/// The loop.
pub struct Service {
    deps: Deps,
    options: Options,
    leases: Arc<Leases>,
    investigator: Arc<Investigator>,
}

impl Service {
    /// A loop over what is in the store.
    #[must_use]
    pub fn new(deps: Deps, options: Options, leases: Arc<Leases>) -> Self {
        let investigator = Arc::new(Investigator::new(deps.clone(), &options));
        Self { deps, options, leases, investigator }
    }

    /// Looks for causes on demand (`why`); shares the loop's limit.
    #[must_use]
    pub fn investigator(&self) -> Arc<Investigator> {
        self.investigator.clone()
    }

    /// Serves the four queues until asked to stop; what is under way is finished or comes again at the next start.
    pub async fn run(self, stop: Stop) {
        let Self { deps, options, leases, investigator } = self;
        let (store, clock) = (deps.store.clone(), deps.clock.clone());
        let signals = Arc::new(signals::Signals::new(deps.clone(), &options));
        let progress = Arc::new(progress::Progress::new(deps.clone()));
        let tell = Arc::new(notices::Tell::new(deps));
        tokio::join!(
            serve(signal_queue(&store, &clock), leases.clone(), clock.clone(), signals, stop.clone()),
            serve(investigate_queue(&store, &clock), leases.clone(), clock.clone(), investigator, stop.clone()),
            serve(run_queue(&store, &clock), leases.clone(), clock.clone(), progress, stop.clone()),
            serve(notice_queue(&store, &clock), leases, clock.clone(), tell, stop),
        );
    }
}

fn signal_queue(store: &SharedStore, clock: &SharedClock) -> Queue<Signal> {
    Queue::new("signal", store.clone(), clock.clone())
}

fn investigate_queue(store: &SharedStore, clock: &SharedClock) -> Queue<Investigate> {
    Queue::new("investigate", store.clone(), clock.clone())
}

fn run_queue(store: &SharedStore, clock: &SharedClock) -> Queue<RunChanged> {
    Queue::new("run-changed", store.clone(), clock.clone())
}

fn notice_queue(store: &SharedStore, clock: &SharedClock) -> Queue<Notice> {
    Queue::new(QueuedNotices::QUEUE, store.clone(), clock.clone())
}

fn inbox(store: &SharedStore, clock: &SharedClock) -> Queue<Input> {
    Queue::new("incident", store.clone(), clock.clone())
}

/// A signal about a joined alert is looked into after this long, so that a storm is looked into once and not per alert.
const JOINED_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod tests;

#[cfg(test)]
#[path = "brief_tests.rs"]
mod brief_tests;

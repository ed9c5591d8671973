//! Own eyes: host metrics, scraped pages, log tails, started processes, own alert rules.
//!
//! Everything measured goes into [`crate::store::series`] (bounded, downsampled) and comes back through
//! [`metrics::OwnMetrics`]; log lines stay in memory ([`logs::Tails`]). Own rules feed the same intake as any other
//! source, through [`AlertSink`].
//!
//! Architecture Invariant: nothing here decides what to do about what it sees, and nothing here talks to a chat.

pub mod expr;
pub mod guard;
pub mod host;
pub mod logs;
pub mod metrics;
pub mod options;
pub mod process;
pub mod rules;
pub mod scrape;
mod spawn;
mod unheard;
pub mod usage;

use std::sync::Arc;

pub use logs::Tails;
pub use options::{Options, Problem};
pub use process::Supervisor;
pub use rules::Rules;
pub use scrape::Targets;

use crate::alert::Alert;
use crate::core::stop::Stop;
use crate::core::{BoxFuture, SharedClock};
use crate::store::SharedStore;
use crate::store::series::{Sample, Series};
use metrics::OwnMetrics;

/// Takes own alerts in, as if they had come by webhook.
pub trait AlertSink: Send + Sync + 'static {
    /// Makes the alerts durable. Called again with the same alerts until it says `Ok`; they have stable ids.
    fn accept<'a>(&'a self, alerts: Vec<Alert>) -> BoxFuture<'a, Result<(), String>>;
}

/// What can go wrong while own eyes are set up. Later on, what can't be read is a status, not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No HTTP client.
    #[error("the HTTP client for scraping and health checks can't be made: {0}")]
    Http(String),
    /// A rule that `Options::problems` would have named.
    #[error("rule {id}: {why}")]
    Rule {
        /// Which.
        id: String,
        /// What is wrong.
        why: String,
    },
}

/// What own eyes see, for every room that asks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    /// Log lines.
    pub logs: Tails,
    /// Numbers.
    pub metrics: OwnMetrics,
    /// Started processes.
    pub processes: Supervisor,
    /// Scrape targets.
    pub targets: Targets,
    /// Own rules.
    pub rules: Rules,
}

/// Runs all of it.
pub struct Service {
    options: Options,
    series: Arc<Series>,
    clock: SharedClock,
    handle: Handle,
    scraper: scrape::Scraper,
    processes: process::Service,
    rules: rules::Service,
}

impl Service {
    /// The service and the handle to what it sees; `charge` says what of the rules is this process's.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(
        options: Options,
        store: SharedStore,
        series: Arc<Series>,
        sink: Arc<dyn AlertSink>,
        charge: Arc<dyn rules::Charge>,
        clock: SharedClock,
    ) -> Result<(Self, Handle), Error> {
        let tails = Tails::new(&options.logs, clock.clone());
        let own = OwnMetrics::new(series.clone());
        let (scraper, targets) = scrape::Scraper::new(options.scrape.clone(), series.clone(), clock.clone())?;
        let (processes, supervisor) = Supervisor::new(options.processes.clone(), &tails, clock.clone());
        let reads = (own.clone(), tails.clone());
        let (rules, rules_view) = rules::Service::new(&options, reads, store, sink, charge, clock.clone())?;
        let handle = Handle { logs: tails, metrics: own, processes: supervisor, targets, rules: rules_view };
        Ok((Self { options, series, clock, handle: handle.clone(), scraper, processes, rules }, handle))
    }

    /// Watches until asked to stop; started processes have ended when it returns.
    pub async fn run(self, stop: Stop) {
        let follower = logs::Follower::new(self.options.logs.clone(), self.handle.logs.clone(), self.clock.clone());
        tokio::join!(
            host::run(self.options.host.clone(), self.series.clone(), self.clock.clone(), stop.clone()),
            usage::run(self.handle.processes.clone(), self.series.clone(), self.clock.clone(), stop.clone()),
            follower.run(stop.clone()),
            self.scraper.run(stop.clone()),
            self.processes.run(stop.clone()),
            self.rules.run(stop),
        );
    }
}

/// Appends samples and counts what was left out; a full disk is said, and watching goes on in memory.
fn keep(series: &Series, samples: &[Sample], from: &'static str) {
    match series.append(samples) {
        Ok(appended) => {
            ::metrics::counter!("mayday_watch_samples_total", "from" => from).increment(appended.kept as u64);
            for (why, count) in [
                ("out_of_order", appended.out_of_order),
                ("too_many", appended.too_many),
                ("not_finite", appended.not_finite),
            ] {
                if count > 0 {
                    ::metrics::counter!("mayday_watch_samples_dropped_total", "why" => why).increment(count as u64);
                }
            }
        }
        Err(error) => tracing::error!(%error, from, "measured numbers can't be kept on disk"),
    }
}

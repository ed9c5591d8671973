//! The auditor: recomputes from what is in the store which steps, decisions, cards and deliveries there should be, and
//! raises an alert for each that is missing.
//!
//! It shares no code with those it looks after beyond the shape of their records, and keeps nothing of theirs in memory: a
//! lost record, a loop that stands still or a hand in the store shows, whatever the loops believe. It looks at:
//! * runs (`runs.rs`): the journal folds without a gap; each decision and each change has its audit record, and each
//!   audited change its step; what marks a run as open, and its lock, agree with its state;
//! * cards (`cards.rs`): each open incident's card stands in its channel in the incident's version;
//! * queues (`queues.rs`): nothing is due for long without being done; nothing was given up;
//! * the audit (`queues.rs`): the newest signed checkpoint still fits its chains.
//!
//! Bounds: the newest [`RUNS`] runs of a day, [`INCIDENTS`] open incidents, [`AUDITED`] audit records of a chain, and
//! [`FINDINGS`] alerts at a time. Older runs were looked at when they were young. What it can't see: something that should
//! have happened and left no trace at all (an alert that never came), and a hand that changes all records of a thing alike.

mod cards;
mod queues;
mod runs;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::access::Audit;
use crate::core::duration::Span;
use crate::core::message::ops as say;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp};
use crate::incident::Incidents;
use crate::store::{self, SharedStore};
use crate::watch::AlertSink;

/// So many runs are looked at in a round, the newest ones.
const RUNS: usize = 200;
/// So many open incidents.
const INCIDENTS: usize = 300;
/// So many audit records of a chain.
const AUDITED: usize = 2_000;
/// So many findings are alerts at the same time; what is over that is counted in the log.
const FINDINGS: usize = 50;

/// `auditor:` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How often it looks.
    pub every: Span,
    /// Something that is due this long and not done is missing.
    pub late: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self { every: Span::from_secs(60), late: Span::from_secs(300) }
    }
}

/// Something that should be there and is not, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about: `RUN-3`, `INC-7`, `queue post`. With the kind it is the finding's identity.
    pub subject: String,
    /// Which kind: `audit_missing`, `card_not_shown` …
    pub kind: &'static str,
    /// One sentence.
    pub says: String,
}

impl Finding {
    fn new(kind: &'static str, subject: impl Into<String>, says: String) -> Self {
        Self { subject: subject.into(), kind, says }
    }
}

/// Looks, and tells.
pub struct Auditor {
    store: SharedStore,
    clock: SharedClock,
    audit: Audit,
    incidents: Arc<Incidents>,
    sink: Arc<dyn AlertSink>,
    options: Options,
    key: Option<String>,
}

impl Auditor {
    /// Over what is in this store; alerts go to `sink`.
    #[must_use]
    pub fn new(
        store: SharedStore,
        clock: SharedClock,
        incidents: Arc<Incidents>,
        sink: Arc<dyn AlertSink>,
        options: Options,
    ) -> Self {
        // Only read with: its own view of the chains, whatever others hold in memory.
        let audit = Audit::new(store.clone(), clock.clone());
        Self { store, clock, audit, incidents, sink, options, key: None }
    }

    /// Takes a checkpoint that another key signed after this one for a forgery. None where replicas have keys of their own.
    #[must_use]
    pub fn trusting(mut self, key: Option<&str>) -> Self {
        self.key = key.map(str::to_owned);
        self
    }

    /// Looks again and again until asked to stop.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = self.clock.sleep(self.options.every.0) => {}
            }
            let round = async {
                let findings = self.look().await?;
                self.tell(&findings).await
            };
            if let Err(error) = round.await {
                tracing::warn!(%error, "the auditor could not look");
            }
        }
    }

    /// Everything that is wrong now, in a stable order.
    ///
    /// # Errors
    /// The store's; a record that can't be read is a finding.
    pub async fn look(&self) -> Result<Vec<Finding>, store::Error> {
        let began = std::time::Instant::now();
        let mut findings = self.runs().await?;
        findings.extend(self.cards().await?);
        findings.extend(self.queues().await?);
        findings.extend(self.checkpoint().await?);
        // One finding for a thing and a kind: the first says enough.
        let mut once: BTreeMap<(String, &'static str), Finding> = BTreeMap::new();
        for finding in findings {
            once.entry((finding.subject.clone(), finding.kind)).or_insert(finding);
        }
        metrics::histogram!("mayday_ops_auditor_seconds").record(began.elapsed().as_secs_f64());
        metrics::gauge!("mayday_ops_auditor_findings").set(once.len() as f64);
        Ok(once.into_values().collect())
    }

    /// Whether a moment lies so far back that what should follow it should have.
    fn is_late(&self, at: Timestamp) -> bool {
        at.checked_add(self.options.late.0).is_ok_and(|due| due < self.clock.now())
    }
}

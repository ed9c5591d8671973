//! The auditor: recomputes from what is in the store which steps, decisions, cards and deliveries there should be, and
//! raises an alert for each that is missing.
//!
//! It reads records, and keeps nothing of what the loops hold in memory: a lost record, a loop that stands still or a hand
//! in the store shows, whatever the loops believe. Of their code it has the shapes of the records and, for a run, the
//! engine's own `apply`: a mistake in that folding is a mistake here too. It looks at:
//! * runs (`runs.rs`): the journal folds without a gap, and to what the stored status says; each decision and each change
//!   has its audit record, and each audited change its step; what marks a run as open, and its lock, agree with its state;
//!   an open run whose time is over is ended;
//! * numbers (`numbers.rs`): incidents are counted without a gap, so a number without a record is one that was taken away;
//!   and an alert that fires has its incident;
//! * cards (`cards.rs`): the card of each incident that is open, or ended within a day, stands in its channel,
//!   in the incident's version, that of a run without an incident in the run's, and the marks of open incidents agree;
//! * queues (`queues.rs`): nothing is due for long without being done; nothing was given up;
//! * the audit (`queues.rs`): the newest checkpoint that is rightly signed still fits its chains.
//!
//! A record that can't be read is a finding of its own and hides no other; a round that could not look is counted, shown
//! in `health`, and after [`BLIND`] in a row an alert.
//!
//! Bounds: the newest [`RUNS`] runs of a day, [`INCIDENTS`] incidents, [`AUDITED`] audit records of a chain, and
//! [`FINDINGS`] alerts at a time. Older runs were looked at when they were young. What it can't see: something that should
//! have happened and left no trace at all (an alert that never came), and a hand that changes all records of a thing alike:
//! whoever owns the store, and the signing key beside it, can write and sign another history. Only a copy of the
//! checkpoints that is kept elsewhere shows that.

mod cards;
mod numbers;
mod queues;
mod runs;
mod told;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::access::Audit;
use crate::core::duration::Span;
use crate::core::message::ops as say;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp};
use crate::incident::Incidents;
use crate::ops::health::State;
use crate::store::{self, SharedStore};
use crate::watch::AlertSink;

/// So many runs are looked at in a round, the newest ones.
const RUNS: usize = 200;
/// So many incidents, the newest ones, and so many open ones.
const INCIDENTS: usize = 300;
/// So many audit records of a chain.
const AUDITED: usize = 2_000;
/// So many findings are alerts at the same time; what is over that is counted in the log.
const FINDINGS: usize = 50;

/// So many rounds in a row that could not look are an alert.
const BLIND: u32 = 3;

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

    /// A record that can't be read is a finding of its key; none for errors of the store itself.
    fn unreadable(error: &store::Error) -> Option<Self> {
        let (store::Error::Corrupt { key, .. } | store::Error::TooNew { key, .. }) = error else { return None };
        Some(Self::new("unreadable", key.as_str(), error.to_string()))
    }
}

/// What was read; where it can't be read that is a finding, and none.
fn readable<T>(read: Result<T, store::Error>, findings: &mut Vec<Finding>) -> Result<Option<T>, store::Error> {
    read.map(Some).or_else(|error| {
        findings.push(Finding::unreadable(&error).ok_or(error)?);
        Ok(None)
    })
}

/// How the rounds since the last one that could look went.
#[derive(Debug, Default)]
struct Rounds {
    /// So many in a row could not.
    failed: u32,
    /// Why the last of them could not.
    why: String,
    /// What the last one that could look found.
    findings: usize,
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
    rounds: Mutex<Rounds>,
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
        Self { store, clock, audit, incidents, sink, options, key: None, rounds: Mutex::default() }
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
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "the auditor could not look");
            }
        }
    }

    /// Looks once and tells; how many findings there are.
    ///
    /// # Errors
    /// The store's, or that the intake takes nothing now. After [`BLIND`] rounds in a row that is an alert of its own, which
    /// ends with the next round that could look.
    pub async fn round(&self) -> Result<usize, store::Error> {
        let done = async {
            let findings = self.look().await?;
            self.tell(&findings).await.map(|()| findings.len())
        };
        let done = done.await;
        let failed = {
            let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
            match &done {
                Ok(findings) => *rounds = Rounds { findings: *findings, ..Rounds::default() },
                Err(error) => {
                    rounds.failed = rounds.failed.saturating_add(1);
                    rounds.why = error.to_string();
                }
            }
            rounds.failed
        };
        if let Err(error) = &done {
            metrics::counter!("mayday_ops_auditor_rounds_failed_total").increment(1);
            if failed >= BLIND {
                let says = say::auditor_blind(failed, &error.to_string());
                self.tell_more(&[Finding::new("auditor_blind", "auditor", says)]).await?;
            }
        }
        done
    }

    /// What `health` says of it: a round that could not look is no round in which all was well.
    #[must_use]
    pub fn health(&self) -> (State, String) {
        let rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        match rounds.failed {
            0 => (State::Well, say::auditor_looks(rounds.findings)),
            failed => (State::Degraded, say::auditor_blind(failed, &rounds.why)),
        }
    }

    /// Everything that is wrong now, in a stable order.
    ///
    /// # Errors
    /// The store's; a record that can't be read is a finding, and hides no other.
    pub async fn look(&self) -> Result<Vec<Finding>, store::Error> {
        let began = std::time::Instant::now();
        let mut findings = Vec::new();
        let mut looked = Ok(());
        for found in
            [self.runs().await, self.alerts().await, self.cards().await, self.queues().await, self.checkpoint().await]
        {
            match found {
                Ok(found) => findings.extend(found),
                Err(error) => match Finding::unreadable(&error) {
                    Some(finding) => findings.push(finding),
                    None => looked = Err(error),
                },
            }
        }
        looked?;
        // What waits in the inbox for long is late, not lost, and a finding as that.
        if findings.iter().any(|found| found.kind == "item_not_done" && found.subject == "queue incident") {
            findings.retain(|found| found.kind != "alert_without_incident");
        }
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

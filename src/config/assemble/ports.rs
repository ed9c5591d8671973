//! Traits of lower rooms, carried out by rooms that stand beside or below each other and so can't know each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch::Receiver;

use crate::access::audit::{self, checkpoint};
use crate::alert::Alert;
use crate::core::duration::Span;
use crate::core::message::config as message;
use crate::core::{BoxFuture, IncidentId};
use crate::http::doors::{Collection, Listing, ReadError, Reads};
use crate::http::wire::Stored;
use crate::incident::{Incident, Intake, Moment};
use crate::ops::auditor::Auditor;
use crate::ops::health::{Ask, Check, State};
use crate::ops::schedule::{self, Job, Jobs};
use crate::store::{Batch, SharedStore};
use crate::watch::rules::{By, Charge};
use crate::watch::scrape::Answer;
use crate::watch::{self, AlertSink};
use crate::work::{Leases, Shard};

/// Alerts of own rules go to the same intake as any others.
pub struct OwnAlerts(pub Intake);

impl AlertSink for OwnAlerts {
    fn accept<'a>(&'a self, alerts: Vec<Alert>) -> BoxFuture<'a, Result<(), String>> {
        self.0.hand_over(alerts)
    }
}

/// Which own rules are this process's: those whose lease it holds, and what is its machine's alone.
pub struct Shared {
    /// Who holds what.
    pub leases: Arc<Leases>,
    /// This machine's name; none where nobody else works on the store.
    pub machine: Option<String>,
}

impl Charge for Shared {
    fn machine(&self) -> Option<&str> {
        self.machine.as_deref()
    }

    fn holds(&self, rule: &str) -> bool {
        self.leases.of(Shard::of(rule)).is_some()
    }

    fn guard(&self, rule: &str, batch: &mut Batch) -> bool {
        self.leases.of(Shard::of(rule)).map(|lease| lease.guard(batch)).is_some()
    }

    fn me(&self) -> &str {
        self.leases.replica()
    }

    fn holder(&self, rule: &str) -> Option<String> {
        self.leases.holder(Shard::of(rule))
    }

    fn living(&self) -> Option<BTreeMap<String, Option<String>>> {
        self.leases.living()
    }

    fn changed(&self) -> Receiver<u64> {
        self.leases.watch()
    }
}

/// What `health` says of own eyes. A target that is down is the shop's sickness, not Mayday's: said, but well.
pub fn own_eyes(eyes: &watch::Handle) -> Arc<dyn Check> {
    let (targets, rules) = (eyes.targets.clone(), eyes.rules.clone());
    let ask = move || {
        let (pages, rules) = (targets.list(), rules.list());
        let up = pages.iter().filter(|page| page.answer.as_ref().is_some_and(Answer::is_up)).count();
        let here = rules.iter().filter(|rule| rule.by == By::This).count();
        (State::Well, message::own_eyes((pages.len(), up), (rules.len(), here)))
    };
    Arc::new(Ask { name: "own eyes", ask })
}

/// Signed checkpoints in one answer.
const CHECKPOINTS: usize = 50;

/// What the API shows, and beside it the audit chain's verification as the item `verify`, and a page of its signed
/// checkpoints as the item `checkpoints-after-<number>`.
pub struct Read {
    /// What is in the store.
    pub stored: Stored,
    /// For the verification, which reads every link.
    pub store: SharedStore,
}

impl Reads for Read {
    fn list<'a>(
        &'a self,
        collection: Collection,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing, ReadError>> {
        self.stored.list(collection, cursor, limit)
    }

    fn item<'a>(&'a self, collection: Collection, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        let after = id.strip_prefix("checkpoints-after-").and_then(|number| number.parse::<u64>().ok());
        if collection != Collection::Audit || id != "verify" && after.is_none() {
            return self.stored.item(collection, id);
        }
        Box::pin(async move {
            if let Some(after) = after {
                let page = audit::checkpoint::list(&self.store, after, CHECKPOINTS).await;
                let page = page.map_err(|error| ReadError::Failed(error.to_string()))?;
                return Ok(Some(serde_json::json!({ "items": page })));
            }
            let report = audit::verify(&self.store, &[]).await.map_err(|error| ReadError::Failed(error.to_string()))?;
            serde_json::to_value(report).map(Some).map_err(|error| ReadError::Failed(error.to_string()))
        })
    }

    fn incident(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, ReadError>> {
        self.stored.incident(id)
    }

    fn incidents(&self, open_only: bool, limit: usize) -> BoxFuture<'_, Result<Vec<Incident>, ReadError>> {
        self.stored.incidents(open_only, limit)
    }

    fn timeline(&self, id: IncidentId) -> BoxFuture<'_, Result<Vec<Moment>, ReadError>> {
        self.stored.timeline(id)
    }
}

/// The jobs that schedules may name; their names stand in `schedule::JOBS`.
pub fn jobs(signing: Arc<checkpoint::Service>, auditor: Arc<Auditor>) -> Jobs {
    let sign: Job = Arc::new(move || {
        let signing = signing.clone();
        Box::pin(async move {
            let made = signing.make(Span::from_secs(0)).await.map_err(|error| error.to_string())?;
            Ok(made.map_or_else(|| "nothing new to sign".to_owned(), |signed| format!("checkpoint {}", signed.number)))
        })
    });
    let look: Job = Arc::new(move || {
        let auditor = auditor.clone();
        Box::pin(async move {
            let findings = auditor.round().await.map_err(|error| error.to_string())?;
            Ok(format!("{findings} findings"))
        })
    });
    schedule::JOBS.iter().copied().zip([sign, look]).collect()
}

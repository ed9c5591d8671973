//! What was found becomes alerts, and what is no longer found ends them.
//!
//! Each finding that was told stands under `auditor/<fingerprint>` with its alert, so that it has the same id until it is
//! over, also across a restart and whichever replica looks.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Auditor, FINDINGS, Finding, say};
use crate::alert::{Alert, AlertId, Fingerprint, Severity, Status};
use crate::core::{Tainted, digest};
use crate::store::{self, Batch, Key, Range, Record};

/// The service its alerts name: Mayday itself.
const SERVICE: &str = "mayday";
/// Their name.
pub(super) const ALERT: &str = "Mayday_Record_Missing";

/// An alert that was or is to be handed in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Told {
    alert: Alert,
    /// Whether the intake has it.
    accepted: bool,
}
impl Record for Told {}

fn prefix() -> Key {
    Key::of(["auditor"])
}

fn fingerprint(finding: &Finding) -> Fingerprint {
    let parts = [b"auditor".as_slice(), finding.kind.as_bytes(), finding.subject.as_bytes()];
    Fingerprint(digest::of_parts(parts)[..16].to_owned())
}

impl Auditor {
    /// Hands in an alert for each new finding and the end of each that is over.
    ///
    /// # Errors
    /// The store's, or that the intake takes nothing now; it is tried again in the next round.
    pub async fn tell(&self, findings: &[Finding]) -> Result<(), store::Error> {
        self.hand_over(findings, true).await
    }

    /// Hands in alerts and ends none: of what else goes on nothing is known now.
    pub(super) async fn tell_more(&self, findings: &[Finding]) -> Result<(), store::Error> {
        self.hand_over(findings, false).await
    }

    async fn hand_over(&self, findings: &[Finding], all: bool) -> Result<(), store::Error> {
        let known = self.store.scan(&Range::under(&prefix(), FINDINGS * 2)).await?;
        let mut open: BTreeMap<String, (store::Entry, Told)> = BTreeMap::new();
        for entry in known {
            let Ok(told) = entry.decode() else {
                // Its own record: away with it, so that what it was about can be told again.
                tracing::error!(key = %entry.key, "what the auditor has told can't be read");
                let mut batch = Batch::new();
                batch.require_unchanged(entry.key.clone(), entry.revision).delete(entry.key);
                settle(self.store.commit(batch).await)?;
                continue;
            };
            open.insert(entry.key.last().to_owned(), (entry, told));
        }
        if findings.len() > FINDINGS {
            tracing::error!(findings = findings.len(), "the auditor finds more than it tells");
        }
        let mut still = BTreeSet::new();
        let mut again = Vec::new();
        for finding in findings {
            let fingerprint = fingerprint(finding);
            let key = prefix().child(&fingerprint.0);
            still.insert(fingerprint.0.clone());
            match open.get(&fingerprint.0) {
                Some((_, told)) if told.accepted => again.push(told.alert.clone()),
                Some((entry, told)) => self.hand_in(&key, Some(entry.revision), told.alert.clone()).await?,
                None if open.len() + still.len() > FINDINGS * 2 || still.len() > FINDINGS => {}
                None => {
                    tracing::error!(
                        kind = finding.kind,
                        subject = finding.subject,
                        says = finding.says,
                        "the auditor finds something missing"
                    );
                    metrics::counter!("mayday_ops_auditor_alerts_total", "kind" => finding.kind).increment(1);
                    let alert = self.alert(finding, fingerprint);
                    let mut batch = Batch::new();
                    batch
                        .require_absent(key.clone())
                        .put(key.clone(), &Told { alert: alert.clone(), accepted: false })?;
                    // A conflict: another replica found it at the same moment, and tells it.
                    match self.store.commit(batch).await {
                        Ok(revision) => self.hand_in(&key, Some(revision), alert).await?,
                        Err(store::Error::Conflict(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        // Whoever resolved its incident by hand must hear that it goes on.
        if !again.is_empty() {
            self.sink.accept(again).await.map_err(store::Error::Unavailable)?;
        }
        for (entry, told) in open.into_values().filter(|(entry, _)| all && !still.contains(entry.key.last())) {
            let over = Alert {
                status: Status::Resolved,
                ended_at: Some(self.clock.now()),
                description: Tainted::new(say::found_again()),
                ..told.alert
            };
            self.accept(over).await?;
            let mut batch = Batch::new();
            batch.require_unchanged(entry.key.clone(), entry.revision).delete(entry.key);
            settle(self.store.commit(batch).await)?;
        }
        Ok(())
    }

    async fn hand_in(&self, key: &Key, revision: Option<store::Revision>, alert: Alert) -> Result<(), store::Error> {
        self.accept(alert.clone()).await?;
        let mut batch = Batch::new();
        batch.require_as_read(key.clone(), revision);
        batch.put(key.clone(), &Told { alert, accepted: true })?;
        settle(self.store.commit(batch).await)
    }

    async fn accept(&self, alert: Alert) -> Result<(), store::Error> {
        self.sink.accept(vec![alert]).await.map_err(store::Error::Unavailable)
    }

    fn alert(&self, finding: &Finding, fingerprint: Fingerprint) -> Alert {
        let now = self.clock.now();
        let labels = [("kind", finding.kind), ("subject", &finding.subject), ("rule", "auditor")];
        Alert {
            alert_id: AlertId::of("mayday", &fingerprint, now),
            source_system: "mayday".to_owned(),
            alert_name: Tainted::new(ALERT.to_owned()),
            severity: Severity::Critical,
            status: Status::Firing,
            service_name: Tainted::new(SERVICE.to_owned()),
            host_ip: None,
            metric_value: None,
            timestamp: now,
            labels: labels.into_iter().map(|(name, value)| (name.to_owned(), Tainted::new(value.to_owned()))).collect(),
            description: Tainted::new(finding.says.clone()),
            metric_value_from: None,
            metric_unit: None,
            fingerprint,
            ended_at: None,
            link: None,
        }
    }
}

/// Another replica that was faster did the same.
fn settle(committed: Result<store::Revision, store::Error>) -> Result<(), store::Error> {
    match committed {
        Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

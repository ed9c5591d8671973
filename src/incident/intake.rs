//! The door for alerts: read, recognised, durable, queued; then, and only then, answered.
//!
//! A body is taken in parts, each one commit: the alert records, and one inbox item per group key (at most 128 alerts in an
//! item). The answer comes after the last part; a body that is refused between two of them is sent again, and what was
//! taken of it then is duplicates. What could not be read (or stored) is set aside and named in the answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::backlog::Backlog;
use super::group::{self, CatalogNames};
use super::refusals::Refusals;
use super::set_aside::{self, SetAside, Shelf};
use super::taking::Taking;
use super::{Input, Options, keys};
use crate::alert::{self, Alert, AlertId, Format, Identity, Names as _, Read, Reader, Rejected};
use crate::catalog::Catalog;
use crate::core::{BoxFuture, SharedClock, Tainted, Timestamp};
use crate::store::{self, Batch, Record, SharedStore};
use crate::work::{Queue, Shard};

/// Alerts in one inbox item.
const PER_ITEM: usize = 128;
/// Alerts in one commit: usually less than a mebibyte. The store takes two at once; a part that is larger is halved.
const PER_COMMIT: usize = 500;
/// Alerts set aside in one commit, each with up to 8 KiB of text.
const ASIDE_PER_COMMIT: usize = 20;
/// Each conflict means that someone else's commit succeeded, so more are not expected.
const ATTEMPTS: usize = 32;
/// What a sender that was refused is told to wait, seconds.
const RETRY_AFTER: u64 = 5;

/// An alert as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// The alert; its status is the newest that is known.
    pub alert: Alert,
    /// When it was first received.
    pub received_at: Timestamp,
    /// When its end was received, if it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_received_at: Option<Timestamp>,
    /// Through which integration it came last.
    pub integration: String,
    /// The team that integration belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

/// Who a body comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender<'a> {
    /// The integration's name.
    pub integration: &'a str,
    /// Its team: owns what the catalogue does not know.
    pub team: Option<&'a str>,
}

impl<'a> From<&'a str> for Sender<'a> {
    fn from(integration: &'a str) -> Self {
        Self { integration, team: None }
    }
}

impl Record for AlertRecord {}

/// That an integration was heard from; written when a body brought nothing new, so that the answer still waits for
/// everything it relies on to be durable.
#[derive(Serialize, Deserialize)]
struct Heard {
    at: Timestamp,
}

impl Record for Heard {}

/// What became of a body; the answer's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accepted {
    /// Alerts that are durable now, duplicates included.
    pub accepted: usize,
    /// Those that were known already with this status.
    pub duplicates: usize,
    /// Those that could not be read.
    pub rejected: Vec<Rejected>,
    /// The ids of the accepted ones, in the body's order.
    pub alert_ids: Vec<AlertId>,
    /// What was cut, assumed, or left out by the sender.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Why a body was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// 400: nothing in it can be understood.
    #[error(transparent)]
    NotUnderstood(#[from] alert::NotUnderstood),
    /// 413: it is too large.
    #[error("the body has {bytes} bytes, at most {limit} are read; send fewer alerts in one body")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// 413: it has too many alerts.
    #[error("the body has {alerts} alerts, at most {limit} are taken at once, so none was; send fewer in one body")]
    TooMany {
        /// How many it has.
        alerts: usize,
        /// How many it may have.
        limit: usize,
    },
    /// 503: more waits already than can be worked off soon.
    #[error("the inbox is full; send it again in {retry_after_secs} s")]
    Overloaded {
        /// For the header `Retry-After`, seconds.
        retry_after_secs: u64,
    },
    /// 503: the store can't make it durable now.
    #[error("the alerts can't be stored now: {0}")]
    Store(#[from] store::Error),
}

impl Refused {
    /// Seconds for the header `Retry-After`; none where sending it again does not help.
    #[must_use]
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::Overloaded { retry_after_secs } => Some(*retry_after_secs),
            Self::Store(_) => Some(RETRY_AFTER),
            Self::NotUnderstood(_) | Self::TooLarge { .. } | Self::TooMany { .. } => None,
        }
    }
}

/// Takes alerts in. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

struct Inner {
    store: SharedStore,
    clock: SharedClock,
    catalog: Arc<Catalog>,
    options: Options,
    queue: Queue<Input>,
    backlog: Backlog,
    shelf: Shelf,
    refusals: Refusals,
}

impl Intake {
    /// An intake into this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: SharedClock, catalog: Arc<Catalog>, options: Options) -> Self {
        let queue = Queue::new("incident", store.clone(), clock.clone());
        let backlog = Backlog::new(options.inbox_limit);
        let shelf = Shelf::new(options.set_aside_limit);
        let refusals = Refusals::default();
        Self { inner: Arc::new(Inner { store, clock, catalog, options, queue, backlog, shelf, refusals }) }
    }

    /// Takes a body in; returns when what it reports would survive a power cut.
    ///
    /// # Errors
    /// [`Refused`]: nothing of the body was taken then, unless the store failed between two parts of a large one.
    pub async fn accept<'a>(
        &self,
        format: Format,
        sender: impl Into<Sender<'a>>,
        body: &[u8],
    ) -> Result<Accepted, Refused> {
        let began = std::time::Instant::now();
        let sender = sender.into();
        let integration = sender.integration;
        let outcome = self.inner.accept(format, sender, body).await;
        metrics::histogram!("mayday_alert_accept_seconds").record(began.elapsed().as_secs_f64());
        if let Err(refused) = &outcome {
            metrics::counter!("mayday_alert_bodies_refused_total", "why" => reason(refused)).increment(1);
            self.inner.refusals.say(&self.inner.clock, refused, format.word(), integration, body.len());
        }
        outcome
    }

    /// Takes alerts of Mayday's own rules in.
    ///
    /// # Errors
    /// [`Refused`], as [`Intake::accept`].
    pub async fn accept_alerts(&self, alerts: Vec<Alert>) -> Result<Accepted, Refused> {
        let inner = &self.inner;
        inner.check_backlog().await?;
        let names = CatalogNames(&inner.catalog);
        let reads: Vec<Read> = alerts
            .into_iter()
            .enumerate()
            .map(|(index, mut alert)| {
                if let Some(canonical) = names.canonical(alert.service_name.as_data()) {
                    alert.service_name = Tainted::new(canonical);
                }
                alert.metric_value = alert.metric_value.filter(|value| value.is_finite());
                Read { index, alert, identity: Identity::Start }
            })
            .collect();
        inner.take(&reads, "mayday".into(), &[]).await
    }

    /// Whether a body would be refused now because too much waits.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_overloaded(&self) -> Result<bool, store::Error> {
        self.inner.backlog.is_full(&self.inner.queue).await
    }
}

fn reason(refused: &Refused) -> &'static str {
    match refused {
        Refused::NotUnderstood(_) => "not_understood",
        Refused::TooLarge { .. } => "too_large",
        Refused::TooMany { .. } => "too_many",
        Refused::Overloaded { .. } => "overloaded",
        Refused::Store(_) => "store",
    }
}

impl Inner {
    async fn accept(&self, format: Format, sender: Sender<'_>, body: &[u8]) -> Result<Accepted, Refused> {
        let integration = sender.integration;
        let limit = self.options.max_body;
        if body.len() > limit {
            return Err(Refused::TooLarge { bytes: body.len(), limit });
        }
        self.check_backlog().await?;
        let names = CatalogNames(&self.catalog);
        let received_at = self.clock.now();
        let reader = Reader { received_at, names: &names, options: &self.options.alerts };
        let parsed = alert::parse(format, body, reader)?;
        if let Some(alerts) = parsed.too_many {
            return Err(Refused::TooMany { alerts, limit: self.options.alerts.max_alerts });
        }
        if parsed.truncated > 0 {
            metrics::counter!("mayday_alerts_truncated_by_sender_total").increment(parsed.truncated);
        }
        for note in &parsed.notes {
            tracing::info!(integration, format = parsed.format.word(), note, "about a body of alerts");
        }
        let bad: Vec<SetAside> = parsed
            .rejected
            .iter()
            .map(|rejected| {
                tracing::warn!(integration, index = rejected.index, why = rejected.why, "an alert was set aside");
                SetAside {
                    at: received_at,
                    integration: integration.to_owned(),
                    index: rejected.index,
                    why: rejected.why.clone(),
                    text: set_aside::text(&rejected.text),
                }
            })
            .collect();
        let mut accepted = self.take(&parsed.alerts, sender, &bad).await?;
        metrics::counter!("mayday_alerts_rejected_total").increment(parsed.rejected.len() as u64);
        accepted.rejected.extend(parsed.rejected);
        accepted.rejected.sort_by_key(|rejected| rejected.index);
        accepted.notes = parsed.notes;
        Ok(accepted)
    }

    async fn check_backlog(&self) -> Result<(), Refused> {
        if self.backlog.stays_full(&self.queue).await? {
            return Err(Refused::Overloaded { retry_after_secs: RETRY_AFTER });
        }
        Ok(())
    }

    /// Takes alerts in part by part. A part that can't be stored for its own sake (it is too large, what is known of one of
    /// its alerts can't be read) is halved until the cause stands alone; that one is set aside, since sending the body
    /// again would end the same way.
    async fn take(&self, reads: &[Read], sender: Sender<'_>, bad: &[SetAside]) -> Result<Accepted, Refused> {
        let mut taken = Accepted::default();
        let mut bad: Vec<SetAside> = bad.iter().take(set_aside::PER_BODY).cloned().collect();
        // The next part stands last.
        let mut parts: Vec<&[Read]> = reads.chunks(PER_COMMIT).rev().collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        while let Some(part) = parts.pop() {
            match self.part(part, sender).await {
                Ok(accepted) => {
                    taken.accepted += accepted.accepted;
                    taken.duplicates += accepted.duplicates;
                    taken.alert_ids.extend(accepted.alert_ids);
                }
                Err(Refused::Store(error)) if is_the_alerts(&error) && !part.is_empty() => {
                    if let [one] = part {
                        let rejected = self.cant_store(one, sender, &error, &mut bad);
                        taken.rejected.push(rejected);
                    } else {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                }
                Err(refused) => return Err(refused),
            }
        }
        for some in bad.chunks(ASIDE_PER_COMMIT) {
            let mut batch = Batch::new();
            self.shelf.put(&self.store, &mut batch, some).await?;
            if !batch.is_empty() {
                self.store.commit(batch).await?;
            }
        }
        Ok(taken)
    }

    /// Says that an alert can't be stored, and puts it to those that are set aside.
    fn cant_store(&self, read: &Read, sender: Sender<'_>, error: &store::Error, bad: &mut Vec<SetAside>) -> Rejected {
        let (index, why) = (read.index, format!("it can't be stored: {error}"));
        tracing::error!(integration = sender.integration, index, why, "an alert was set aside");
        metrics::counter!("mayday_alerts_rejected_total").increment(1);
        let text = serde_json::to_string(&read.alert).unwrap_or_default();
        bad.push(SetAside {
            at: self.clock.now(),
            integration: sender.integration.to_owned(),
            index,
            why: why.clone(),
            text: set_aside::text(&text),
        });
        Rejected { index, why, text }
    }

    async fn part(&self, reads: &[Read], sender: Sender<'_>) -> Result<Accepted, Refused> {
        for _ in 0..ATTEMPTS {
            match self.attempt(reads, sender).await {
                Err(store::Error::Conflict(key)) => {
                    metrics::counter!("mayday_alert_accept_conflicts_total").increment(1);
                    tracing::debug!(%key, "alerts changed meanwhile; reading again");
                }
                Err(error) => return Err(error.into()),
                Ok(accepted) => {
                    metrics::counter!("mayday_alerts_accepted_total").increment(accepted.accepted as u64);
                    metrics::counter!("mayday_alerts_duplicate_total").increment(accepted.duplicates as u64);
                    return Ok(accepted);
                }
            }
        }
        Err(Refused::Overloaded { retry_after_secs: RETRY_AFTER })
    }

    async fn attempt(&self, reads: &[Read], sender: Sender<'_>) -> Result<Accepted, store::Error> {
        let now = self.clock.now();
        let mut taking = Taking::new(&self.store, sender, now);
        for read in reads {
            taking.take(read, |alert| group::key(alert, &self.options, &self.catalog)).await?;
        }
        let mut batch = Batch::new();
        let mut items = 0;
        for (group_key, seen) in taking.by_group() {
            for alerts in seen.chunks(PER_ITEM) {
                let input = Input::Alerts { group_key: group_key.clone(), alerts: alerts.to_vec() };
                self.queue.push(&mut batch, Shard::of(&group_key), &input)?;
                items += 1;
            }
        }
        let accepted = Accepted {
            accepted: reads.len(),
            duplicates: taking.duplicates,
            alert_ids: std::mem::take(&mut taking.ids),
            ..Accepted::default()
        };
        taking.finish(&mut batch)?;
        if batch.is_empty() {
            batch.put(keys::heard(sender.integration), &Heard { at: now })?;
        }
        self.store.commit(batch).await?;
        self.backlog.added(items);
        Ok(accepted)
    }
}

/// Whether an error comes from what is to be stored, so that trying again does not help.
fn is_the_alerts(error: &store::Error) -> bool {
    use store::Error;
    match error {
        Error::TooLarge { .. } | Error::Encode(_) | Error::Corrupt { .. } | Error::TooNew { .. } => true,
        Error::Conflict(_) | Error::Unavailable(_) | Error::InUse(_) | Error::NewerLayout { .. } => false,
    }
}

/// What the alert rules of a lower room hand their alerts to, without knowing this room.
impl Intake {
    /// As [`Intake::accept_alerts`], with the reason as text.
    pub fn hand_over(&self, alerts: Vec<Alert>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.accept_alerts(alerts).await.map(|_| ()).map_err(|refused| refused.to_string()) })
    }
}

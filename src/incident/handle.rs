//! What everyone else may ask of incidents: read them, page through them, and act on them.

use std::time::Duration;

use super::intake::AlertRecord;
use super::links;
use super::set_aside::SetAside;
use super::{Act, Incident, Input, Moment, OpenIncident, keys};
use super::{acts, apply};
use crate::access::Actor;
use crate::alert::{Alert, AlertId};
use crate::core::message::incident as say;
use crate::core::{IncidentId, SharedClock, Timestamp};
use crate::store::{self, Batch, Entry, Range, SharedStore};
use crate::work::{Queue, Shard};

/// How long [`Incidents::act`] waits until its change is applied.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest page.
const PAGE: usize = 1000;

/// Why something can't be read or done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such incident.
    #[error("{}", say::no_such(*.0))]
    NoIncident(IncidentId),
    /// It makes no sense in the incident's phase; the sentence says what to do instead.
    #[error(transparent)]
    Illegal(#[from] apply::Illegal),
    /// It is durable, but other changes were first and it waits still.
    #[error("{}", say::slow(*.0))]
    Slow(IncidentId),
    /// Someone else's change came first, and this one made no sense after it.
    #[error("{0}")]
    Overtaken(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// An alert as `/api/v1/alerts` shows it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AlertView {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// When it was first received.
    pub received_at: Timestamp,
    /// Through which integration it came last.
    pub integration: String,
    /// Its incident, once it has been folded in.
    pub incident: Option<IncidentId>,
}

/// Reads incidents and hands changes to their inbox. Cheap to clone.
#[derive(Clone)]
pub struct Incidents {
    store: SharedStore,
    inbox: Queue<Input>,
}

impl Incidents {
    /// A handle on what is in the store.
    #[must_use]
    pub fn new(store: SharedStore, clock: SharedClock) -> Self {
        Self { inbox: Queue::new("incident", store.clone(), clock), store }
    }

    /// One incident.
    ///
    /// # Errors
    /// The store's.
    pub async fn get(&self, id: IncidentId) -> Result<Option<Incident>, store::Error> {
        self.store.read(&keys::incident(id)).await?.map(|entry| entry.decode()).transpose()
    }

    /// Incidents, newest first, older than `before`; at most 1000.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(
        &self,
        open_only: bool,
        before: Option<IncidentId>,
        limit: usize,
    ) -> Result<Vec<Incident>, store::Error> {
        let limit = limit.min(PAGE);
        if !open_only {
            let range = Range::under(&keys::incidents(), limit).backward();
            let range = before.map_or(range.clone(), |before| range.past(&keys::incident(before)));
            return self.store.scan(&range).await?.iter().map(Entry::decode).collect();
        }
        let range = Range::under(&keys::all_open(), limit).backward();
        let range = before.map_or(range.clone(), |before| range.past(&keys::open(before)));
        let mut open = Vec::new();
        for entry in self.store.scan(&range).await? {
            let number = entry.key.last().parse().map(IncidentId::new);
            if let Ok(id) = number
                && let Some(incident) = self.get(id).await?
            {
                open.push(incident);
            }
        }
        Ok(open)
    }

    /// How the newest open incidents stand to others, at most 1000: one read, whatever the incidents hold.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(&self, limit: usize) -> Result<Vec<OpenIncident>, store::Error> {
        let range = Range::under(&keys::all_open(), limit.min(PAGE)).backward();
        let mut open = Vec::new();
        for entry in self.store.scan(&range).await? {
            match entry.decode() {
                Ok(row) => open.push(row),
                // A Mayday before wrote only that it is open.
                Err(_) => {
                    if let Ok(number) = entry.key.last().parse() {
                        open.extend(self.get(IncidentId::new(number)).await?.and_then(|incident| incident.as_open()));
                    }
                }
            }
        }
        Ok(open)
    }

    /// One alert.
    ///
    /// # Errors
    /// The store's.
    pub async fn alert(&self, id: &AlertId) -> Result<Option<AlertView>, store::Error> {
        match self.store.read(&keys::alert(id)).await? {
            Some(entry) => Ok(Some(self.view(entry.decode()?).await?)),
            None => Ok(None),
        }
    }

    /// Alerts, newest start first, older than `before`; at most 1000.
    ///
    /// # Errors
    /// The store's.
    pub async fn alerts(&self, before: Option<&AlertId>, limit: usize) -> Result<Vec<AlertView>, store::Error> {
        let range = Range::under(&keys::alerts(), limit.min(PAGE)).backward();
        let range = before.map_or(range.clone(), |before| range.past(&keys::alert(before)));
        let mut views = Vec::new();
        for entry in self.store.scan(&range).await? {
            views.push(self.view(entry.decode()?).await?);
        }
        Ok(views)
    }

    /// An incident's alerts, worst firing ones first, ended ones last; at most 1000.
    ///
    /// # Errors
    /// The store's.
    pub async fn alerts_of(&self, id: IncidentId, limit: usize) -> Result<Vec<AlertView>, store::Error> {
        let mut views = Vec::new();
        for (alert, _) in links::of_incident(&self.store, id, limit.min(PAGE)).await? {
            views.extend(self.alert(&alert).await?);
        }
        Ok(views)
    }

    async fn view(&self, record: AlertRecord) -> Result<AlertView, store::Error> {
        let link = links::read(&self.store, &record.alert.alert_id).await?;
        let AlertRecord { alert, received_at, integration, end_received_at: _, team: _ } = record;
        Ok(AlertView { alert, received_at, integration, incident: link.map(|link| link.incident) })
    }

    /// Everything that happened to an incident, oldest first. At most 2000 moments are kept of one.
    ///
    /// # Errors
    /// The store's.
    pub async fn timeline(&self, id: IncidentId) -> Result<Vec<Moment>, store::Error> {
        let entries = self.store.scan(&Range::under(&keys::moments(id), 2 * PAGE)).await?;
        entries.iter().map(Entry::decode).collect()
    }

    /// Alerts that could not be read, newest first, as they are shown to people: what they say comes from anyone.
    ///
    /// # Errors
    /// The store's.
    pub async fn set_aside(&self, limit: usize) -> Result<Vec<SetAside>, store::Error> {
        let range = Range::under(&keys::set_aside(), limit.min(PAGE)).backward();
        let entries = self.store.scan(&range).await?;
        entries.iter().map(|entry| Ok(entry.decode::<SetAside>()?.into_shown())).collect()
    }

    /// Adds a change of a known incident to a batch: it is applied once the batch is durable.
    ///
    /// # Errors
    /// [`store::Error::Encode`].
    pub fn push(&self, batch: &mut Batch, incident: &Incident, input: &Input) -> Result<(), store::Error> {
        self.inbox.push(batch, Shard::of(&incident.group_key), input).map(|_| ())
    }

    /// Does something to an incident for a person and waits until it is applied, at most 5 s.
    ///
    /// # Errors
    /// [`Error`]; each is a sentence for the person.
    pub async fn act(&self, id: IncidentId, by: Actor, act: Act) -> Result<Incident, Error> {
        let incident = self.get(id).await?.ok_or(Error::NoIncident(id))?;
        acts::check(&incident, &by, &act)?;
        let mut batch = Batch::new();
        let input = Input::Act { incident: id, by: by.clone(), act: act.clone() };
        // Before the commit, so that no change is missed in between.
        let mut changed = self.inbox.watch();
        let key = self.inbox.push(&mut batch, Shard::of(&incident.group_key), &input)?;
        self.store.commit(batch).await?;
        let applied = async {
            while self.store.read(&key).await?.is_some() {
                changed.changed().await;
            }
            Ok::<_, store::Error>(())
        };
        tokio::time::timeout(PATIENCE, applied).await.map_err(|_| Error::Slow(id))??;
        let now = self.get(id).await?.ok_or(Error::NoIncident(id))?;
        if shows(&now, &act) { Ok(now) } else { Err(Error::Overtaken(say::overtaken(id, now.phase.word()))) }
    }
}

/// Whether an incident stands as the act would leave it.
fn shows(incident: &Incident, act: &Act) -> bool {
    match act {
        Act::Acknowledge => incident.acknowledged_at.is_some(),
        Act::Assign { to } => incident.commander.as_ref() == Some(to),
        Act::SetSeverity { severity } => incident.severity == *severity,
        Act::Resolve => incident.phase.is_over(),
        Act::Reopen => !incident.phase.is_over(),
        Act::Note { .. } => true,
    }
}

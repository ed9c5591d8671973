//! What one commit of the service reads and will write: incidents, links and groups, each read once.
//!
//! Items are applied one after the other on top of this, so that hundreds of them are one commit; what a later item reads is
//! what the earlier ones wrote.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio::sync::{Mutex, MutexGuard};

use super::apply::{self, Change, Illegal, Known};
use super::held;
use super::intake::AlertRecord;
use super::links::{self, Class, Link};
use super::{AlertSeen, Incident, Moment, Options, Phase, Signal, card, group, keys};
use crate::alert::{AlertId, Status};
use crate::catalog::Catalog;
use crate::chat::{Content, Post};
use crate::core::message::incident as say;
use crate::core::{IncidentId, Timestamp};
use crate::store::{Batch, Error, Key, Record, SharedStore};
use crate::work::{Lease, Queue, Shard, serial};

/// Records of alerts read for one change: what the card needs, one of each kind, not all of a storm.
const RECORDS: usize = 50;
/// Moments kept of one incident.
const MOMENTS: u64 = 2000;

/// One incident in work.
struct Held {
    /// As it stands in the store; none for a new one.
    before: Option<Incident>,
    now: Incident,
    moments: Vec<Moment>,
    signals: Vec<Signal>,
}

/// One alert's link in work.
struct HeldLink {
    before: Option<Link>,
    now: Option<Link>,
}

/// A group's current incident, as it is stored.
#[derive(serde::Serialize, serde::Deserialize)]
struct Current {
    incident: IncidentId,
}

impl Record for Current {}

/// Where what is written goes.
pub(super) struct Outlets<'a> {
    pub(super) posts: &'a Queue<Post>,
    pub(super) signals: &'a Queue<Signal>,
    pub(super) catalog: &'a Catalog,
}

/// How many incidents opened and ended with a commit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) opened: u32,
    pub(super) closed: u32,
}

pub(super) struct Loaded<'a> {
    store: &'a SharedStore,
    options: &'a Options,
    catalog: &'a Catalog,
    lease: &'a Lease,
    now: Timestamp,
    incidents: BTreeMap<IncidentId, Held>,
    links: HashMap<AlertId, HeldLink>,
    groups: HashMap<String, Option<IncidentId>>,
    /// Numbers of new incidents.
    numbers: Option<Numbers<'a>>,
    opening: &'a Mutex<()>,
}

/// Numbers for new incidents, learned but not taken before the commit.
struct Numbers<'a> {
    first: u64,
    used: u64,
    turn: MutexGuard<'a, ()>,
}

impl<'a> Loaded<'a> {
    pub(super) fn new(
        store: &'a SharedStore,
        options: &'a Options,
        catalog: &'a Catalog,
        lease: &'a Lease,
        opening: &'a Mutex<()>,
        now: Timestamp,
    ) -> Self {
        let (incidents, links, groups) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Self { store, options, catalog, lease, now, incidents, links, groups, numbers: None, opening }
    }

    /// Folds alerts of one group key in. Gives back those that belong to an incident of another group key (theirs has
    /// changed since their incident was made), with that key: they go to its shard's inbox.
    pub(super) async fn alerts(
        &mut self,
        group_key: &str,
        alerts: Vec<AlertSeen>,
    ) -> Result<Vec<(String, Vec<AlertSeen>)>, Error> {
        let mut by_incident: BTreeMap<Option<IncidentId>, Vec<AlertSeen>> = BTreeMap::new();
        for seen in alerts {
            let link = self.link(&seen.alert_id).await?;
            by_incident.entry(link.map(|link| link.incident)).or_default().push(seen);
        }
        let mut elsewhere = Vec::new();
        for (incident, mut alerts) in by_incident {
            let Some(id) = incident else {
                self.unlinked(group_key, alerts).await?;
                continue;
            };
            match self.incident(id).await?.map(|incident| incident.group_key.clone()) {
                Some(key) if key == group_key || Shard::of(&key) == self.lease.shard => {
                    self.leave(id, group_key, &mut alerts).await?;
                    self.fold(id, alerts).await?;
                }
                Some(key) => elsewhere.push((key, alerts)),
                None => {}
            }
        }
        Ok(elsewhere)
    }

    /// Folds alerts that belong to no incident into the current one, or a new one; gives which, if any.
    async fn unlinked(&mut self, group_key: &str, mut alerts: Vec<AlertSeen>) -> Result<Option<IncidentId>, Error> {
        let id = match self.current(group_key).await? {
            Some(id) => id,
            None => {
                // Ends of what was never heard of open nothing.
                let first = alerts.iter().position(|seen| seen.status == Status::Firing);
                let Some(first) = first else { return Ok(None) };
                alerts.drain(..first);
                match self.open(group_key, &alerts[0]).await? {
                    Some(id) => id,
                    None => return Ok(None),
                }
            }
        };
        self.fold(id, alerts).await?;
        Ok(Some(id))
    }

    async fn fold(&mut self, id: IncidentId, alerts: Vec<AlertSeen>) -> Result<(), Error> {
        let known = self.known(id, &alerts).await?;
        if let Err(illegal) = self.change(id, Change::Alerts(alerts), &known) {
            tracing::error!(incident = %id, %illegal, "alerts can't be folded in");
        }
        Ok(())
    }

    /// Takes out of the alerts those that fire though their incident is over for longer than it may be reopened: they
    /// go where a new alert would.
    async fn leave(&mut self, id: IncidentId, group_key: &str, alerts: &mut Vec<AlertSeen>) -> Result<(), Error> {
        let (now, window) = (self.now, self.options.reopen_within.0.max(held::GRACE));
        let Some(incident) = self.incident(id).await?.filter(|incident| incident.phase.is_over()) else {
            return Ok(());
        };
        if incident.resolved_at.is_some_and(|end| now.duration_since(end).unsigned_abs() <= window) {
            return Ok(());
        }
        let mut gone: Vec<(AlertSeen, Class)> = Vec::new();
        for seen in alerts.iter().filter(|seen| seen.status == Status::Firing) {
            let link = self.links.get(&seen.alert_id).and_then(|held| held.now);
            // The newest word counts: a beginning in the inbox may be older than the end.
            if let Some(link) = link
                && !gone.iter().any(|(other, _)| other.alert_id == seen.alert_id)
                && self.record(&seen.alert_id).await?.is_some_and(|record| record.alert.status == Status::Firing)
            {
                gone.push((seen.clone(), link.class));
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let is_gone = |seen: &AlertSeen| gone.iter().any(|(other, _)| other.alert_id == seen.alert_id);
        let fire_on: Vec<AlertSeen> = alerts.extract_if(.., |seen| is_gone(seen)).collect();
        for (seen, _) in &gone {
            if let Some(link) = self.links.get_mut(&seen.alert_id) {
                link.now = None;
            }
        }
        if let Some(to) = self.unlinked(group_key, fire_on).await? {
            for (id, change) in [(id, Change::Left { alerts: gone, to }), (to, Change::Came { from: id })] {
                if let Err(illegal) = self.change(id, change, &Known::default()) {
                    tracing::error!(incident = %id, %illegal, "where alerts went can't be noted");
                }
            }
        }
        Ok(())
    }

    /// Applies a change that is not about alerts.
    pub(super) async fn other(&mut self, id: IncidentId, change: Change) -> Result<Result<(), Illegal>, Error> {
        if self.incident(id).await?.is_none() {
            return Ok(Err(Illegal(say::no_such(id))));
        }
        Ok(self.change(id, change, &Known::default()))
    }

    fn change(&mut self, id: IncidentId, change: Change, known: &Known) -> Result<(), Illegal> {
        let Some(held) = self.incidents.get_mut(&id) else { return Ok(()) };
        let outcome = apply::apply(held.now.clone(), change, known, self.now)?;
        held.now = outcome.incident;
        held.moments.extend(outcome.moments);
        held.signals.extend(outcome.signals);
        for (alert, class) in outcome.links {
            let link = Link { incident: id, class };
            self.links.entry(alert).or_insert(HeldLink { before: None, now: None }).now = Some(link);
        }
        Ok(())
    }

    async fn link(&mut self, alert: &AlertId) -> Result<Option<Link>, Error> {
        if let Some(held) = self.links.get(alert) {
            return Ok(held.now);
        }
        let before = links::read(self.store, alert).await?;
        self.links.insert(alert.clone(), HeldLink { before, now: before });
        Ok(before)
    }

    async fn incident(&mut self, id: IncidentId) -> Result<Option<&Incident>, Error> {
        if !self.incidents.contains_key(&id) {
            let Some(entry) = self.store.read(&keys::incident(id)).await? else {
                tracing::error!(incident = %id, "an incident is named that is not there");
                return Ok(None);
            };
            let before: Incident = entry.decode()?;
            let held = Held { now: before.clone(), before: Some(before), moments: Vec::new(), signals: Vec::new() };
            self.incidents.insert(id, held);
        }
        Ok(self.incidents.get(&id).map(|held| &held.now))
    }

    /// The incident that alerts of this group key join now: the last one, while it is open or may be reopened.
    async fn current(&mut self, group_key: &str) -> Result<Option<IncidentId>, Error> {
        if !self.groups.contains_key(group_key) {
            let entry = self.store.read(&keys::group(self.lease.shard, group_key)).await?;
            let current = entry.map(|entry| entry.decode::<Current>()).transpose()?;
            self.groups.insert(group_key.to_owned(), current.map(|current| current.incident));
        }
        let Some(id) = self.groups.get(group_key).copied().flatten() else { return Ok(None) };
        let (now, window) = (self.now, self.options.reopen_within.0);
        let Some(incident) = self.incident(id).await? else { return Ok(None) };
        let joins = match (incident.phase, incident.resolved_at) {
            (Phase::Resolved, Some(end)) => now.duration_since(end).unsigned_abs() <= window,
            (Phase::Resolved, None) => false,
            (Phase::Triggered | Phase::Acknowledged | Phase::Mitigated | Phase::Reopened, _) => true,
        };
        Ok(joins.then_some(id))
    }

    async fn open(&mut self, group_key: &str, first: &AlertSeen) -> Result<Option<IncidentId>, Error> {
        let Some(record) = self.record(&first.alert_id).await? else {
            tracing::error!(alert = %first.alert_id, "an accepted alert is not in the store");
            return Ok(None);
        };
        let id = IncidentId::new(self.number().await?);
        let (team, channel) = group::route(&record, self.options, self.catalog);
        let alert = record.alert;
        let incident = Incident {
            id,
            group_key: group_key.to_owned(),
            team,
            service: alert.service_name.clone(),
            channel,
            phase: Phase::Triggered,
            severity: first.severity,
            severity_by_person: false,
            alert_name: alert.alert_name.clone(),
            description: alert.description.clone(),
            started_at: first.start,
            opened_at: self.now,
            acknowledged_at: None,
            resolved_at: None,
            commander: None,
            firing: 0,
            alerts: 0,
            latest_alerts: Vec::new(),
            findings: Vec::new(),
            evidence: Vec::new(),
            not_seen: Vec::new(),
            chart: None,
            runs: Vec::new(),
            version: 0,
            known: super::Known { host: group::host(&alert), ..super::Known::default() },
        };
        self.groups.insert(group_key.to_owned(), Some(id));
        self.incidents.insert(id, Held { before: None, now: incident, moments: Vec::new(), signals: Vec::new() });
        Ok(Some(id))
    }

    async fn number(&mut self) -> Result<u64, Error> {
        if let Some(numbers) = &mut self.numbers {
            numbers.used += 1;
            return Ok(numbers.first + numbers.used - 1);
        }
        let turn = self.opening.lock().await;
        // Only to learn the number; `finish` takes it.
        let first = serial::take(self.store, &mut Batch::new(), "incident").await?;
        self.numbers = Some(Numbers { first, used: 1, turn });
        Ok(first)
    }

    async fn record(&self, alert: &AlertId) -> Result<Option<AlertRecord>, Error> {
        self.store.read(&keys::alert(alert)).await?.map(|entry| entry.decode()).transpose()
    }

    /// What the store and the earlier items say about alerts of an incident.
    async fn known(&mut self, id: IncidentId, alerts: &[AlertSeen]) -> Result<Known, Error> {
        let mut known = Known::default();
        for seen in alerts {
            let link = self.links.get(&seen.alert_id).and_then(|held| held.now);
            if let Some(link) = link.filter(|link| link.incident == id) {
                known.links.insert(seen.alert_id.clone(), link.class);
            }
        }
        // An end in the same change may be followed by a beginning that is no late one.
        let ends = alerts.iter().filter(|seen| seen.status == Status::Resolved).map(|seen| &seen.alert_id);
        let ends: HashSet<&AlertId> = ends.collect();
        for seen in alerts.iter().filter(|seen| seen.status == Status::Firing) {
            let ended = known.links.get(&seen.alert_id) == Some(&Class::Ended) || ends.contains(&seen.alert_id);
            if ended
                && let Some(record) = self.record(&seen.alert_id).await?
                && record.alert.status == Status::Firing
            {
                known.again.insert(seen.alert_id.clone());
            }
        }
        let changes: HashSet<&AlertId> = alerts.iter().map(|seen| &seen.alert_id).collect();
        let in_change = |alert: &AlertId| changes.contains(alert);
        let (mut touched, mut worst) = (0, None);
        for (alert, held) in &self.links {
            // Those that were here stand in the store still, so that the scan below meets them.
            touched += usize::from(held.before.is_some_and(|link| link.incident == id));
            let Some(link) = held.now.filter(|link| link.incident == id) else { continue };
            if !known.links.contains_key(alert) && !in_change(alert) {
                worst = worst.max(link.class.firing());
            }
        }
        let is_held = |alert: &AlertId| self.links.contains_key(alert);
        known.others = links::worst_other(self.store, id, touched, is_held).await?.max(worst);
        let episode = self.incidents.get(&id).map(|held| held.now.known.episode.as_slice()).unwrap_or_default();
        // What an earlier episode said about a kind is no longer true.
        let firing = episode.iter().filter(|kind| kind.firing > 0);
        let mut names: Vec<_> = firing.map(|kind| (kind.name.clone(), kind.severity)).collect();
        for seen in alerts {
            if known.alerts.len() >= RECORDS {
                break;
            }
            let kind = (seen.name.clone(), seen.severity);
            let changed =
                matches!(known.links.get(&seen.alert_id), Some(Class::Firing(_))) && seen.status == Status::Firing;
            if (!names.contains(&kind) || changed)
                && let Some(record) = self.record(&seen.alert_id).await?
            {
                names.push(kind);
                known.alerts.insert(seen.alert_id.clone(), record.alert);
            }
        }
        Ok(known)
    }

    /// Writes everything that changed, with posts and signals for those who look at it. The turn to open incidents is
    /// given back to be kept until the commit.
    pub(super) async fn finish(
        self,
        batch: &mut Batch,
        outlets: &Outlets<'_>,
    ) -> Result<(Moved, Option<MutexGuard<'a, ()>>), Error> {
        let mut moved = Moved::default();
        if let Some(numbers) = &self.numbers
            && serial::take_many(self.store, batch, "incident", numbers.used).await? != numbers.first
        {
            return Err(Error::Conflict(Key::of(["serial", "incident"])));
        }
        for (alert, held) in self.links {
            if let Some(now) = held.now {
                links::write(batch, &alert, held.before, now)?;
            }
        }
        for (id, mut held) in self.incidents {
            if held.before.as_ref().is_some_and(|before| before.version == held.now.version) {
                continue;
            }
            let (before, now) = (held.before.as_ref().and_then(Incident::as_open), held.now.as_open());
            moved.opened += u32::from(before.is_none() && now.is_some());
            moved.closed += u32::from(before.is_some() && now.is_none());
            match now {
                Some(now) if before.as_ref() != Some(&now) => drop(batch.put(keys::open(id), &now)?),
                None if before.is_some() => drop(batch.delete(keys::open(id))),
                Some(_) | None => {}
            }
            held::write(batch, held.before.as_ref(), &held.now)?;
            if held.before.is_none() {
                let key = keys::group(self.lease.shard, &held.now.group_key);
                batch.put(key, &Current { incident: id })?;
            }
            write_moments(batch, &mut held, self.now)?;
            batch.put(keys::incident(id), &held.now)?;
            let entry = outlets.catalog.find(held.now.service.as_data());
            let post = Post {
                channel: held.now.channel.clone(),
                slot: id.to_string(),
                thread: None,
                version: held.now.version,
                author: "Mayday".to_owned(),
                at: self.now,
                content: Content::Card(Box::new(card::card(&held.now, entry, self.now))),
            };
            // In order per channel, whichever shard the incident belongs to.
            let channel = Shard::of(&format!("{}/{}", post.channel.chat, post.channel.name));
            outlets.posts.push(batch, channel, &post)?;
            for signal in &held.signals {
                outlets.signals.push(batch, self.lease.shard, signal)?;
            }
        }
        Ok((moved, self.numbers.map(|numbers| numbers.turn)))
    }
}

fn write_moments(batch: &mut Batch, held: &mut Held, now: Timestamp) -> Result<(), Error> {
    for mut moment in held.moments.drain(..) {
        let number = held.now.known.moments + 1;
        if number > MOMENTS {
            break;
        }
        if number == MOMENTS {
            moment = Moment { at: now, by: group::mayday(), says: say::TIMELINE_FULL.to_owned() };
        }
        held.now.known.moments = number;
        batch.put(keys::moment(held.now.id, number), &moment)?;
    }
    Ok(())
}

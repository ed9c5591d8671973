//! One attempt to take alerts in: reads what is known of them, decides what is new, and builds the one batch.
//!
//! The batch holds only if nothing it looked at has changed meanwhile, so two connections with the same alerts can't both
//! call them new: one conflicts, reads again, and finds duplicates.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::held::HeldIncidents;
use super::intake::{AlertRecord, Sender};
use super::series::{self, About, Last};
use super::{AlertSeen, keys};
use crate::alert::{Alert, AlertId, Identity, Read, Status};
use crate::core::Timestamp;
use crate::store::{Batch, Error, Key, Revision, SharedStore};

/// A beginning that is received within this time after its end is one that comes late (another connection, another peer
/// of the sender was slower). One that is received later means that the alert fires again: Prometheus forgets an alert
/// after its `resolve_timeout` and then sends it with the start it had. An end counts from when Mayday received it, so that
/// the sender's clock plays no part. Ends and beginnings that change nothing are duplicates however late they come.
const LATE: Duration = Duration::from_secs(30);

/// A word that says nothing new, unless a person has resolved the incident.
const STILL_FIRES: (Status, Status) = (Status::Firing, Status::Firing);

/// What is known of a key, and what it will be.
struct Held<T> {
    revision: Option<Revision>,
    value: Option<T>,
    dirty: bool,
}

/// One attempt.
pub(super) struct Taking<'a> {
    store: &'a SharedStore,
    sender: Sender<'a>,
    now: Timestamp,
    alerts: HashMap<AlertId, Held<AlertRecord>>,
    series: HashMap<Key, Held<Last>>,
    held: HeldIncidents,
    seen: Vec<(String, AlertSeen)>,
    pub(super) ids: Vec<AlertId>,
    pub(super) duplicates: usize,
}

impl<'a> Taking<'a> {
    pub(super) fn new(store: &'a SharedStore, sender: Sender<'a>, now: Timestamp) -> Self {
        Self {
            store,
            sender,
            now,
            alerts: HashMap::new(),
            series: HashMap::new(),
            held: HeldIncidents::default(),
            seen: Vec::new(),
            ids: Vec::new(),
            duplicates: 0,
        }
    }

    /// Takes one alert; `group_key` names what it has in common with others.
    pub(super) async fn take(&mut self, read: &Read, group_key: impl Fn(&Alert) -> String) -> Result<(), Error> {
        self.hold(&read.alert.alert_id).await?;
        let mut alert = read.alert.clone();
        if matches!(read.identity, Identity::Series { .. }) {
            let key = series::key(&alert);
            self.hold_series(&key).await?;
            let known = self.known(&alert.alert_id).is_some();
            let last = self.series.get(&key).and_then(|held| held.value.clone());
            match series::about(&alert, read.identity, last.as_ref(), known) {
                About::Own => {}
                About::OwnInsteadOf(old) => self.supersede(&old, alert.timestamp, &group_key).await?,
                About::Last => {
                    if let Some(last) = last {
                        if alert.status == Status::Resolved && alert.ended_at.is_none() {
                            alert.ended_at = Some(alert.timestamp.max(last.start));
                        }
                        alert.alert_id = last.alert_id;
                        alert.timestamp = last.start;
                        self.hold(&alert.alert_id).await?;
                    }
                }
            }
        }
        self.ids.push(alert.alert_id.clone());
        let again = self.fires_again(&alert);
        let before = self.known(&alert.alert_id).map(|record| record.alert.clone());
        let repeats = before.as_ref().is_some_and(|before| (before.status, alert.status) == STILL_FIRES);
        let repeated_at = repeats.then_some(self.now);
        let after = match before {
            None => Some(alert),
            Some(before) => {
                let (after, duplicate) = merged(&before, alert, again);
                self.duplicates += usize::from(duplicate);
                if after.is_none() && repeats && self.held.has(self.store, &before.alert_id).await? {
                    self.seen.push((group_key(&before), AlertSeen { repeated_at, ..seen(&before) }));
                }
                after
            }
        };
        let Some(after) = after else { return Ok(()) };
        if matches!(read.identity, Identity::Series { .. }) {
            self.point(&after);
        }
        self.seen.push((group_key(&after), AlertSeen { repeated_at, ..seen(&after) }));
        self.write(after);
        Ok(())
    }

    /// The last occurrence of a series ends because a new one began.
    async fn supersede(
        &mut self,
        old: &AlertId,
        at: Timestamp,
        group_key: &impl Fn(&Alert) -> String,
    ) -> Result<(), Error> {
        self.hold(old).await?;
        let Some(mut alert) = self.known(old).map(|record| record.alert.clone()) else { return Ok(()) };
        if alert.status == Status::Firing {
            alert.status = Status::Resolved;
            alert.ended_at = Some(at.max(alert.timestamp));
            self.seen.push((group_key(&alert), seen(&alert)));
            self.write(alert);
        }
        Ok(())
    }

    /// Whether a beginning of this occurrence, if it has ended, is more than a late one.
    fn fires_again(&self, alert: &Alert) -> bool {
        let Some(record) = self.known(&alert.alert_id) else { return false };
        let ended = record.end_received_at.or(record.alert.ended_at).unwrap_or(record.received_at);
        // A later occurrence of the series has taken its place.
        let replaced = self.series.get(&series::key(alert)).and_then(|held| held.value.as_ref());
        let replaced =
            replaced.is_some_and(|last| last.alert_id != alert.alert_id && last.start >= record.alert.timestamp);
        !replaced && Duration::try_from(self.now.duration_since(ended)).is_ok_and(|since| since > LATE)
    }

    fn known(&self, id: &AlertId) -> Option<&AlertRecord> {
        self.alerts.get(id).and_then(|held| held.value.as_ref())
    }

    async fn hold(&mut self, id: &AlertId) -> Result<(), Error> {
        if !self.alerts.contains_key(id) {
            let entry = self.store.read(&keys::alert(id)).await?;
            let revision = entry.as_ref().map(|entry| entry.revision);
            let value = entry.map(|entry| entry.decode()).transpose()?;
            self.alerts.insert(id.clone(), Held { revision, value, dirty: false });
        }
        Ok(())
    }

    async fn hold_series(&mut self, key: &Key) -> Result<(), Error> {
        if !self.series.contains_key(key) {
            let entry = self.store.read(key).await?;
            let revision = entry.as_ref().map(|entry| entry.revision);
            let value = entry.map(|entry| entry.decode()).transpose()?;
            self.series.insert(key.clone(), Held { revision, value, dirty: false });
        }
        Ok(())
    }

    fn write(&mut self, alert: Alert) {
        let Some(held) = self.alerts.get_mut(&alert.alert_id) else { return };
        let received_at = held.value.as_ref().map_or(self.now, |before| before.received_at);
        let end_received_at = (alert.status == Status::Resolved).then_some(self.now);
        held.value = Some(AlertRecord {
            alert,
            received_at,
            end_received_at,
            integration: self.sender.integration.to_owned(),
            team: self.sender.team.map(str::to_owned),
        });
        held.dirty = true;
    }

    /// Makes the alert the last occurrence of its series, unless that is a later one.
    fn point(&mut self, alert: &Alert) {
        let Some(held) = self.series.get_mut(&series::key(alert)) else { return };
        if held.value.as_ref().is_some_and(|last| last.start > alert.timestamp) {
            return;
        }
        held.value = Some(Last {
            alert_id: alert.alert_id.clone(),
            status: alert.status,
            start: alert.timestamp,
            ended: alert.ended_at,
        });
        held.dirty = true;
    }

    /// What goes to the inbox, by group key, in the order it came.
    pub(super) fn by_group(&mut self) -> BTreeMap<String, Vec<AlertSeen>> {
        let mut groups: BTreeMap<String, Vec<AlertSeen>> = BTreeMap::new();
        for (group, seen) in self.seen.drain(..) {
            groups.entry(group).or_default().push(seen);
        }
        groups
    }

    /// Writes what changed, with the conditions that it was as it was read.
    pub(super) fn finish(self, batch: &mut Batch) -> Result<(), Error> {
        for (id, held) in self.alerts {
            if let (true, Some(record)) = (held.dirty, &held.value) {
                batch.require_as_read(keys::alert(&id), held.revision);
                batch.put(keys::alert(&id), record)?;
            }
        }
        for (key, held) in self.series {
            if let (true, Some(last)) = (held.dirty, &held.value) {
                batch.require_as_read(key.clone(), held.revision);
                batch.put(key, last)?;
            }
        }
        Ok(())
    }
}

fn seen(alert: &Alert) -> AlertSeen {
    AlertSeen {
        alert_id: alert.alert_id.clone(),
        status: alert.status,
        severity: alert.severity,
        start: alert.timestamp,
        name: alert.alert_name.clone(),
        ended_at: alert.ended_at.filter(|_| alert.status == Status::Resolved),
        repeated_at: None,
    }
}

/// A message about a known occurrence: what its record becomes (none: nothing new), and whether it is a duplicate.
///
/// The same status again is a duplicate; what it says anew about severity, value or description is kept. A beginning
/// after the end is one that comes late, unless it fires `again`. An end keeps the severity of the beginning, and
/// whatever it leaves out.
fn merged(before: &Alert, message: Alert, again: bool) -> (Option<Alert>, bool) {
    match (before.status, message.status) {
        (Status::Resolved, Status::Firing) if again => (Some(same_group(before, message)), false),
        (Status::Resolved, Status::Firing | Status::Resolved) => (None, true),
        (Status::Firing, Status::Firing) => {
            let news = before.severity != message.severity
                || before.metric_value != message.metric_value
                || before.description != message.description;
            (news.then_some(message), true)
        }
        (Status::Firing, Status::Resolved) => {
            let mut after = same_group(before, message);
            after.severity = before.severity;
            if after.labels.is_empty() {
                after.labels.clone_from(&before.labels);
            }
            if after.description.as_data().is_empty() {
                after.description = before.description.clone();
            }
            if after.metric_value.is_none() {
                after.metric_value = before.metric_value;
                after.metric_value_from.clone_from(&before.metric_value_from);
                after.metric_unit.clone_from(&before.metric_unit);
            }
            (Some(after), false)
        }
    }
}

/// The message with what the group, and so the incident, hangs on as it was.
fn same_group(before: &Alert, mut message: Alert) -> Alert {
    message.service_name = before.service_name.clone();
    message.alert_name = before.alert_name.clone();
    message.host_ip = before.host_ip;
    message
}

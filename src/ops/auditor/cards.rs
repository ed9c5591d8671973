//! The card of each incident that is open, or ended within a day, stands in its channel, in the incident's version.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::{Auditor, Finding, INCIDENTS, readable, say};
use crate::chat::{ChannelId, Post};
use crate::core::{IncidentId, RunId, Timestamp};
use crate::incident::Incident;
use crate::ops::delivery;
use crate::store::{self, Key, Range, Record};
use crate::work::{Queue, Shard};

/// Posts of a channel that wait; with more, delivery is late, which is a finding of its own.
const WAITING: usize = 1_000;

/// Incidents that ended longer ago are looked at no more.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Channels that are looked through for a run's own card.
const CHANNELS: usize = 50;

/// What a slot's record says, as far as it matters here.
#[derive(Deserialize, serde::Serialize)]
struct Shown {
    seq: u64,
    version: u64,
}
impl Record for Shown {}

/// What a message is, and when it was said.
#[derive(Deserialize, serde::Serialize)]
struct Said {
    slot: String,
    version: u64,
    at: Timestamp,
}
impl Record for Said {}

impl Auditor {
    pub(super) async fn cards(&self) -> Result<Vec<Finding>, store::Error> {
        let mut findings = self.numbers().await?;
        for incident in self.looked_at(&mut findings).await? {
            for brief in &incident.runs {
                if self.store.read(&Key::of(["run", &brief.run.key()])).await?.is_none() {
                    let says = say::run_missing(brief.run, &incident.id.to_string());
                    findings.push(Finding::new("run_missing", brief.run.to_string(), says));
                }
            }
            // Only the web channel keeps what it shows in the store.
            if incident.channel.chat != "web" {
                continue;
            }
            match readable(self.is_shown(&incident).await, &mut findings)? {
                Some(false) if !self.is_on_its_way(&incident).await? => {}
                _ => continue,
            }
            // Shown between the two looks, or changed meanwhile.
            let again = self.incidents.get(incident.id).await?;
            let moved = again.is_none_or(|again| again.version != incident.version);
            if !moved && !self.is_shown(&incident).await? {
                let says = say::card_not_shown(incident.id, incident.version, &incident.channel.name);
                findings.push(Finding::new("card_not_shown", incident.id.to_string(), says));
            }
        }
        Ok(findings)
    }

    /// The newest incidents, and all that are marked as open, that can be read: those that are open or ended within a day.
    /// A mark must agree with its incident.
    async fn looked_at(&self, findings: &mut Vec<Finding>) -> Result<Vec<Incident>, store::Error> {
        let under = |prefix: &str| Range::under(&Key::of([prefix]), INCIDENTS).backward();
        let since = self.clock.now().checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
        let mut ids = BTreeSet::new();
        for entry in self.store.scan(&under("incident-open")).await? {
            let Ok(id) = entry.key.last().parse().map(IncidentId::new) else { continue };
            ids.insert(id);
            let incident = readable(self.incidents.get(id).await, findings)?;
            // It may have ended between the two looks.
            let left = |incident: &Option<Incident>| incident.as_ref().is_none_or(|incident| incident.phase.is_over());
            if incident.is_some_and(|incident| left(&incident)) && self.store.read(&entry.key).await? == Some(entry) {
                findings.push(Finding::new("incident_mark_left", id.to_string(), say::incident_mark_left(id)));
            }
        }
        for entry in self.store.scan(&under("incident")).await? {
            ids.extend(entry.key.last().parse().map(IncidentId::new));
        }
        let mut found = Vec::new();
        for id in ids {
            let Some(Some(incident)) = readable(self.incidents.get(id).await, findings)? else { continue };
            if !incident.phase.is_over() {
                let mark = Key::of(["incident-open", &id.key()]);
                // It may have ended between the two looks.
                if self.store.read(&mark).await?.is_none()
                    && self.incidents.get(id).await?.is_some_and(|now| !now.phase.is_over())
                    && self.store.read(&mark).await?.is_none()
                {
                    findings.push(Finding::new(
                        "incident_mark_missing",
                        id.to_string(),
                        say::incident_mark_missing(id),
                    ));
                }
            }
            if !incident.phase.is_over() || incident.resolved_at.is_some_and(|at| at >= since) {
                found.push(incident);
            }
        }
        Ok(found)
    }

    async fn is_shown(&self, incident: &Incident) -> Result<bool, store::Error> {
        let channel = &incident.channel.name;
        if let Some(version) = self.version_in(channel, &incident.id.to_string()).await? {
            return Ok(version >= incident.version);
        }
        // A channel keeps its newest messages only: a card older than the oldest of them was let go.
        let oldest = self.store.scan(&Range::under(&Key::of(["web", channel]), 1)).await?;
        let Some(oldest) = oldest.first() else { return Ok(false) };
        Ok(oldest.decode::<Said>()?.at > incident.opened_at)
    }

    /// In which version a slot's message stands in a channel: none without the slot, 0 where nothing stands behind it.
    async fn version_in(&self, channel: &str, slot: &str) -> Result<Option<u64>, store::Error> {
        let Some(entry) = self.store.read(&Key::of(["web-slot", channel, slot])).await? else { return Ok(None) };
        let shown: Shown = entry.decode()?;
        // The slot only says where the message stands.
        let place = Key::of(["web", channel, &format!("{:010}", shown.seq)]);
        let Some(message) = self.store.read(&place).await? else { return Ok(Some(0)) };
        let message: Said = message.decode()?;
        Ok(Some(if message.slot == slot { shown.version.min(message.version) } else { 0 }))
    }

    /// Cards of runs without an incident, each with the number of its last event: in whichever channel one stands, it is
    /// the newest. (Where none stands it was let go, or an earlier Mayday made none.)
    pub(super) async fn run_cards(&self, runs: &[(RunId, u64)]) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        if runs.is_empty() {
            return Ok(findings);
        }
        let channels = self.store.scan(&Range::under(&Key::of(["web-channel"]), CHANNELS)).await?;
        for (run, version) in runs {
            for channel in channels.iter().map(|entry| entry.key.last()) {
                let read = self.version_in(channel, &run.to_string()).await;
                if let Some(Some(shown)) = readable(read, &mut findings)?
                    && shown < *version
                {
                    let says = say::run_card_not_shown(*run, *version, channel);
                    findings.push(Finding::new("card_not_shown", run.to_string(), says));
                }
            }
        }
        Ok(findings)
    }

    /// Whether a post with it waits to be delivered. One that waits for long is a finding of its queue.
    async fn is_on_its_way(&self, incident: &Incident) -> Result<bool, store::Error> {
        let queue: Queue<Post> = Queue::new(delivery::QUEUE, self.store.clone(), self.clock.clone());
        let ChannelId { chat, name } = &incident.channel;
        let prefix = Key::of(["queue", queue.name(), &Shard::of(&format!("{chat}/{name}")).key()]);
        let waiting = self.store.scan(&Range::under(&prefix, WAITING)).await?;
        let slot = format!("\"slot\":\"{}\"", incident.id);
        let found = waiting.iter().any(|entry| String::from_utf8_lossy(&entry.value).contains(&slot));
        Ok(found || waiting.len() == WAITING)
    }
}

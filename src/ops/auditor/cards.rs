//! Each open incident's card stands in its channel, in the incident's version.

use serde::Deserialize;

use super::{Auditor, Finding, INCIDENTS, say};
use crate::chat::{ChannelId, Post};
use crate::core::Timestamp;
use crate::incident::Incident;
use crate::ops::delivery;
use crate::store::{self, Key, Range, Record};
use crate::work::{Queue, Shard};

/// Posts of a channel that wait; with more, delivery is late, which is a finding of its own.
const WAITING: usize = 1_000;

/// What a slot's record says, as far as it matters here.
#[derive(Deserialize, serde::Serialize)]
struct Shown {
    version: u64,
}
impl Record for Shown {}

/// When a message was said.
#[derive(Deserialize, serde::Serialize)]
struct Said {
    at: Timestamp,
}
impl Record for Said {}

impl Auditor {
    pub(super) async fn cards(&self) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        for incident in self.incidents.list(true, None, INCIDENTS).await? {
            // Only the web channel keeps what it shows in the store.
            if incident.channel.chat != "web"
                || self.is_shown(&incident).await?
                || self.is_on_its_way(&incident).await?
            {
                continue;
            }
            // Shown between the two looks, or changed meanwhile.
            let again = self.incidents.get(incident.id).await?;
            let moved = again.is_none_or(|again| again.version != incident.version || again.phase.is_over());
            if !moved && !self.is_shown(&incident).await? {
                let says = say::card_not_shown(incident.id, incident.version, &incident.channel.name);
                findings.push(Finding::new("card_not_shown", incident.id.to_string(), says));
            }
        }
        Ok(findings)
    }

    async fn is_shown(&self, incident: &Incident) -> Result<bool, store::Error> {
        let channel = &incident.channel.name;
        let slot = self.store.read(&Key::of(["web-slot", channel, &incident.id.to_string()])).await?;
        if let Some(entry) = slot {
            return Ok(entry.decode::<Shown>()?.version >= incident.version);
        }
        // A channel keeps its newest messages only: a card older than the oldest of them was let go.
        let oldest = self.store.scan(&Range::under(&Key::of(["web", channel]), 1)).await?;
        let Some(oldest) = oldest.first() else { return Ok(false) };
        Ok(oldest.decode::<Said>()?.at > incident.opened_at)
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

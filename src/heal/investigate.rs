//! Looks for the cause of an incident and tells the incident what was found.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{Deps, Explained, Options, inbox, investigate_queue};
use crate::core::message::heal as say;
use crate::core::{BoxFuture, IncidentId};
use crate::incident::{Incident, Input, Phase};
use crate::store::{self, Batch, Record};
use crate::work::{Handler, Lease, Queue, Queued, Shard};

/// Look for the cause of an incident; an item of the `investigate` queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Investigate {
    /// Which.
    pub incident: IncidentId,
    /// Whether to look once more a little later.
    pub again: bool,
    /// Whether it is enough to look who is folded into whom: nothing is searched.
    #[serde(default)]
    pub relations: bool,
}

impl Record for Investigate {}

/// Looks for causes, a bounded number at a time, each with a deadline.
pub struct Investigator {
    pub(super) deps: Deps,
    pub(super) queue: Queue<Investigate>,
    pub(super) inbox: Queue<Input>,
    slots: Arc<Semaphore>,
    deadline: Duration,
    second_look: Duration,
}

impl Investigator {
    pub(super) fn new(deps: Deps, options: &Options) -> Self {
        let queue = investigate_queue(&deps.store, &deps.clock);
        let inbox = inbox(&deps.store, &deps.clock);
        Self {
            deps,
            queue,
            inbox,
            slots: Arc::new(Semaphore::new(options.searches.max(1))),
            deadline: options.search_deadline.0,
            second_look: options.second_look.0,
        }
    }

    /// What is known about an incident now, for the loop: waits for a free slot, however long others take, and then looks
    /// for at most the deadline.
    async fn look(&self, incident: &Incident) -> Explained {
        let _slot = self.slots.acquire().await;
        let began = Instant::now();
        let found = tokio::time::timeout(self.deadline, self.deps.explains.explain(incident)).await;
        self.found(incident, began, found.ok())
    }

    /// The same for a person who waits: at most the deadline, with the wait for a slot.
    async fn look_now(&self, incident: &Incident) -> Explained {
        let began = Instant::now();
        let search = async {
            let _slot = self.slots.acquire().await;
            self.deps.explains.explain(incident).await
        };
        let found = tokio::time::timeout(self.deadline, search).await;
        self.found(incident, began, found.ok())
    }

    /// Takes a slot, as a search would.
    #[cfg(test)]
    pub(super) async fn busy(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }

    /// What a search came to; none: it did not end in time, and `not_seen` says so.
    fn found(&self, incident: &Incident, began: Instant, found: Option<Explained>) -> Explained {
        metrics::histogram!("mayday_heal_search_seconds").record(began.elapsed().as_secs_f64());
        let in_time = found.is_some();
        metrics::counter!("mayday_heal_searches_total", "in_time" => if in_time { "yes" } else { "no" }).increment(1);
        found.unwrap_or_else(|| {
            tracing::warn!(incident = %incident.id, deadline_ms = self.deadline.as_millis(), "no cause found in time");
            // What was known before stays known.
            let mut not_seen = incident.not_seen.clone();
            let late = say::no_cause_in_time(self.deadline);
            if !not_seen.contains(&late) {
                not_seen.push(late);
            }
            Explained {
                findings: incident.findings.clone(),
                evidence: incident.evidence.clone(),
                not_seen,
                chart: incident.chart.clone(),
                facts: incident.known.facts.clone(),
                cause: incident.known.relations.blames.clone(),
            }
        })
    }

    /// Looks, at most for the deadline, and puts what was found on the incident's card (durable when this returns).
    ///
    /// # Errors
    /// The store's.
    pub async fn look_and_tell(&self, incident: &Incident) -> Result<Explained, store::Error> {
        let explained = self.look_now(incident).await;
        let mut batch = Batch::new();
        self.tell(&mut batch, incident, &explained)?;
        self.deps.store.commit(batch).await?;
        Ok(explained)
    }

    fn tell(&self, batch: &mut Batch, incident: &Incident, explained: &Explained) -> Result<(), store::Error> {
        let Explained { findings, evidence, not_seen, chart, facts, cause } = explained.clone();
        let found = Input::Found { incident: incident.id, findings, evidence, not_seen, chart, facts, cause };
        self.inbox.push(batch, Shard::of(&incident.group_key), &found).map(|_| ())
    }

    async fn one(&self, lease: &Lease, items: Vec<Queued<Investigate>>) -> Result<(), store::Error> {
        let Some(first) = items.first() else { return Ok(()) };
        let id = first.record.incident;
        let again = items.iter().any(|item| item.record.again);
        let mut batch = Batch::new();
        lease.guard(&mut batch);
        for item in &items {
            self.queue.done(&mut batch, item);
        }
        let incident = self.deps.incidents.incident(id).await?;
        let incident = incident.filter(|incident| incident.phase != Phase::Resolved);
        let search = items.iter().any(|item| !item.record.relations);
        if let Some(incident) = incident.as_ref().filter(|_| !search) {
            self.open_circle(&mut batch, incident).await?;
        } else if let Some(incident) = incident {
            let explained = self.look(&incident).await;
            if is_news(&incident, &explained) {
                self.tell(&mut batch, &incident, &explained)?;
            }
            self.relate(&mut batch, &incident, &explained).await?;
            if again {
                let due = self.deps.clock.now() + self.second_look;
                let later = Investigate { incident: id, again: false, relations: false };
                self.queue.push_at(&mut batch, lease.shard, due, &later)?;
            }
        }
        self.deps.store.commit(batch).await.map(|_| ())
    }
}

/// Whether the card would say something else. A confidence that moved by less than 0.05 is no news.
fn is_news(incident: &Incident, explained: &Explained) -> bool {
    let same = incident.findings.len() == explained.findings.len()
        && incident.findings.iter().zip(&explained.findings).all(|(old, new)| {
            old.component == new.component
                && old.kind == new.kind
                && old.says == new.says
                && (old.confidence - new.confidence).abs() < 0.05
        });
    let nothing_yet = incident.evidence.is_empty() && !explained.evidence.is_empty();
    !same
        || nothing_yet
        || incident.known.relations.blames != explained.cause
        || incident.not_seen != explained.not_seen
        || incident.chart.is_none() && explained.chart.is_some()
}

impl Handler<Investigate> for Investigator {
    fn handle<'a>(
        &'a self,
        lease: &'a Lease,
        items: Vec<Queued<Investigate>>,
    ) -> BoxFuture<'a, Result<(), store::Error>> {
        Box::pin(async move {
            // Several requests for one incident are one search.
            let mut by_incident: BTreeMap<IncidentId, Vec<Queued<Investigate>>> = BTreeMap::new();
            for item in items {
                by_incident.entry(item.record.incident).or_default().push(item);
            }
            let searches = by_incident.into_values().map(|items| self.one(lease, items));
            let results = futures_util::future::join_all(searches).await;
            results.into_iter().collect()
        })
    }
}

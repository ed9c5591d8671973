//! The loop that applies the inbox: the holder of a shard folds its items into incidents, many items in one commit.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::apply::Change;
use super::counted::OpenGauge;
use super::loaded::{Loaded, Outlets};
use super::{AlertSeen, Input, Options, Signal};
use crate::alert::AlertId;
use crate::catalog::Catalog;
use crate::chat::Post;
use crate::core::stop::Stop;
use crate::core::{BoxFuture, SharedClock};
use crate::store::{self, Batch, SharedStore};
use crate::work::{Handler, Lease, Leases, Queue, Queued, Shard, serve};

/// Alerts and other changes in one commit; bounds its size and what is held in memory.
const PER_COMMIT: usize = 512;

/// Applies everything that changes incidents.
pub struct Service {
    applier: Arc<Applier>,
    leases: Arc<Leases>,
}

impl Service {
    /// A service over what is in the store.
    #[must_use]
    pub fn new(
        store: SharedStore,
        clock: SharedClock,
        leases: Arc<Leases>,
        catalog: Arc<Catalog>,
        options: Options,
    ) -> Self {
        let applier = Applier {
            inbox: Queue::new("incident", store.clone(), clock.clone()),
            posts: Queue::new("post", store.clone(), clock.clone()),
            signals: Queue::new("signal", store.clone(), clock.clone()),
            opening: Mutex::new(()),
            gauge: OpenGauge { store: store.clone(), clock: clock.clone(), leases: leases.clone() },
            store,
            clock,
            catalog,
            options,
        };
        Self { applier: Arc::new(applier), leases }
    }

    /// Applies the inbox until asked to stop. Items under way are finished; the others come at the next start.
    pub async fn run(self, stop: Stop) {
        let (inbox, clock, gauge) =
            (self.applier.inbox.clone(), self.applier.clock.clone(), self.applier.gauge.clone());
        if self.leases.shares() {
            tokio::join!(gauge.keep(stop.clone()), serve(inbox, self.leases, clock, self.applier, stop));
        } else {
            // Before the first commit moves the number.
            gauge.count().await;
            serve(inbox, self.leases, clock, self.applier, stop).await;
        }
    }

    /// Applies what waits now and returns: for tests, and for tools that own the store.
    ///
    /// # Errors
    /// The store's.
    pub async fn apply_waiting(&self) -> Result<usize, store::Error> {
        let mut applied = 0;
        for lease in Shard::all().filter_map(|shard| self.leases.of(shard)) {
            loop {
                let items = self.applier.inbox.due(lease.shard, PER_COMMIT).await?;
                if items.is_empty() {
                    break;
                }
                applied += items.len();
                self.applier.handle(&lease, items).await?;
            }
        }
        Ok(applied)
    }
}

struct Applier {
    store: SharedStore,
    clock: SharedClock,
    catalog: Arc<Catalog>,
    options: Options,
    gauge: OpenGauge,
    inbox: Queue<Input>,
    posts: Queue<Post>,
    signals: Queue<Signal>,
    /// Held from learning the next incident's number until it is taken: shards that open incidents at the same time would
    /// conflict on it, and each conflict costs a whole commit's work.
    opening: Mutex<()>,
}

impl Handler<Input> for Applier {
    fn handle<'a>(&'a self, lease: &'a Lease, items: Vec<Queued<Input>>) -> BoxFuture<'a, Result<(), store::Error>> {
        Box::pin(async move {
            let mut some: Vec<Queued<Input>> = Vec::new();
            let mut weight = 0;
            for item in items {
                let own = weight_of(&item.record);
                if weight + own > PER_COMMIT && !some.is_empty() {
                    self.apply(lease, std::mem::take(&mut some)).await?;
                    weight = 0;
                }
                weight += own;
                some.push(item);
            }
            self.apply(lease, some).await
        })
    }
}

fn weight_of(input: &Input) -> usize {
    match input {
        Input::Alerts { alerts, .. } => alerts.len().max(1),
        Input::Act { .. } | Input::Found { .. } | Input::Run { .. } => 1,
        Input::SuffersFrom { .. } | Input::Sufferer { .. } => 1,
    }
}

impl Applier {
    /// Applies items in one commit, or in as few as the store takes.
    async fn apply(&self, lease: &Lease, items: Vec<Queued<Input>>) -> Result<(), store::Error> {
        let mut parts = vec![items];
        while let Some(mut part) = parts.pop() {
            match self.commit(lease, &part).await {
                Err(store::Error::TooLarge { .. }) if part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
                done => done?,
            }
        }
        Ok(())
    }

    async fn commit(&self, lease: &Lease, items: &[Queued<Input>]) -> Result<(), store::Error> {
        if items.is_empty() {
            return Ok(());
        }
        let began = std::time::Instant::now();
        let mut batch = Batch::new();
        lease.guard(&mut batch);
        let mut loaded = Loaded::new(&self.store, &self.options, &self.catalog, lease, &self.opening, self.clock.now());
        let count = items.len();
        let mut alerts = ByGroup::default();
        for item in items {
            self.inbox.done(&mut batch, item);
            match item.record.clone() {
                Input::Alerts { group_key, alerts: seen } => {
                    if alerts.has_elsewhere(&group_key, &seen) {
                        self.alerts(&mut batch, &mut loaded, &mut alerts).await?;
                    }
                    alerts.add(group_key, seen);
                }
                other => {
                    // What came before it is applied before it.
                    self.alerts(&mut batch, &mut loaded, &mut alerts).await?;
                    self.one(&mut loaded, other).await?;
                }
            }
        }
        self.alerts(&mut batch, &mut loaded, &mut alerts).await?;
        let outlets = Outlets { posts: &self.posts, signals: &self.signals, catalog: &self.catalog };
        let (moved, _turn) = loaded.finish(&mut batch, &outlets).await?;
        self.store.commit(batch).await?;
        self.gauge.moved(moved);
        metrics::histogram!("mayday_incident_apply_seconds").record(began.elapsed().as_secs_f64());
        tracing::debug!(shard = lease.shard.0, items = count, took_ms = began.elapsed().as_millis(), "inbox applied");
        Ok(())
    }

    /// Folds in the alerts that have come together.
    async fn alerts(
        &self,
        batch: &mut Batch,
        loaded: &mut Loaded<'_>,
        alerts: &mut ByGroup,
    ) -> Result<(), store::Error> {
        for (group_key, seen) in std::mem::take(alerts).groups {
            for (group_key, alerts) in loaded.alerts(&group_key, seen).await? {
                let shard = Shard::of(&group_key);
                self.inbox.push(batch, shard, &Input::Alerts { group_key, alerts })?;
            }
        }
        Ok(())
    }

    async fn one(&self, loaded: &mut Loaded<'_>, input: Input) -> Result<(), store::Error> {
        let (id, change) = match input {
            // They are folded in together.
            Input::Alerts { .. } => return Ok(()),
            Input::Act { incident, by, act } => (incident, Change::Act { by, act }),
            Input::Found { incident, findings, evidence, not_seen, chart, facts, cause } => {
                (incident, Change::Found { findings, evidence, not_seen, chart, facts, cause })
            }
            Input::SuffersFrom { incident, cause } => (incident, Change::SuffersFrom(cause)),
            Input::Sufferer { incident, other, suffers } => (incident, Change::Sufferer { other, suffers }),
            Input::Run { incident, brief } => (incident, Change::Run(brief)),
        };
        if let Err(illegal) = loaded.other(id, change).await? {
            // Whoever asked was told by the handle; here it came too late.
            metrics::counter!("mayday_incident_inputs_refused_total").increment(1);
            tracing::info!(incident = %id, why = %illegal, "a change came too late");
        }
        Ok(())
    }
}

/// Alerts of several items, by group key: many small items of a storm cost as much as one large one.
#[derive(Default)]
struct ByGroup {
    /// In the order in which the groups came, and each one's alerts as well.
    groups: Vec<(String, Vec<AlertSeen>)>,
    places: HashMap<String, usize>,
    /// Under which of them each alert came.
    under: HashMap<AlertId, usize>,
}

impl ByGroup {
    /// Whether one of these alerts waits under another key: what came first has to be folded in first then.
    fn has_elsewhere(&self, group_key: &str, alerts: &[AlertSeen]) -> bool {
        let place = self.places.get(group_key);
        alerts.iter().any(|seen| self.under.get(&seen.alert_id).is_some_and(|under| Some(under) != place))
    }

    fn add(&mut self, group_key: String, mut alerts: Vec<AlertSeen>) {
        let place = self.places.get(&group_key).copied().unwrap_or(self.groups.len());
        self.under.extend(alerts.iter().map(|seen| (seen.alert_id.clone(), place)));
        if let Some(place) = self.places.get(&group_key) {
            self.groups[*place].1.append(&mut alerts);
        } else {
            self.places.insert(group_key.clone(), self.groups.len());
            self.groups.push((group_key, alerts));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Severity, Status};
    use crate::core::Timestamp;

    #[test]
    fn an_alert_that_came_under_two_keys_keeps_the_order_of_its_words() {
        let seen = |id: &str| AlertSeen {
            alert_id: AlertId(id.to_owned()),
            status: Status::Firing,
            severity: Severity::Critical,
            start: Timestamp::UNIX_EPOCH,
            name: "A".into(),
            ended_at: None,
            repeated_at: None,
        };
        let mut alerts = ByGroup::default();
        alerts.add("service=a".to_owned(), vec![seen("x"), seen("y")]);
        assert!(!alerts.has_elsewhere("service=a", &[seen("x")]), "the same key goes on in order");
        assert!(!alerts.has_elsewhere("service=b", &[seen("z")]), "other alerts stand for themselves");
        assert!(alerts.has_elsewhere("service=b", &[seen("z"), seen("x")]), "x has to be folded in first");
        alerts.add("service=b".to_owned(), vec![seen("z")]);
        assert!(alerts.has_elsewhere("service=a", &[seen("z")]));
    }
}

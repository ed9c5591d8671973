//! Evaluates the rules on a beat, keeps their states in the store, and delivers their alerts until they are taken.
//!
//! A change of phase and the alert it causes are one commit (`rule/<id>/<digest of the series>`); the alert waits there
//! until the sink has taken it, so a crash at any point loses nothing and repeats at most the delivery, which the sink
//! recognises by the alert's id. Values that change nothing are not written. An alert that goes on is given to the sink again
//! every minute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alert::{ended, fired, series_digest, unit_of};
use super::state::{Measured, Phase, SeriesState, Tell};
use super::{ChangeUnit, NoData, RuleOptions};
use crate::alert::Alert;
use crate::core::message::watch as say;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp};
use crate::store::{Batch, Key, Range, Record, Revision, SharedStore};
use crate::watch::expr::{Labels, Query};
use crate::watch::logs::Tails;
use crate::watch::metrics::OwnMetrics;
use crate::watch::options::RuleDefaults;
use crate::watch::{AlertSink, Error};

/// Alerts of one series that may wait for the sink; at the bound the series stands still until some are taken.
const MOST_WAITING: usize = 16;
/// Alerts given to the sink at once.
const AT_ONCE: usize = 100;
/// How long the sink may take.
const TAKE_WITHIN: Duration = Duration::from_secs(10);
/// An alert that goes on is said again this often: whoever resolved its incident by hand must hear that it does.
const REPEAT: Duration = Duration::from_secs(60);
/// At most so many stored series states are read when Mayday starts.
const MOST_STORED: usize = 50_000;

/// How a rule stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RuleStatus {
    /// The rule's id.
    pub id: String,
    /// What its alerts are called.
    pub alert_name: String,
    /// What it measures.
    pub measures: String,
    /// Series it follows.
    pub series: usize,
    /// Of these, firing.
    pub firing: usize,
    /// Of these, pending.
    pub pending: usize,
    /// Of these, without data for too long.
    pub blind: usize,
    /// Series beyond the bound, which are not followed.
    pub not_followed: usize,
    /// Alerts that wait to be taken.
    pub waiting: usize,
    /// Why it could not be evaluated last time.
    pub error: Option<String>,
    /// When it was evaluated last.
    pub at: Option<Timestamp>,
}

/// How the rules stand. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// A plain lock, held for a copy.
    status: Arc<Mutex<Vec<RuleStatus>>>,
}

impl Rules {
    /// All rules, in the configuration's order.
    #[must_use]
    pub fn list(&self) -> Vec<RuleStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A series of a rule as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    rule: String,
    labels: BTreeMap<String, String>,
    state: SeriesState,
    /// The alert that is open, as it was told.
    open: Option<Alert>,
    /// Alerts the sink has not taken yet, oldest first.
    waiting: Vec<Alert>,
}

impl Record for Kept {}

#[derive(Debug, Clone)]
struct Live {
    kept: Kept,
    revision: Option<Revision>,
    /// When its alert was given to the sink last, as far as this process knows.
    told: Option<Timestamp>,
}

impl Live {
    /// Whether its alert goes on and is to be said again. While the comparison does not hold, or nothing is measured, there
    /// is nothing to repeat.
    fn repeats(&self, rule: &RuleOptions, now: Timestamp) -> bool {
        let state = &self.kept.state;
        let holds = matches!(state.phase, Phase::Firing { clear_since: None, .. })
            && (state.seen_at == now || state.blind && rule.no_data == NoData::Alert);
        let said = self.told.and_then(|told| Duration::try_from(now.duration_since(told)).ok());
        holds && self.kept.waiting.is_empty() && said.is_none_or(|since| since >= REPEAT)
    }
}

struct Rule {
    options: RuleOptions,
    query: Option<Query>,
    /// By the digest of the labels.
    series: BTreeMap<String, Live>,
    not_followed: usize,
    error: Option<String>,
}

/// Runs the rules.
pub struct Service {
    rules: Vec<Rule>,
    defaults: RuleDefaults,
    metrics: OwnMetrics,
    tails: Tails,
    store: SharedStore,
    sink: Arc<dyn AlertSink>,
    clock: SharedClock,
    status: Rules,
    /// Series of rules that are no longer configured, until their open alerts are ended and taken.
    orphans: BTreeMap<String, Live>,
}

impl Service {
    /// A service and the view of it.
    ///
    /// # Errors
    /// An expression that can't be read.
    pub fn new(
        rules: Vec<RuleOptions>,
        defaults: RuleDefaults,
        (metrics, tails): (OwnMetrics, Tails),
        store: SharedStore,
        sink: Arc<dyn AlertSink>,
        clock: SharedClock,
    ) -> Result<(Self, Rules), Error> {
        let status = Rules::default();
        let rules: Result<Vec<Rule>, Error> = rules
            .into_iter()
            .map(|options| {
                let query = options.expr.as_deref().map(Query::parse).transpose();
                let query = query.map_err(|error| Error::Rule { id: options.id.clone(), why: error.to_string() })?;
                Ok(Rule { options, query, series: BTreeMap::new(), not_followed: 0, error: None })
            })
            .collect();
        let service = Self {
            rules: rules?,
            defaults,
            metrics,
            tails,
            store,
            sink,
            clock,
            status: status.clone(),
            orphans: BTreeMap::new(),
        };
        Ok((service, status))
    }

    /// Evaluates until asked to stop.
    pub async fn run(mut self, stop: Stop) {
        while let Err(error) = self.load().await {
            tracing::error!(%error, "the states of the alert rules can't be read; trying again");
            tokio::select! {
                () = stop.wait() => return,
                () = self.clock.sleep(Duration::from_secs(1)) => {}
            }
        }
        loop {
            if let Err(error) = self.round().await {
                // Nothing moved: the next round decides again from what is stored.
                tracing::error!(%error, "the states of the alert rules can't be stored");
                if matches!(error, crate::store::Error::Conflict(_))
                    && let Err(error) = self.load().await
                {
                    tracing::error!(%error, "the states of the alert rules can't be read");
                }
            }
            tokio::select! {
                () = stop.wait() => return,
                () = self.clock.sleep(self.defaults.every.0) => {}
            }
        }
    }

    pub(super) async fn load(&mut self) -> Result<(), crate::store::Error> {
        for rule in &mut self.rules {
            rule.series.clear();
        }
        self.orphans.clear();
        for entry in self.store.scan(&Range::under(&Key::of(["rule"]), MOST_STORED)).await? {
            let kept: Kept = match entry.decode() {
                Ok(kept) => kept,
                Err(error) => {
                    tracing::error!(%error, "a rule's state can't be read and starts anew");
                    continue;
                }
            };
            let (digest, live) =
                (entry.key.last().to_owned(), |kept| Live { kept, revision: Some(entry.revision), told: None });
            match self.rules.iter_mut().find(|rule| rule.options.id == kept.rule) {
                Some(rule) => drop(rule.series.insert(digest, live(kept))),
                None => drop(self.orphans.insert(entry.key.to_string(), live(kept))),
            }
        }
        Ok(())
    }

    /// One evaluation of everything, and one delivery of what waits.
    ///
    /// # Errors
    /// The store's; then nothing moved that is not stored.
    pub async fn round(&mut self) -> Result<(), crate::store::Error> {
        let began = std::time::Instant::now();
        let now = self.clock.now();
        for index in 0..self.rules.len() {
            self.evaluate(index, now).await?;
        }
        self.end_orphans(now).await?;
        self.deliver(now).await?;
        self.show(now);
        metrics::histogram!("mayday_watch_rules_round_seconds").record(began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn evaluate(&mut self, index: usize, now: Timestamp) -> Result<(), crate::store::Error> {
        let (limit, history) = (self.defaults.max_series, self.defaults.history);
        let rule = &mut self.rules[index];
        let measured = match measure(rule, &self.metrics, &self.tails, now) {
            Ok(measured) => {
                rule.error = None;
                measured
            }
            Err(error) => {
                if rule.error.as_deref() != Some(&error) {
                    tracing::warn!(rule = rule.options.id, error, "an alert rule can't be evaluated");
                }
                rule.error = Some(error);
                // Blind, not fine: known series take a missing value below.
                Vec::new()
            }
        };
        let mut by_digest: BTreeMap<String, (Labels, f64)> =
            measured.into_iter().map(|(labels, value)| (series_digest(&labels), (labels, value))).collect();
        rule.not_followed = 0;
        let mut changed: Vec<(String, Live)> = Vec::new();
        let known: Vec<String> = rule.series.keys().cloned().collect();
        for digest in known {
            let measured = by_digest.remove(&digest).map_or(Measured::Missing, |(_, value)| Measured::Value(value));
            let Some(live) = rule.series.get_mut(&digest) else { continue };
            if live.kept.waiting.len() >= MOST_WAITING {
                continue;
            }
            let mut next = live.clone();
            if advance(&rule.options, &mut next.kept, measured, now, history) {
                changed.push((digest, next));
            } else {
                *live = next;
            }
        }
        for (digest, (labels, value)) in by_digest {
            if rule.series.len() + changed.iter().filter(|(_, live)| live.revision.is_none()).count() >= limit {
                rule.not_followed += 1;
                continue;
            }
            let kept = Kept {
                rule: rule.options.id.clone(),
                labels: (*labels).clone(),
                state: SeriesState::new(now),
                open: None,
                waiting: Vec::new(),
            };
            let mut live = Live { kept, revision: None, told: None };
            if advance(&rule.options, &mut live.kept, Measured::Value(value), now, history) {
                changed.push((digest, live));
            } else {
                // Not stored before something happens: a healthy rule costs the store nothing.
                rule.series.insert(digest, live);
            }
        }
        if rule.not_followed > 0 {
            metrics::counter!("mayday_watch_rule_series_dropped_total", "rule" => rule.options.id.clone())
                .increment(rule.not_followed as u64);
        }
        let gone: Vec<(String, Option<Revision>)> = rule
            .series
            .iter()
            .filter(|(_, live)| live.kept.waiting.is_empty() && live.kept.state.forgettable(now))
            .map(|(digest, live)| (digest.clone(), live.revision))
            .collect();
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let id = rule.options.id.clone();
        let mut batch = Batch::new();
        for (digest, live) in &changed {
            let key = Key::of(["rule", &id, digest]);
            batch.require_as_read(key.clone(), live.revision);
            batch.put(key, &live.kept)?;
        }
        for (digest, revision) in &gone {
            if let Some(revision) = revision {
                let key = Key::of(["rule", &id, digest]);
                batch.require_unchanged(key.clone(), *revision).delete(key);
            }
        }
        let written = if batch.is_empty() { None } else { Some(self.store.commit(batch).await?) };
        let rule = &mut self.rules[index];
        for (digest, mut live) in changed {
            live.revision = written;
            rule.series.insert(digest, live);
        }
        for (digest, _) in gone {
            rule.series.remove(&digest);
        }
        Ok(())
    }

    /// A rule that was taken out of the configuration can't say any more that its alert has ended: it ends now.
    async fn end_orphans(&mut self, now: Timestamp) -> Result<(), crate::store::Error> {
        let mut batch = Batch::new();
        let mut next = Vec::new();
        for (key, live) in &self.orphans {
            let stored = Key::stored(key.clone());
            if let Some(open) = &live.kept.open {
                let mut live = live.clone();
                live.kept.open = None;
                live.kept.state.phase = Phase::Resolved { at: now };
                live.kept.waiting.push(ended(open, now, &say::rule_removed(&live.kept.rule)));
                batch.require_as_read(stored.clone(), live.revision);
                batch.put(stored, &live.kept)?;
                next.push((key.clone(), Some(live)));
            } else if live.kept.waiting.is_empty() {
                batch.require_as_read(stored.clone(), live.revision).delete(stored);
                next.push((key.clone(), None));
            }
        }
        if next.is_empty() {
            return Ok(());
        }
        let revision = self.store.commit(batch).await?;
        for (key, live) in next {
            match live {
                Some(live) => drop(self.orphans.insert(key, Live { revision: Some(revision), ..live })),
                None => drop(self.orphans.remove(&key)),
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, now: Timestamp) -> Result<(), crate::store::Error> {
        let mut alerts = Vec::new();
        // Which series, and how many of its waiting alerts go now.
        let mut of: Vec<(Key, usize)> = Vec::new();
        let rules = self.rules.iter().flat_map(|rule| {
            rule.series.iter().map(|(digest, live)| (Key::of(["rule", &rule.options.id, digest]), live))
        });
        let orphans = self.orphans.iter().map(|(key, live)| (Key::stored(key.clone()), live));
        for (key, live) in rules.chain(orphans) {
            let room = AT_ONCE - alerts.len();
            let count = live.kept.waiting.len().min(room);
            if count > 0 {
                alerts.extend(live.kept.waiting[..count].iter().cloned());
                of.push((key, count));
            }
        }
        let mut again: Vec<Key> = Vec::new();
        for rule in &self.rules {
            let series = rule.series.iter().filter(|(_, live)| live.repeats(&rule.options, now));
            for (digest, open) in series.filter_map(|(digest, live)| Some((digest, live.kept.open.as_ref()?))) {
                if alerts.len() < AT_ONCE {
                    alerts.push(open.clone());
                    again.push(Key::of(["rule", &rule.options.id, digest]));
                }
            }
        }
        if alerts.is_empty() {
            return Ok(());
        }
        let count = alerts.len() as u64;
        // tokio's time on purpose: this bounds a call, it decides nothing.
        let taken = tokio::time::timeout(TAKE_WITHIN, self.sink.accept(alerts)).await;
        if let Err(why) = taken.unwrap_or_else(|_| Err(format!("no answer within {TAKE_WITHIN:?}"))) {
            tracing::warn!(alerts = count, why, "own alerts were not taken; they wait");
            metrics::counter!("mayday_watch_alerts_refused_total").increment(count);
            return Ok(());
        }
        metrics::counter!("mayday_watch_alerts_told_total").increment(count);
        for key in again.iter().chain(of.iter().map(|(key, _)| key)) {
            if let Some(live) = self.live(key) {
                live.told = Some(now);
            }
        }
        if of.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        let mut next = Vec::new();
        for (key, count) in of {
            if let Some(live) = self.live(&key) {
                let mut live = live.clone();
                live.kept.waiting.drain(..count);
                batch.require_as_read(key.clone(), live.revision);
                batch.put(key.clone(), &live.kept)?;
                next.push((key, live));
            }
        }
        let revision = self.store.commit(batch).await?;
        for (key, live) in next {
            if let Some(place) = self.live(&key) {
                *place = Live { revision: Some(revision), ..live };
            }
        }
        Ok(())
    }

    fn live(&mut self, key: &Key) -> Option<&mut Live> {
        let own = self.rules.iter_mut().find(|rule| key.is_under(&Key::of(["rule", &rule.options.id])));
        match own {
            Some(rule) => rule.series.get_mut(key.last()),
            None => self.orphans.get_mut(key.as_str()),
        }
    }

    fn show(&self, now: Timestamp) {
        let status: Vec<RuleStatus> = self
            .rules
            .iter()
            .map(|rule| {
                let count =
                    |wanted: &dyn Fn(&Kept) -> bool| rule.series.values().filter(|live| wanted(&live.kept)).count();
                RuleStatus {
                    id: rule.options.id.clone(),
                    alert_name: rule.options.alert_name.clone(),
                    measures: rule.options.measures(),
                    series: rule.series.len(),
                    firing: count(&|kept| matches!(kept.state.phase, Phase::Firing { .. })),
                    pending: count(&|kept| matches!(kept.state.phase, Phase::Pending { .. })),
                    blind: count(&|kept| kept.state.blind),
                    not_followed: rule.not_followed,
                    waiting: rule.series.values().map(|live| live.kept.waiting.len()).sum(),
                    error: rule.error.clone(),
                    at: Some(now),
                }
            })
            .collect();
        metrics::gauge!("mayday_watch_rules_firing").set(status.iter().map(|rule| rule.firing).sum::<usize>() as f64);
        metrics::gauge!("mayday_watch_rules_without_data")
            .set(status.iter().filter(|rule| rule.blind > 0).count() as f64);
        *self.status.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

/// The rule's numbers now, by labels without the name.
fn measure(rule: &Rule, metrics: &OwnMetrics, tails: &Tails, now: Timestamp) -> Result<Vec<(Labels, f64)>, String> {
    if let Some(logs) = &rule.options.logs {
        let from = now - logs.window.0;
        // The bound is exclusive; a line of this very moment counts.
        let to = now + Duration::from_millis(1);
        let count = tails.count(&logs.service, from, to, &logs.words);
        let labels = BTreeMap::from([("service".to_owned(), logs.service.clone())]);
        return Ok(vec![(Arc::new(labels), count as f64)]);
    }
    let Some(query) = &rule.query else { return Ok(Vec::new()) };
    let at = |moment| metrics.instant(query, moment).map_err(|error| error.to_string());
    let current = at(now)?;
    let Some(change) = rule.options.change else { return Ok(current) };
    let before: BTreeMap<Labels, f64> = at(now - change.over.0)?.into_iter().collect();
    let moved = current.into_iter().filter_map(|(labels, value)| {
        let then = *before.get(&labels)?;
        let moved = match change.unit {
            ChangeUnit::Value => value - then,
            ChangeUnit::Percent => (value - then) / then.abs() * 100.0,
        };
        moved.is_finite().then_some((labels, moved))
    });
    Ok(moved.collect())
}

/// Steps one series; true if it must be stored.
fn advance(rule: &RuleOptions, kept: &mut Kept, measured: Measured, now: Timestamp, history: usize) -> bool {
    let (tell, changed) = kept.state.step(rule, measured, now, history);
    match tell {
        Some(Tell::Fires { since, blind }) => {
            let alert = fired(rule, &kept.labels, &kept.state, since, blind);
            tracing::info!(rule = rule.id, alert = %alert.alert_id, value = kept.state.value, "own alert fires");
            kept.open = Some(alert.clone());
            kept.waiting.push(alert);
        }
        Some(Tell::Resolves { .. }) => {
            if let Some(open) = kept.open.take() {
                let says = say::alert_over(&rule.alert_name, &rule.measures(), kept.state.value, unit_of(rule));
                let mut over = ended(&open, now, &says);
                over.metric_value = kept.state.value.or(over.metric_value);
                kept.waiting.push(over);
            }
        }
        None => {}
    }
    changed || tell.is_some()
}

//! Evaluates the rules on a beat, and keeps their states in the store.
//!
//! A change of phase and the alert it causes are one commit (`rule/<id>/<digest of the series>`); the alert waits there
//! until the sink has taken it, so a crash at any point loses nothing and repeats at most the delivery, which the sink
//! recognises by the alert's id. Values that change nothing are not written. An alert that goes on is given to the sink again
//! every minute ([`super::deliver`]).
//!
//! Where several Maydays share the store, each looks after what it is in charge of ([`super::charge`]): it reads those states
//! when it gains them or another process wrote them, and drops the others. A commit is conditional on each state as it was
//! read, and guarded by the lease where there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch::Receiver;

use super::charge::{Charge, HOST, Peers, per_host};
use super::kept::{Kept, Live};
use super::measure::measure;
use super::state::Measured;
use super::status::Rules;
use super::{NoData, RuleOptions, alert};
use crate::core::message::watch as say;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp};
use crate::store::{self, Batch, Key, Range, Revision, SharedStore, Watch};
use crate::watch::expr::{Labels, Query};
use crate::watch::logs::Tails;
use crate::watch::metrics::OwnMetrics;
use crate::watch::options::Options;
use crate::watch::{AlertSink, Error};

/// Alerts of one series that may wait for the sink; at the bound the series stands still until some are taken.
const MOST_WAITING: usize = 16;
/// Alerts given to the sink at once; series that nobody measures, written at once.
pub(super) const AT_ONCE: usize = 100;
/// Where replicas come and go, a rule counts as taken out of the configuration when no living one had it for so long.
const PATIENCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);
/// At most so many stored series states are read.
const MOST_STORED: usize = 50_000;

pub(super) struct Rule {
    pub options: RuleOptions,
    query: Option<Query>,
    /// Whether each machine evaluates it for itself; never where there is only one.
    pub per_host: bool,
    /// Whether this process evaluates it now.
    pub mine: bool,
    /// What is measured here, by the digest of the labels.
    pub series: BTreeMap<String, Live>,
    pub not_followed: usize,
    pub error: Option<String>,
    pub at: Option<Timestamp>,
}

/// Runs the rules.
pub struct Service {
    pub(super) rules: Vec<Rule>,
    options: Options,
    metrics: OwnMetrics,
    tails: Tails,
    pub(super) store: SharedStore,
    pub(super) sink: Arc<dyn AlertSink>,
    clock: SharedClock,
    pub(super) peers: Peers,
    pub(super) status: Rules,
    /// Series that nobody measures any more, by their keys: of rules that are no longer configured, and of machines that no
    /// living replica stands for. They stay until their open alerts are ended and taken.
    pub(super) left: BTreeMap<String, Live>,
    /// For which rules the states in memory were chosen: those that are evaluated here, and those whose series on machines
    /// that are gone are tended here. None: they are read again.
    chosen: Option<(Vec<bool>, Vec<bool>)>,
    written: Watch,
    /// Tells that leases or replicas have come or gone.
    moved: Receiver<u64>,
}

impl Service {
    /// A service and the view of it.
    ///
    /// # Errors
    /// An expression that can't be read.
    pub fn new(
        options: &Options,
        (metrics, tails): (OwnMetrics, Tails),
        store: SharedStore,
        sink: Arc<dyn AlertSink>,
        charge: Arc<dyn Charge>,
        clock: SharedClock,
    ) -> Result<(Self, Rules), Error> {
        let status = Rules::default();
        let own = options.rules.iter().map(|rule| rule.id.clone()).collect();
        let shares = charge.machine().is_some();
        let read = |rule: &RuleOptions| {
            let query = rule.expr.as_deref().map(Query::parse).transpose();
            let query = query.map_err(|error| Error::Rule { id: rule.id.clone(), why: error.to_string() })?;
            let per_host = shares && per_host(rule, query.as_ref(), &options.scrape);
            let (options, series) = (rule.clone(), BTreeMap::new());
            Ok(Rule { options, query, per_host, mine: false, series, not_followed: 0, error: None, at: None })
        };
        let service = Self {
            rules: options.rules.iter().map(read).collect::<Result<_, Error>>()?,
            options: options.clone(),
            metrics,
            tails,
            written: store.watch(&Key::of(["rule"])),
            moved: charge.changed(),
            peers: Peers::new(charge, store.clone(), own),
            store,
            sink,
            clock,
            status: status.clone(),
            left: BTreeMap::new(),
            chosen: None,
        };
        Ok((service, status))
    }

    /// Evaluates until asked to stop.
    pub async fn run(mut self, stop: Stop) {
        let mut moved = self.moved.clone();
        loop {
            if let Err(error) = self.round().await {
                // Nothing moved: the next round decides again from what is stored.
                tracing::error!(%error, "the states of the alert rules can't be read or stored");
            }
            let changed = async {
                if moved.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = stop.wait() => return,
                // What was gained goes on at once.
                () = changed => {}
                () = self.clock.sleep(self.options.rule_defaults.every.0) => {}
            }
        }
    }

    /// One evaluation of everything this process is in charge of, and one delivery of what waits.
    ///
    /// # Errors
    /// The store's; then nothing moved that is not stored.
    pub async fn round(&mut self) -> Result<(), store::Error> {
        let began = std::time::Instant::now();
        let now = self.clock.now();
        self.choose(now).await?;
        for index in 0..self.rules.len() {
            let evaluated = self.evaluate(index, now).await;
            self.unless_overtaken(evaluated)?;
        }
        let tended = self.tend_left(now).await;
        self.unless_overtaken(tended)?;
        let delivered = self.deliver(now).await;
        self.unless_overtaken(delivered)?;
        self.show();
        metrics::histogram!("mayday_watch_rules_round_seconds").record(began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Another process wrote a state, or took a lease: nothing moved here, and the next round reads what is stored.
    fn unless_overtaken(&mut self, result: Result<(), store::Error>) -> Result<(), store::Error> {
        match result {
            Err(store::Error::Conflict(key)) => {
                tracing::info!(%key, "the state of an alert rule was written elsewhere; it is read again");
                self.chosen = None;
                Ok(())
            }
            result => result,
        }
    }

    /// Makes a commit about such a series fail once another process is in charge.
    pub(super) fn guard(&self, batch: &mut Batch, kept: &Kept, key: &Key) -> Result<(), store::Error> {
        let guarded = self.peers.guard(batch, &kept.rule, kept.machine.as_deref());
        if guarded { Ok(()) } else { Err(store::Error::Conflict(key.clone())) }
    }

    /// Settles what this process is in charge of, and reads what is stored of that where it may have moved.
    async fn choose(&mut self, now: Timestamp) -> Result<(), store::Error> {
        self.peers.look();
        let said = self.peers.read(now).await;
        self.unless_overtaken(said)?;
        let own = self.peers.machine();
        let of = |machine: fn(&Rule) -> bool| -> Vec<bool> {
            let rules = self.rules.iter();
            rules.map(|rule| self.peers.in_charge(&rule.options.id, own.filter(|_| machine(rule)))).collect()
        };
        let chosen = (of(|rule| rule.per_host), of(|_| false));
        // Alone, nobody else writes.
        let written = own.is_some() && self.written.0.has_changed().unwrap_or(false);
        let moved = self.moved.has_changed().unwrap_or(false) | self.peers.moved();
        if written || moved || self.chosen.as_ref() != Some(&chosen) {
            // Before the read: what changes during it is read again, and so is everything if it fails.
            self.written.0.mark_unchanged();
            self.moved.mark_unchanged();
            self.chosen = None;
            self.read(&chosen.0, now).await?;
            self.chosen = Some(chosen);
        }
        Ok(())
    }

    async fn read(&mut self, mine: &[bool], now: Timestamp) -> Result<(), store::Error> {
        let stored = self.store.scan(&Range::under(&Key::of(["rule"]), MOST_STORED)).await?;
        let mut before = std::mem::take(&mut self.left);
        for (rule, mine) in self.rules.iter_mut().zip(mine) {
            let series = std::mem::take(&mut rule.series).into_iter();
            before
                .extend(series.map(|(digest, live)| (Key::of(["rule", &rule.options.id, &digest]).to_string(), live)));
            rule.mine = *mine;
        }
        for entry in stored {
            let known = before.remove(entry.key.as_str()).filter(|live| live.revision == Some(entry.revision));
            match known.map_or_else(|| entry.decode().map(|kept| Live::taken_over(kept, entry.revision, now)), Ok) {
                Ok(live) => self.place(&entry.key, live),
                Err(error) => tracing::error!(%error, "a rule's state can't be read and starts anew"),
            }
        }
        // What was never stored is known here only.
        for (key, live) in before.into_iter().filter(|(_, live)| live.revision.is_none()) {
            self.place(&Key::stored(key), live);
        }
        Ok(())
    }

    /// Puts a series where it is looked after; nowhere, if that is another process.
    fn place(&mut self, key: &Key, mut live: Live) {
        let rule = self.rules.iter().position(|rule| rule.options.id == live.kept.rule);
        if rule.is_some_and(|rule| self.rules[rule].per_host) && live.kept.machine.is_none() {
            // Written by a Mayday of before, which knew no machines and left the name out.
            let lives = |host: &&String| self.peers.lives(Some(host));
            live.kept.machine = live.kept.labels.get(HOST).filter(lives).cloned();
        }
        let (machine, own) = (live.kept.machine.as_deref(), self.peers.machine());
        if !self.peers.in_charge(&live.kept.rule, machine) {
            return;
        }
        let measured = |rule: &usize| machine == own.filter(|_| self.rules[*rule].per_host);
        match rule.filter(measured) {
            Some(rule) => drop(self.rules[rule].series.insert(key.last().to_owned(), live)),
            None => drop(self.left.insert(key.to_string(), live)),
        }
    }

    async fn evaluate(&mut self, index: usize, now: Timestamp) -> Result<(), store::Error> {
        let (limit, history) = (self.options.rule_defaults.max_series, self.options.rule_defaults.history);
        let shares = self.peers.machine().is_some();
        let rule = &mut self.rules[index];
        rule.not_followed = 0;
        if !rule.mine {
            rule.error = None;
            return Ok(());
        }
        rule.at = Some(now);
        let machine = self.peers.machine().filter(|_| rule.per_host).map(str::to_owned);
        let measured = match measure(&rule.options, rule.query.as_ref(), &self.metrics, &self.tails, now) {
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
        let named = |labels| machine.as_ref().map_or(Labels::clone(&labels), |machine| of_machine(&labels, machine));
        let mut by_digest: BTreeMap<String, (Labels, f64)> = measured
            .into_iter()
            .map(|(labels, value)| (named(labels), value))
            .map(|(labels, value)| (alert::series_digest(&labels), (labels, value)))
            .collect();
        let mut changed: Vec<(String, Live)> = Vec::new();
        let known: Vec<String> = rule.series.keys().cloned().collect();
        for digest in known {
            let measured = by_digest.remove(&digest).map_or(Measured::Missing, |(_, value)| Measured::Value(value));
            let Some(live) = rule.series.get_mut(&digest) else { continue };
            if live.kept.waiting.len() >= MOST_WAITING {
                continue;
            }
            let mut next = live.clone();
            if next.advance(&rule.options, measured, now, history) {
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
            let kept = Kept::new(&rule.options.id, Labels::unwrap_or_clone(labels), machine.clone(), now);
            let mut live = Live::new(kept, now);
            // Who takes over must know of a series whose absence is to be told.
            let must_be_known = shares && rule.options.no_data == NoData::Alert;
            if live.advance(&rule.options, Measured::Value(value), now, history) || must_be_known {
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
        let of = Key::of(["rule", &id]);
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
        let mut written = None;
        if !batch.is_empty() {
            if !self.peers.guard(&mut batch, &id, machine.as_deref()) {
                return Err(store::Error::Conflict(of));
            }
            written = Some(self.store.commit(batch).await?);
        }
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

    /// Series that nobody measures. Those of a machine without a living replica are without data, and the rule says what
    /// that means; until they are given up. Who was taken out of the configuration can't say any more that its alert has
    /// ended: it ends now.
    async fn tend_left(&mut self, now: Timestamp) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        let mut next = Vec::new();
        let mut guarded = BTreeSet::new();
        // Who alone has a rule may only be starting again.
        let patience = if self.peers.machine().is_some() { PATIENCE } else { jiff::SignedDuration::ZERO };
        for (key, live) in &self.left {
            let kept = &live.kept;
            let rule = self.rules.iter().find(|rule| rule.options.id == kept.rule);
            let on_machine = rule.filter(|rule| rule.per_host).map(|rule| &rule.options);
            let mut after = live.clone();
            let changed = match on_machine {
                Some(rule) if !live.given_up(now) && kept.waiting.len() < MOST_WAITING => {
                    after.advance(rule, Measured::Missing, now, self.options.rule_defaults.history)
                }
                Some(_) if !live.given_up(now) => false,
                None if rule.is_none() && now.duration_since(live.taken_at) < patience => false,
                _ if kept.open.is_some() => {
                    let says = match (rule, &kept.machine) {
                        (None, _) => say::rule_removed(&kept.rule),
                        (Some(rule), Some(machine)) if rule.per_host => say::machine_gone(&kept.rule, machine),
                        (Some(_), _) => say::rule_changed(&kept.rule),
                    };
                    after.end(now, &says);
                    true
                }
                _ if kept.waiting.is_empty() => {
                    next.push((key.clone(), None));
                    continue;
                }
                _ => false,
            };
            next.push((key.clone(), Some((changed, after))));
        }
        // What changes nothing need not be written; the rest in parts, so that one commit can hold it.
        let mut written = Vec::new();
        for (key, after) in next {
            let Some(live) = self.left.get(&key) else { continue };
            match &after {
                Some((false, after)) => {
                    self.left.insert(key, after.clone());
                    continue;
                }
                _ if written.len() >= AT_ONCE => continue,
                _ => {}
            }
            let stored = Key::stored(key.clone());
            if guarded.insert((live.kept.rule.clone(), live.kept.machine.clone())) {
                self.guard(&mut batch, &live.kept, &stored)?;
            }
            batch.require_as_read(stored.clone(), live.revision);
            match &after {
                Some((_, after)) => drop(batch.put(stored, &after.kept)?),
                None => drop(batch.delete(stored)),
            }
            written.push((key, after));
        }
        if written.is_empty() {
            return Ok(());
        }
        let revision = self.store.commit(batch).await?;
        for (key, after) in written {
            match after {
                Some((_, live)) => drop(self.left.insert(key, Live { revision: Some(revision), ..live })),
                None => drop(self.left.remove(&key)),
            }
        }
        Ok(())
    }
}

/// The labels of a series that is one machine's: its name stands among them, whatever they said.
fn of_machine(labels: &Labels, machine: &str) -> Labels {
    let mut labels = BTreeMap::clone(labels);
    labels.insert(HOST.to_owned(), machine.to_owned());
    Labels::new(labels)
}

//! Who evaluates what, where several Maydays share a store.
//!
//! * What every replica can see (scraped pages) is evaluated by one of them: the holder of the rule's lease; should that one not
//!   have the rule in its configuration, the oldest that has.
//! * What is one machine's alone (its own metrics, processes that it started, log lines that it tailed, pages of its loopback)
//!   is evaluated by the oldest replica on the machine. Its series get the machine's name as the label `host`.
//! * Series of machines without a living replica are of whoever would evaluate the rule for all; series of rules that nobody
//!   has any more are the lease holder's.
//!
//! Which rules a replica has stands in `rule-set/<replica>`, written when that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::RuleOptions;
use crate::core::Timestamp;
use crate::store::{self, Batch, Key, Range, Record, SharedStore, Watch};
use crate::watch::expr::{LabelMatch, Query, Selector, Test};
use crate::watch::options::ScrapeOptions;
use crate::watch::usage;

/// The label that tells the machines of one rule apart.
pub(super) const HOST: &str = "host";

/// At most so many replicas are looked at.
const REPLICAS: usize = 1_000;
/// What a replica that is gone has said is removed after this.
const FORGOTTEN: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// Who lives and who holds what. Nobody trusts an answer for long: it is asked again each round, and each commit is
/// conditional on what was read.
pub trait Charge: Send + Sync + 'static {
    /// What this process is called among the replicas; older ones sort first.
    fn me(&self) -> &str;
    /// This machine's name; none where one Mayday owns the store, since then nothing has to be told apart.
    fn machine(&self) -> Option<&str>;
    /// Whether this process holds the rule's lease.
    fn holds(&self, rule: &str) -> bool;
    /// Who held it when this process looked last.
    fn holder(&self, rule: &str) -> Option<String>;
    /// Makes a batch fail if another process holds the rule by then; false if this one does not hold it now.
    fn guard(&self, rule: &str, batch: &mut Batch) -> bool;
    /// The replicas that live, and the machine of each; none while that can't be told.
    fn living(&self) -> Option<BTreeMap<String, Option<String>>>;
    /// Wakes when any of this may have changed.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// One Mayday that owns its store: everything is its own.
#[derive(Debug, Default)]
pub struct Alone(watch::Sender<u64>);

impl Charge for Alone {
    fn me(&self) -> &str {
        "alone"
    }

    fn machine(&self) -> Option<&str> {
        None
    }

    fn holds(&self, _: &str) -> bool {
        true
    }

    fn holder(&self, _: &str) -> Option<String> {
        None
    }

    fn guard(&self, _: &str, _: &mut Batch) -> bool {
        true
    }

    fn living(&self) -> Option<BTreeMap<String, Option<String>>> {
        Some(BTreeMap::new())
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// The rules that a replica has in its configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RuleSet {
    rules: BTreeSet<String>,
    at: Timestamp,
}

impl Record for RuleSet {}

/// What this process knows of the others, and so what is its own to do.
pub(super) struct Peers {
    charge: Arc<dyn Charge>,
    store: SharedStore,
    own: BTreeSet<String>,
    /// None: not known now, and nothing is this process's.
    living: Option<BTreeMap<String, Option<String>>>,
    others: BTreeMap<String, BTreeSet<String>>,
    /// Whether what the others have must be read again.
    stale: bool,
    /// Whether any of this has changed since it was asked.
    moved: bool,
    written: Watch,
}

impl Peers {
    pub fn new(charge: Arc<dyn Charge>, store: SharedStore, own: BTreeSet<String>) -> Self {
        let written = store.watch(&Key::of(["rule-set"]));
        Self { charge, store, own, living: None, others: BTreeMap::new(), stale: true, moved: true, written }
    }

    /// This machine's name, where several share the store.
    pub fn machine(&self) -> Option<&str> {
        self.charge.machine()
    }

    /// Looks who lives.
    pub fn look(&mut self) {
        let living = self.charge.living();
        let moved = living != self.living;
        (self.stale, self.moved) = (self.stale | moved, self.moved | moved);
        self.living = living;
    }

    /// Reads which rules the others have, if that may have changed, and says which ones this process has.
    pub async fn read(&mut self, now: Timestamp) -> Result<(), store::Error> {
        if self.machine().is_none() || !(self.stale || self.written.0.has_changed().unwrap_or(false)) {
            return Ok(());
        }
        // Before the read: what changes during it is read again, and so is everything if it fails.
        self.written.0.mark_unchanged();
        self.stale = true;
        let me = Key::of(["rule-set", self.charge.me()]);
        let (mut batch, mut said) = (Batch::new(), None);
        let stored = self.store.scan(&Range::under(&Key::of(["rule-set"]), REPLICAS)).await?;
        self.others.clear();
        self.moved = true;
        for entry in stored {
            let set: RuleSet = match entry.decode() {
                Ok(set) => set,
                Err(error) => {
                    tracing::warn!(%error, "which rules another replica has can't be read");
                    continue;
                }
            };
            if entry.key == me {
                said = Some((set.rules, entry.revision));
            } else if self.living.as_ref().is_some_and(|living| living.contains_key(entry.key.last())) {
                self.others.insert(entry.key.last().to_owned(), set.rules);
            } else if now.duration_since(set.at) > FORGOTTEN {
                batch.require_unchanged(entry.key.clone(), entry.revision).delete(entry.key);
            }
        }
        if said.as_ref().is_none_or(|(rules, _)| *rules != self.own) {
            batch.require_as_read(me.clone(), said.map(|(_, revision)| revision));
            batch.put(me, &RuleSet { rules: self.own.clone(), at: now })?;
        }
        if !batch.is_empty() {
            self.store.commit(batch).await?;
        }
        self.stale = false;
        Ok(())
    }

    /// Whether anybody came or went, or said something else of its rules, since this was asked last.
    pub fn moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Whether this process looks after a series of a rule, which may be one machine's.
    pub fn in_charge(&self, rule: &str, machine: Option<&str>) -> bool {
        let Some(living) = &self.living else { return false };
        let me = self.charge.me();
        let there = || living.iter().filter(|(_, on)| machine.is_some() && on.as_deref() == machine).map(|(id, _)| id);
        if let Some(oldest) = there().next() {
            return there().find(|id| self.has(id, rule)).unwrap_or(oldest) == me;
        }
        if self.charge.holds(rule) {
            return self.has(me, rule) || !living.keys().any(|id| self.has(id, rule));
        }
        let holder = self.charge.holder(rule).filter(|holder| living.contains_key(holder));
        holder.is_some_and(|holder| !self.has(&holder, rule))
            && living.keys().find(|id| self.has(id, rule)).is_some_and(|id| id == me)
    }

    /// Makes a commit about such a series fail once another process is in charge; false if one is already. Where no lease
    /// says who that is, of two that both believe it for a moment the second one to write fails, since the state has moved.
    pub fn guard(&self, batch: &mut Batch, rule: &str, machine: Option<&str>) -> bool {
        self.lives(machine) || self.charge.guard(rule, batch) || self.in_charge(rule, machine)
    }

    /// Whether a replica lives on a machine.
    pub fn lives(&self, machine: Option<&str>) -> bool {
        let living = self.living.as_ref();
        machine.is_some() && living.is_some_and(|living| living.values().any(|on| on.as_deref() == machine))
    }

    fn has(&self, replica: &str, rule: &str) -> bool {
        let rules = if replica == self.charge.me() { Some(&self.own) } else { self.others.get(replica) };
        rules.is_some_and(|rules| rules.contains(rule))
    }
}

/// Whether each machine has to evaluate a rule for itself: as the rule says, else if anything in it is one machine's alone.
pub(super) fn per_host(rule: &RuleOptions, query: Option<&Query>, pages: &[ScrapeOptions]) -> bool {
    rule.per_host.unwrap_or_else(|| {
        rule.logs.is_some()
            || query.is_some_and(|query| query.selectors().iter().any(|selector| machines_own(selector, pages)))
    })
}

/// Whether a selector finds what only this machine sees: its own metrics, or pages of its loopback and no others.
fn machines_own(selector: &Selector, pages: &[ScrapeOptions]) -> bool {
    if selector.name.as_deref().is_some_and(|name| name.starts_with("host_") || usage::NAMES.contains(&name)) {
        return true;
    }
    let mut found = pages.iter().filter(|page| selector.labels.iter().all(|wanted| may_have(page, wanted))).peekable();
    found.peek().is_some() && found.all(|page| on_loopback(&page.url))
}

/// Whether series of a page may have such a label; what the page itself says is not known.
fn may_have(page: &ScrapeOptions, wanted: &LabelMatch) -> bool {
    let own = if wanted.label == "service" { Some(&page.service) } else { page.labels.get(&wanted.label) };
    own.is_none_or(|value| match &wanted.test {
        Test::Is(text) => value == text,
        Test::IsNot(text) => value != text,
        Test::Like(regex) => regex.is_match(value),
        Test::NotLike(regex) => !regex.is_match(value),
    })
}

fn on_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

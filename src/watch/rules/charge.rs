//! Who evaluates what, where several Maydays share a store.
//!
//! * What every replica can see (scraped pages) is evaluated by one of them: the holder of the rule's lease.
//! * What is one machine's alone (its own metrics, processes that it started, log lines that it tailed, pages of its loopback)
//!   is evaluated by the replica that stands for the machine. Its series get the machine's name as the label `host`.
//! * Series of machines that no living replica stands for, and of rules that nobody has any more, are the lease holder's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tokio::sync::watch;

use super::RuleOptions;
use crate::store::Batch;
use crate::watch::expr::{LabelMatch, Query, Selector, Test};
use crate::watch::options::ScrapeOptions;
use crate::watch::usage;

/// The label that tells the machines of one rule apart.
pub(super) const HOST: &str = "host";

/// What this process is in charge of. Nobody trusts an answer for long: it is asked again each round, and each commit is
/// conditional on what was read.
pub trait Charge: Send + Sync + 'static {
    /// This machine's name; none where one Mayday owns the store, since then nothing has to be told apart.
    fn machine(&self) -> Option<&str>;
    /// Whether this process evaluates the rule for all.
    fn holds(&self, rule: &str) -> bool;
    /// Makes a batch fail if another process holds the rule by then; false if this one does not hold it now.
    fn guard(&self, rule: &str, batch: &mut Batch) -> bool;
    /// The machines that a living replica stands for, and whether that is this one; none while that can't be told.
    fn machines(&self) -> Option<BTreeMap<String, bool>>;
    /// Wakes when any of this may have changed.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// One Mayday that owns its store: everything is its own.
#[derive(Debug, Default)]
pub struct Alone(watch::Sender<u64>);

impl Charge for Alone {
    fn machine(&self) -> Option<&str> {
        None
    }

    fn holds(&self, _: &str) -> bool {
        true
    }

    fn guard(&self, _: &str, _: &mut Batch) -> bool {
        true
    }

    fn machines(&self) -> Option<BTreeMap<String, bool>> {
        Some(BTreeMap::new())
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
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

//! Gives alerts to the sink until they are taken, and those that go on again every minute.

use std::time::Duration;

use super::RuleOptions;
use super::kept::Live;
use super::run::{AT_ONCE, Service};
use crate::core::Timestamp;
use crate::store::{Batch, Error, Key};

/// How long the sink may take.
const TAKE_WITHIN: Duration = Duration::from_secs(10);

impl Service {
    pub(super) async fn deliver(&mut self, now: Timestamp) -> Result<(), Error> {
        // Asked again: what another process took over meanwhile is its to tell.
        self.peers.look();
        let mut alerts = Vec::new();
        // Which series, and how many of its waiting alerts go now.
        let mut of: Vec<(Key, usize)> = Vec::new();
        let mut again: Vec<Key> = Vec::new();
        for (key, live, _) in self.all().filter(|(_, live, _)| !live.kept.waiting.is_empty()) {
            let count = live.kept.waiting.len().min(AT_ONCE - alerts.len());
            if count > 0 && self.peers.in_charge(&live.kept.rule, live.kept.machine.as_deref()) {
                alerts.extend(live.kept.waiting[..count].iter().cloned());
                of.push((key, count));
            }
        }
        for (key, live, rule) in self.all() {
            if let (Some(rule), Some(open)) = (rule, &live.kept.open)
                && alerts.len() < AT_ONCE
                && live.repeats(rule, now)
                && self.peers.in_charge(&live.kept.rule, live.kept.machine.as_deref())
            {
                alerts.push(open.clone());
                again.push(key);
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
            if let Some(mut live) = self.live(&key).cloned() {
                live.kept.waiting.drain(..count);
                self.guard(&mut batch, &live.kept, &key)?;
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

    /// Every series that this process looks after, with its rule if that is still configured.
    fn all(&self) -> impl Iterator<Item = (Key, &Live, Option<&RuleOptions>)> {
        let own = self.rules.iter().flat_map(|rule| {
            rule.series
                .iter()
                .map(|(digest, live)| (Key::of(["rule", &rule.options.id, digest]), live, Some(&rule.options)))
        });
        let left = self.left.iter().map(|(key, live)| {
            let rule = self.rules.iter().find(|rule| rule.options.id == live.kept.rule);
            (Key::stored(key.clone()), live, rule.map(|rule| &rule.options))
        });
        own.chain(left)
    }

    fn live(&mut self, key: &Key) -> Option<&mut Live> {
        let own = self.rules.iter_mut().find(|rule| key.is_under(&Key::of(["rule", &rule.options.id])));
        match own.and_then(|rule| rule.series.get_mut(key.last())) {
            Some(live) => Some(live),
            None => self.left.get_mut(key.as_str()),
        }
    }
}

//! A store in memory, for tests: the same promises but the power cut. Passes the conformance suite.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::key::Order;
use super::{Batch, Condition, Entry, Error, Key, Range, Revision, SharedStore, Store, Watch, Write};
use crate::core::BoxFuture;

/// Keeps everything in a map.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, (Revision, Vec<u8>)>,
    last: u64,
    watchers: HashMap<Key, watch::Sender<Revision>>,
}

impl Memory {
    /// An empty one, in the form rooms take.
    #[must_use]
    pub fn shared() -> SharedStore {
        Arc::new(Self::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn commit(&mut self, batch: Batch) -> Result<Revision, Error> {
        for condition in &batch.conditions {
            let holds = match condition {
                Condition::Absent(key) => !self.entries.contains_key(key),
                Condition::Unchanged(key, revision) => self.entries.get(key).is_some_and(|(at, _)| at == revision),
            };
            if !holds {
                let (Condition::Absent(key) | Condition::Unchanged(key, _)) = condition;
                return Err(Error::Conflict(key.clone()));
            }
        }
        self.last += 1;
        let revision = Revision(self.last);
        let mut written = Vec::new();
        for write in batch.writes {
            let key = match write {
                Write::Put(key, value) => {
                    self.entries.insert(key.clone(), (revision, value));
                    key
                }
                Write::Delete(key) => {
                    self.entries.remove(&key);
                    key
                }
            };
            written.push(key);
        }
        // Those of narrower prefixes first.
        let touched = |prefix: &Key| written.iter().any(|key| key.is_under(prefix));
        let mut woken: Vec<_> = self.watchers.iter().filter(|(prefix, _)| touched(prefix)).collect();
        woken.sort_unstable_by_key(|(prefix, _)| std::cmp::Reverse(prefix.as_str().len()));
        for (_, sender) in woken {
            sender.send_replace(revision);
        }
        Ok(revision)
    }

    fn scan(&self, range: &Range) -> Vec<Entry> {
        if range.from >= range.to {
            return Vec::new();
        }
        let entry = |(key, (revision, value)): (&Key, &(Revision, Vec<u8>))| Entry {
            key: key.clone(),
            revision: *revision,
            value: value.clone(),
        };
        let found = self.entries.range(range.from.clone()..range.to.clone());
        match range.order {
            Order::Forward => found.take(range.limit).map(entry).collect(),
            Order::Backward => found.rev().take(range.limit).map(entry).collect(),
        }
    }
}

impl Store for Memory {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        let found = self.state().entries.get(key).map(|(revision, value)| Entry {
            key: key.clone(),
            revision: *revision,
            value: value.clone(),
        });
        Box::pin(std::future::ready(Ok(found)))
    }

    fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        let found = self.state().scan(range);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, Error>> {
        let done = self.state().commit(batch);
        Box::pin(async move {
            // A real commit gives others a turn; tests should meet the same interleavings.
            tokio::task::yield_now().await;
            done
        })
    }

    fn watch(&self, prefix: &Key) -> Watch {
        let mut state = self.state();
        let last = Revision(state.last);
        let sender = state.watchers.entry(prefix.clone()).or_insert_with(|| watch::channel(last).0);
        Watch(sender.subscribe())
    }
}

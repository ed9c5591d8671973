//! Who waits for which prefix; shared by the adapters.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Key, Revision, Watch};

/// Entries of prefixes that nobody watches any more are dropped when there are so many.
const MANY: usize = 1_024;

/// Senders by watched prefix.
#[derive(Default)]
pub(super) struct Watchers {
    /// A plain lock: held for map look-ups only.
    senders: Mutex<HashMap<String, watch::Sender<Revision>>>,
}

impl Watchers {
    fn senders(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Revision>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch of a prefix.
    pub fn watch(&self, prefix: &Key) -> Watch {
        let mut senders = self.senders();
        if senders.len() >= MANY {
            senders.retain(|_, sender| sender.receiver_count() > 0);
        }
        let sender = senders.entry(prefix.to_string()).or_insert_with(|| watch::channel(Revision(0)).0);
        Watch(sender.subscribe())
    }

    /// Wakes who watches a prefix of one of these keys. Called once they are durable.
    pub fn wake<'a>(&self, keys: impl Iterator<Item = &'a str>, revision: Revision) {
        let senders = self.senders();
        let mut woken: HashSet<&str> = HashSet::new();
        let mut all = Vec::new();
        for key in keys {
            let ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
            for prefix in ends.map(|end| &key[..end]) {
                if let Some((watched, sender)) = senders.get_key_value(prefix)
                    && woken.insert(prefix)
                {
                    all.push((watched, sender));
                }
            }
        }
        narrowest_first(all, revision);
    }

    /// Wakes who watches something above or below one of these prefixes: it is not known which keys below them changed.
    pub fn wake_around(&self, prefixes: &[String], revision: Revision) {
        let under = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let touched = |watched: &str| prefixes.iter().any(|changed| under(changed, watched) || under(watched, changed));
        narrowest_first(self.senders().iter().filter(|(watched, _)| touched(watched)).collect(), revision);
    }

    /// Wakes everyone.
    pub fn wake_all(&self, revision: Revision) {
        narrowest_first(self.senders().iter().collect(), revision);
    }
}

/// Whoever wakes for a prefix finds the watches below it changed already.
fn narrowest_first(mut senders: Vec<(&String, &watch::Sender<Revision>)>, revision: Revision) {
    senders.sort_unstable_by_key(|(watched, _)| std::cmp::Reverse(watched.len()));
    for (_, sender) in senders {
        sender.send_replace(revision);
    }
}

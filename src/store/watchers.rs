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
        for key in keys {
            let ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
            for prefix in ends.map(|end| &key[..end]) {
                if let Some(sender) = senders.get(prefix)
                    && woken.insert(prefix)
                {
                    sender.send_replace(revision);
                }
            }
        }
    }

    /// Wakes who watches something above or below one of these prefixes: it is not known which keys below them changed.
    pub fn wake_around(&self, prefixes: &[String], revision: Revision) {
        for (watched, sender) in self.senders().iter() {
            let under = |inner: &str, outer: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if prefixes.iter().any(|changed| under(changed, watched) || under(watched, changed)) {
                sender.send_replace(revision);
            }
        }
    }

    /// Wakes everyone.
    pub fn wake_all(&self, revision: Revision) {
        for sender in self.senders().values() {
            sender.send_replace(revision);
        }
    }
}

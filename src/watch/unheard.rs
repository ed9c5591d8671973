//! Orders to the supervisor whose outcome nobody has heard yet: so that nobody who asks is told that nothing happened, while
//! it may still happen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Half-done orders that are remembered.
const REMEMBERED: usize = 256;

/// A process and a key.
type Of = (String, String);

/// Orders by process and key.
#[derive(Default)]
pub(super) struct Unheard(Mutex<State>);

#[derive(Default)]
struct State {
    /// How many wait or are carried out.
    open: BTreeMap<Of, u32>,
    /// Those that ended a process and could not start another, the newest last.
    halved: VecDeque<(Of, String)>,
}

impl Unheard {
    /// A plain lock, held for a copy.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order is on its way.
    pub(super) fn open(&self, name: &str, key: &str) {
        *self.state().open.entry(of(name, key)).or_default() += 1;
    }

    /// It is over, whatever became of it.
    pub(super) fn close(&self, name: &str, key: &str) {
        let of = of(name, key);
        let mut state = self.state();
        let Some(count) = state.open.get_mut(&of) else { return };
        *count -= 1;
        if *count == 0 {
            state.open.remove(&of);
        }
    }

    /// It ended its process and could start no other; without a sentence: a later try did.
    pub(super) fn halved(&self, name: &str, key: &str, why: Option<String>) {
        let of = of(name, key);
        let mut state = self.state();
        state.halved.retain(|(other, _)| *other != of);
        if let Some(why) = why {
            if state.halved.len() == REMEMBERED {
                state.halved.pop_front();
            }
            state.halved.push_back((of, why));
        }
    }

    /// Why it can't be told yet whether an order was carried out.
    pub(super) fn why(&self, name: &str, key: &str) -> Option<String> {
        let state = self.state();
        let of = of(name, key);
        if let Some((_, why)) = state.halved.iter().rfind(|(other, _)| *other == of) {
            return Some(why.clone());
        }
        state.open.contains_key(&of).then(|| format!("the order to restart {name} still waits or is being carried out"))
    }
}

fn of(name: &str, key: &str) -> Of {
    (name.to_owned(), key.to_owned())
}

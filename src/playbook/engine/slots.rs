//! Slots for effects: so many tasks of all runs are planned and carried out at the same time, and the others wait.
//!
//! A free slot goes to the run whose playbook has the highest `priority`, among equals to who asked first. So that a
//! stream of important runs does not keep another out for ever, every eighth slot goes to whoever has waited longest.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::locked;

/// Every so manyth slot goes to whoever has waited longest.
const FAIR: u64 = 8;

/// The slots. Cheap to clone.
#[derive(Clone)]
pub struct Slots(Arc<Mutex<State>>);

struct State {
    free: usize,
    /// Who waits, the next one first: by priority, then by when they asked.
    waiting: BTreeMap<(Reverse<i64>, u64), oneshot::Sender<Slot>>,
    asked: u64,
    given: u64,
}

/// A slot; free again when it is dropped.
pub struct Slot(Option<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.0.take() {
            slots.release();
        }
    }
}

impl Slots {
    /// So many.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: count, waiting: BTreeMap::new(), asked: 0, given: 0 })))
    }

    /// Waits for one.
    pub async fn get(&self, priority: i64) -> Slot {
        let given = {
            let mut state = locked(&self.0);
            if state.free > 0 {
                state.free -= 1;
                return Slot(Some(self.clone()));
            }
            let (sender, given) = oneshot::channel();
            state.asked += 1;
            let place = (Reverse(priority), state.asked);
            state.waiting.insert(place, sender);
            metrics::gauge!("mayday_playbook_effects_waiting").set(state.waiting.len() as f64);
            given
        };
        // The slots outlive who waits for one, so that an answer always comes; if not, nobody counts any more.
        given.await.unwrap_or(Slot(None))
    }

    fn release(&self) {
        let mut state = locked(&self.0);
        while let Some(sender) = state.next() {
            match sender.send(Slot(Some(self.clone()))) {
                Ok(()) => return,
                // Who waited has gone. Not dropped as it is: that would come back here.
                Err(mut slot) => drop(slot.0.take()),
            }
        }
        state.free += 1;
    }
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<Slot>> {
        self.given += 1;
        let place = if self.given.is_multiple_of(FAIR) {
            self.waiting.keys().min_by_key(|(_, asked)| *asked).copied()
        } else {
            self.waiting.keys().next().copied()
        }?;
        let sender = self.waiting.remove(&place);
        metrics::gauge!("mayday_playbook_effects_waiting").set(self.waiting.len() as f64);
        sender
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who gets the only slot, in which order; each holds it until it has said so.
    async fn order(priorities: &[i64]) -> Vec<usize> {
        let slots = Slots::new(1);
        let first = slots.get(0).await;
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        for (number, priority) in priorities.iter().copied().enumerate() {
            let (own, said) = (slots.clone(), said.clone());
            waiting.spawn(async move {
                let _slot = own.get(priority).await;
                locked(&said).push(number);
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        waiting.join_all().await;
        assert_eq!(locked(&slots.0).free, 1, "all are given back");
        std::mem::take(&mut *locked(&said))
    }

    #[tokio::test]
    async fn the_highest_priority_goes_first_and_among_equals_who_asked_first() {
        assert_eq!(order(&[0, 5, -1, 5, 9]).await, [4, 1, 3, 0, 2]);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_behind_more_important_ones() {
        let mut priorities = vec![7; 30];
        priorities[0] = 0;
        let order = order(&priorities).await;
        assert!(order.iter().position(|number| *number == 0).unwrap() < 8, "{order:?}");
    }

    #[tokio::test]
    async fn who_has_gone_loses_no_slot() {
        let slots = Slots::new(1);
        let first = slots.get(0).await;
        for _ in 0..20 {
            let waits = tokio::time::timeout(std::time::Duration::from_millis(1), slots.get(3));
            assert!(waits.await.is_err());
        }
        drop(first);
        let again = slots.get(0).await;
        // Given, and never looked at.
        let waits = {
            let slots = slots.clone();
            tokio::spawn(async move { drop(slots.get(0).await) })
        };
        tokio::task::yield_now().await;
        drop(again);
        waits.abort();
        let _ = waits.await;
        drop(slots.get(0).await);
        assert_eq!(locked(&slots.0).free, 1);
    }
}

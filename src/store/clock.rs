//! The store's clock, where several processes share a store: what one writes as a deadline another reads against the same clock,
//! whatever their machines' clocks say.
//!
//! Asked when Mayday starts and then every ten seconds; between, the machine's steady clock counts on. So a machine's wall
//! clock that is wrong, or is set, changes nothing. While the store can't be asked the count goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Error, SharedStore};
use crate::core::message::store as say;
use crate::core::stop::Stop;
use crate::core::{BoxFuture, Clock, SharedClock, Timestamp};

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(10);
/// Asked so often at a time: the quickest answer is the most exact one.
const TRIES: usize = 3;
/// The store's answer is this exact, and an answer's way is never quite even: less than this is no difference.
const SLACK: Duration = Duration::from_millis(2);
/// A machine's clock that is this far off is worth a word.
const OFF: Duration = Duration::from_secs(1);

/// A clock that goes by the store's.
#[derive(Debug)]
pub struct StoreClock {
    machine: SharedClock,
    /// A plain lock, held for a copy.
    anchor: Mutex<Anchor>,
}

/// The store's time at a moment of the steady clock.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    at: Timestamp,
    steady: Duration,
}

/// One answer of the store.
#[derive(Debug, Clone, Copy)]
struct Heard {
    anchor: Anchor,
    /// It is wrong by at most this.
    error: Duration,
}

impl StoreClock {
    /// The clock to go by for who uses this store: its own, or the machine's where it has none (one process, one machine).
    ///
    /// # Errors
    /// The store's.
    pub async fn of(store: &SharedStore, machine: &SharedClock) -> Result<Option<Arc<Self>>, Error> {
        let Some(heard) = ask(store, machine).await? else { return Ok(None) };
        let clock = Self { machine: machine.clone(), anchor: Mutex::new(heard.anchor) };
        clock.compare();
        Ok(Some(Arc::new(clock)))
    }

    /// Keeps to the store's clock until asked to stop.
    pub async fn keep(self: Arc<Self>, store: SharedStore, stop: Stop) {
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = self.machine.sleep(EVERY) => {}
            }
            match ask(&store, &self.machine).await {
                Ok(Some(heard)) => self.hear(heard),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the store's clock could not be asked"),
            }
        }
    }

    /// Moves only for what can't be the way of the answer: a clock that trembles would put events out of their order.
    fn hear(&self, heard: Heard) {
        let expected = self.at(heard.anchor.steady);
        let moved = heard.anchor.at.duration_since(expected);
        if moved.unsigned_abs() > heard.error + SLACK {
            *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) = heard.anchor;
            if moved.unsigned_abs() >= OFF {
                tracing::warn!("{}", say::clock_moved(moved));
            }
        }
    }

    fn compare(&self) {
        let off = self.machine.now().duration_since(self.now());
        metrics::gauge!("mayday_store_clock_offset_seconds").set(off.as_secs_f64());
        if off.unsigned_abs() >= OFF {
            tracing::warn!("{}", say::clock_off(off));
        }
    }

    fn at(&self, steady: Duration) -> Timestamp {
        let anchor = *self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        // An answer may be older than the anchor that was set since.
        if steady >= anchor.steady {
            anchor.at + (steady - anchor.steady)
        } else {
            anchor.at - (anchor.steady - steady)
        }
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        self.at(self.machine.steady())
    }

    fn steady(&self) -> Duration {
        self.machine.steady()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.machine.sleep(duration)
    }
}

/// The quickest of a few answers; none where the store has no clock of its own.
async fn ask(store: &SharedStore, machine: &SharedClock) -> Result<Option<Heard>, Error> {
    let mut best: Option<Heard> = None;
    for _ in 0..TRIES {
        let asked = machine.steady();
        let Some(at) = store.now().await? else { return Ok(None) };
        let half = (machine.steady().saturating_sub(asked)) / 2;
        let heard = Heard { anchor: Anchor { at, steady: asked + half }, error: half };
        if best.is_none_or(|best| heard.error < best.error) {
            best = Some(heard);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::clock::ManualClock;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn clock(anchor: &str) -> (ManualClock, StoreClock) {
        // The machine's own clock is years behind: it does not count.
        let machine = ManualClock::at(at("2020-01-01T00:00:00Z"));
        let anchor = Anchor { at: at(anchor), steady: machine.steady() };
        (machine.clone(), StoreClock { machine: Arc::new(machine), anchor: Mutex::new(anchor) })
    }

    #[test]
    fn it_counts_on_from_what_the_store_said() {
        let (machine, clock) = clock("2026-11-21T03:00:00Z");
        machine.advance(Duration::from_secs(90));
        assert_eq!(clock.now(), at("2026-11-21T03:01:30Z"));
    }

    #[test]
    fn it_moves_for_what_the_answers_way_does_not_explain_and_for_nothing_less() {
        let (machine, clock) = clock("2026-11-21T03:00:00Z");
        let heard = |text: &str, error: u64| Heard {
            anchor: Anchor { at: at(text), steady: machine.steady() },
            error: Duration::from_millis(error),
        };
        clock.hear(heard("2026-11-21T03:00:00.040Z", 50));
        assert_eq!(clock.now(), at("2026-11-21T03:00:00Z"));
        clock.hear(heard("2026-11-21T03:00:00.040Z", 5));
        assert_eq!(clock.now(), at("2026-11-21T03:00:00.040Z"));
        clock.hear(heard("2026-11-21T02:00:00Z", 5));
        assert_eq!(clock.now(), at("2026-11-21T02:00:00Z"));
    }
}

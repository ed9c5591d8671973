//! Time as a parameter: code asks a [`Clock`], never the system, so that tests run hours in milliseconds.
//!
//! Why not tokio's paused clock: it jumps ahead whenever every task waits, also for a real socket.

use std::collections::BinaryHeap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::BoxFuture;

/// A moment in UTC, nanosecond resolution; shown and stored as RFC 3339.
pub type Timestamp = jiff::Timestamp;

/// The clock every room is given.
pub type SharedClock = Arc<dyn Clock>;

/// Tells the time and waits for it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Now, UTC.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment that is never set back or forward: what a lease's end is estimated with.
    fn steady(&self) -> Duration;
    /// Ends after `duration` of this clock's time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// As the shared form that rooms take.
    #[must_use]
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn steady(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that a test moves by hand; sleepers wake in order when [`ManualClock::advance`] passes their time.
#[derive(Clone)]
pub struct ManualClock {
    state: Arc<Mutex<Manual>>,
}

struct Manual {
    now: Timestamp,
    /// Earliest first (the heap's order is reversed in `Sleeper`).
    sleepers: BinaryHeap<Sleeper>,
}

struct Sleeper {
    until: Timestamp,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}
impl Eq for Sleeper {}
impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.until.cmp(&self.until)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({})", self.now())
    }
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { state: Arc::new(Mutex::new(Manual { now, sleepers: BinaryHeap::new() })) }
    }

    /// Moves the clock and wakes whoever slept until then.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now += by;
        while state.sleepers.peek().is_some_and(|first| first.until <= state.now) {
            if let Some(sleeper) = state.sleepers.pop() {
                // The sleeper may be gone (its future was dropped); then there is nobody to wake.
                let _ = sleeper.wake.send(());
            }
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    fn steady(&self) -> Duration {
        Duration::try_from(self.now().duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let until = state.now + duration;
            if until <= state.now {
                return Box::pin(std::future::ready(()));
            }
            state.sleepers.push(Sleeper { until, wake });
        }
        Box::pin(async move {
            let _ = woken.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_passes_its_time_and_not_before() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let mut sleep = clock.sleep(Duration::from_secs(3600));
        clock.advance(Duration::from_secs(3599));
        assert!(futures_util::FutureExt::now_or_never(&mut sleep).is_none());
        clock.advance(Duration::from_secs(1));
        assert!(futures_util::FutureExt::now_or_never(&mut sleep).is_some());
    }
}

//! What a run's task has set going beside itself.
//!
//! What is not over at its first step becomes a task of its own: its time-out fires also while the run's task waits for the
//! store. What is over at once (a reading of this process's own numbers) costs no task, and lands in the same commit.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use tokio::task::{JoinError, JoinSet};

/// Things under way, and what has come of those that are over. Dropping it ends them where they stand.
pub struct Flights<T> {
    landed: VecDeque<T>,
    under_way: JoinSet<T>,
}

impl<T: Send + 'static> Flights<T> {
    /// None.
    pub fn new() -> Self {
        Self { landed: VecDeque::new(), under_way: JoinSet::new() }
    }

    /// Begins something. Must be called inside a tokio runtime.
    pub fn begin(&mut self, work: impl Future<Output = T> + Send + 'static) {
        let mut work = Box::pin(work);
        // Nobody need be woken for this step: a task that goes on with it takes the next one at once.
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(landed) => self.landed.push_back(landed),
            Poll::Pending => drop(self.under_way.spawn(work)),
        }
    }

    /// Whether nothing is under way and nothing has landed.
    pub fn is_empty(&self) -> bool {
        self.landed.is_empty() && self.under_way.is_empty()
    }

    /// What has landed by now, one at a time.
    ///
    /// # Panics
    /// With what it panicked with.
    pub fn try_next(&mut self) -> Option<T> {
        loop {
            if let Some(landed) = self.landed.pop_front() {
                return Some(landed);
            }
            self.landed.extend(landed(self.under_way.try_join_next()?));
        }
    }

    /// Waits for the next one; none when nothing is under way. Safe to cancel.
    ///
    /// # Panics
    /// With what it panicked with.
    pub async fn next(&mut self) -> Option<T> {
        loop {
            if let Some(landed) = self.landed.pop_front() {
                return Some(landed);
            }
            self.landed.extend(landed(self.under_way.join_next().await?));
        }
    }

    /// Ends all of them where they stand, and waits until they are gone: whoever looks at the run next, looks at one that
    /// nothing goes on with.
    pub async fn end(&mut self) {
        self.landed.clear();
        self.under_way.shutdown().await;
    }
}

/// A part that broke off breaks off whoever waits for it, as if it had been its own. None of one that the runtime's end took
/// along: that takes who waits as well.
fn landed<T>(joined: Result<T, JoinError>) -> Option<T> {
    match joined.map_err(JoinError::try_into_panic) {
        Ok(landed) => Some(landed),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    /// Says when it is dropped.
    struct Gone(Arc<AtomicBool>);

    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn what_is_over_at_once_lands_at_once_and_the_rest_goes_on_while_nobody_looks() {
        let mut flights = Flights::new();
        let done = Arc::new(AtomicBool::new(false));
        let sets = done.clone();
        flights.begin(async { 1 });
        flights.begin(async move {
            tokio::task::yield_now().await;
            sets.store(true, Ordering::SeqCst);
            2
        });
        assert_eq!((flights.try_next(), flights.try_next()), (Some(1), None));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(done.load(Ordering::SeqCst), "nobody has asked for it");
        assert_eq!((flights.next().await, flights.next().await), (Some(2), None));
    }

    #[tokio::test]
    async fn a_part_that_breaks_off_breaks_off_who_waits_for_it() {
        let mut flights: Flights<()> = Flights::new();
        flights.begin(async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
        let broke = std::panic::AssertUnwindSafe(flights.next()).catch_unwind().await.unwrap_err();
        assert_eq!(broke.downcast_ref::<&str>(), Some(&"on purpose"));
        assert!(flights.is_empty());
    }

    #[tokio::test]
    async fn ended_they_are_gone() {
        let mut flights = Flights::new();
        let gone = Arc::new(AtomicBool::new(false));
        let held = Gone(gone.clone());
        flights.begin(async move {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            drop(held);
        });
        flights.end().await;
        assert!(gone.load(Ordering::SeqCst) && flights.is_empty());
    }
}

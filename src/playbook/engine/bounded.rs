//! Work that must not go on past its time.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::core::SharedClock;

/// Does the work; none when it is not done by `until`, a moment of the steady clock.
///
/// The time is looked at before each step, not only when the timer wakes. After the process stood still (frozen, or starved)
/// what the work waited for may be there together with the timer: its next step may be the request itself, and that is not
/// to leave any more.
pub async fn by<T>(clock: &SharedClock, until: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut timer = clock.sleep(until.saturating_sub(clock.steady()));
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if clock.steady() >= until {
            return Poll::Ready(None);
        }
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;
    use crate::core::Timestamp;
    use crate::core::clock::ManualClock;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_it_waited_for_comes_together_with_the_end_of_its_time_and_its_next_step_is_not_taken() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let shared: SharedClock = Arc::new(clock.clone());
        for (late, taken) in [(MINUTE, false), (MINUTE / 2, true)] {
            let (looked, answer) = oneshot::channel();
            let mut sent = false;
            {
                let mut work = pin!(by(&shared, shared.steady() + MINUTE, async {
                    let _ = answer.await;
                    sent = true;
                }));
                assert!(work.as_mut().now_or_never().is_none());
                looked.send(()).unwrap();
                clock.advance(late);
                assert_eq!(work.as_mut().now_or_never(), Some(taken.then_some(())));
            }
            assert_eq!(sent, taken);
        }
    }

    #[test]
    fn what_hangs_ends_when_its_time_is_over() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let shared: SharedClock = Arc::new(clock.clone());
        let mut work = pin!(by(&shared, shared.steady() + MINUTE, std::future::pending::<()>()));
        assert!(work.as_mut().now_or_never().is_none());
        clock.advance(MINUTE);
        assert_eq!(work.as_mut().now_or_never(), Some(None));
    }
}

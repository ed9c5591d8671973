//! Says in the log that bodies are refused, without a line for each: a sender that gets 503 sends again and again.
//!
//! The first is said at once. What comes in the ten seconds after it is counted and said in one line, and so on until ten
//! seconds pass without any. The counts by reason are in `mayday_alert_bodies_refused_total` too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::intake::Refused;
use crate::core::SharedClock;

/// How long refusals are counted before they are said.
const EVERY: Duration = Duration::from_secs(10);

/// What has been refused since the last line. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Refusals(Arc<Mutex<Option<Counted>>>);

/// While there is one, a task waits to say it.
#[derive(Default)]
struct Counted {
    bodies: u64,
    latest: String,
}

impl Refusals {
    /// Says a refusal now, or counts it for the next line.
    pub fn say(&self, clock: &SharedClock, refused: &Refused, format: &str, integration: &str, bytes: usize) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = waiting.as_mut() {
            counted.bodies += 1;
            counted.latest = refused.to_string();
            return;
        }
        tracing::warn!(format, integration, bytes, why = %refused, "a body was refused");
        *waiting = Some(Counted::default());
        let (this, clock) = (self.clone(), clock.clone());
        tokio::spawn(async move {
            loop {
                clock.sleep(EVERY).await;
                let mut waiting = this.0.lock().unwrap_or_else(PoisonError::into_inner);
                match waiting.take() {
                    Some(Counted { bodies, latest }) if bodies > 0 => {
                        tracing::warn!(bodies, seconds = EVERY.as_secs(), latest, "more bodies were refused");
                        *waiting = Some(Counted::default());
                    }
                    // Quiet: the next one is said at once.
                    _ => return,
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::core::clock::ManualClock;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn take(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
        }
    }

    #[tokio::test]
    async fn many_refusals_are_one_line_and_then_a_count_every_ten_seconds() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).without_time().finish();
        let _said_here = tracing::subscriber::set_default(subscriber);
        let manual = ManualClock::at("2026-11-21T02:00:00Z".parse().unwrap());
        let clock: SharedClock = Arc::new(manual.clone());
        let refusals = Refusals::default();
        let refuse = |times: usize| {
            for _ in 0..times {
                refusals.say(&clock, &Refused::Overloaded { retry_after_secs: 5 }, "alertmanager", "am", 17);
            }
        };
        let ten_seconds = async || {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            manual.advance(EVERY);
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
        };
        refuse(1);
        assert!(lines.take()[0].contains("a body was refused"), "the first is said at once");
        refuse(4_000);
        assert!(lines.take().is_empty());
        ten_seconds().await;
        let said = lines.take();
        assert!(said.len() == 1 && said[0].contains("bodies=4000"), "{said:?}");
        refuse(2);
        ten_seconds().await;
        assert!(lines.take()[0].contains("bodies=2"));
        ten_seconds().await;
        assert!(lines.take().is_empty());
        refuse(1);
        assert!(lines.take()[0].contains("a body was refused"), "after a quiet time the next is said at once");
    }
}

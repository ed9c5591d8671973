//! Work that blocks (files), off the event loop. A thread can't be ended from outside, so the work itself looks between two
//! steps whether it is still wanted: no later step is taken once nobody waits for it, or its time is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::playbook::action::{Context, Error, Intent};

/// What the work looks at between two steps.
#[derive(Debug)]
pub struct Cancel {
    gone: Arc<AtomicBool>,
    /// None: it is bounded by who waits alone.
    until: Option<Instant>,
}

impl Cancel {
    /// Whether no further step is to be taken.
    pub fn is_set(&self) -> bool {
        self.gone.load(Ordering::SeqCst) || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Sets it when whoever waits goes away.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Does the work on a thread of its own.
///
/// # Errors
/// The work's; [`Error::InDoubt`] when it breaks off.
pub async fn off_loop<T: Send + 'static>(
    time: Option<Duration>,
    work: impl FnOnce(&Cancel) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let gone = Arc::new(AtomicBool::new(false));
    let _waits = Waits(gone.clone());
    let cancel = Cancel { gone, until: time.and_then(|time| Instant::now().checked_add(time)) };
    let done = tokio::task::spawn_blocking(move || work(&cancel)).await;
    done.unwrap_or_else(|error| Err(Error::InDoubt(error.to_string())))
}

/// How long an effect may still take.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    /// Until it is to say how far it came: a little less than the engine gives it, while somebody listens.
    pub to_say: Duration,
    /// Until it must have ended however Mayday is: before whoever takes over settles it.
    pub to_end: Duration,
}

impl Left {
    /// Until the intent's deadline.
    pub fn of(context: &Context, intent: &Intent) -> Self {
        let left = Duration::try_from(intent.deadline.duration_since(context.now)).unwrap_or_default();
        let margin = (left / 10).min(Duration::from_secs(1));
        Self { to_say: left - margin, to_end: left - margin / 2 }
    }
}

/// How long an effect may still take until it is to say how far it came.
pub fn time_left(context: &Context, intent: &Intent) -> Duration {
    Left::of(context, intent).to_say
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::testing::{context, intent};

    /// Takes steps until it is to stop, and says how it was at its end.
    fn steps(ends: std::sync::mpsc::Sender<()>) -> impl FnOnce(&Cancel) -> Result<(), Error> + Send + 'static {
        move |cancel| {
            let begun = Instant::now();
            while !cancel.is_set() {
                assert!(begun.elapsed() < Duration::from_secs(20), "nobody stops it");
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = ends.send(());
            Ok(())
        }
    }

    #[tokio::test]
    async fn it_stops_when_nobody_waits_any_more() {
        let (ends, ended) = std::sync::mpsc::channel();
        let waits = tokio::time::timeout(Duration::from_millis(50), off_loop(None, steps(ends)));
        assert!(waits.await.is_err());
        assert_eq!(ended.recv_timeout(Duration::from_secs(10)), Ok(()));
    }

    #[tokio::test]
    async fn it_stops_by_itself_when_its_time_is_over() {
        let (ends, _ended) = std::sync::mpsc::channel();
        assert_eq!(off_loop(Some(Duration::from_millis(20)), steps(ends)).await, Ok(()));
    }

    #[test]
    fn an_effect_ends_before_nobody_listens() {
        assert_eq!(time_left(&context(), &intent(serde_json::Value::Null)), Duration::from_secs(59));
        let short = Intent { deadline: context().now + Duration::from_secs(1), ..intent(serde_json::Value::Null) };
        assert_eq!(time_left(&context(), &short), Duration::from_millis(900));
        let over = Intent { deadline: context().now - Duration::from_secs(1), ..short };
        assert_eq!(time_left(&context(), &over), Duration::ZERO);
    }
}

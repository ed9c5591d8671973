//! Asking loops to end: one [`Stopper`], any number of [`Stop`]s.

use tokio::sync::watch;

/// Asks everyone who holds a [`Stop`] to end; dropping it asks too, so that nothing outlives its owner.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Tells a loop when to end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// A stopper and the first of its [`Stop`]s.
    #[must_use]
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    /// Asks all to end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Ends when asked to stop. Safe to use in `select!`.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        // An error means that the stopper is gone, which asks to stop as well.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

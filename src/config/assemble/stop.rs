//! The signals that ask a bot to end.

use tokio::signal::unix::{SignalKind, signal};

/// Ends on SIGTERM, SIGINT or SIGHUP. Install it before anything is started, so that none of them kills the process
/// half-way.
///
/// # Errors
/// The system gives no signal handler.
pub fn asked() -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {}
        }
    })
}

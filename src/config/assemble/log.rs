//! Mayday's own log: to standard error, quiet unless asked.

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogOptions};

/// Overrides the configured filter.
const VARIABLE: &str = "MAYDAY_LOG";

/// Starts the log. A second call changes nothing: the first one of a process counts.
///
/// # Errors
/// The filter can't be read; the sentence says which.
pub fn start(options: &LogOptions) -> Result<(), String> {
    let asked = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let (text, from) = match &asked {
        Some(text) => (text.as_str(), VARIABLE),
        None => (options.filter.as_str(), "log.filter"),
    };
    let filter = filter(text).map_err(|why| format!("{from}: {why}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that a log was started before, by a test for instance.
    let _ = match options.format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Reads a filter.
///
/// # Errors
/// What is wrong with it.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(text)
        .map_err(|error| format!("`{}` is no log filter: {error}", crate::core::text::capped(text, 80)))
}

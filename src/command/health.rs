//! `health`: how Mayday itself is.

use super::speaker::Speaker;
use super::{Answer, data_of, done};
use crate::core::message::command as say;

pub(super) async fn health(speaker: &Speaker<'_>) -> Answer {
    let report = speaker.deps.health.report().await;
    let mut lines = vec![say::health_heading(report.state.as_str())];
    lines.extend(report.parts.iter().map(|part| say::health_line(&part.name, part.state.as_str(), &part.says)));
    Ok(done(lines.join("\n"), data_of(&report)?))
}

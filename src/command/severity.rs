//! `severity`: how bad it is, as a person sees it.

use super::speaker::Speaker;
use super::{Answer, data_of, done};
use crate::alert::Severity;
use crate::core::IncidentId;
use crate::core::message::command as say;
use crate::incident::Act;

pub(super) async fn severity(speaker: &Speaker<'_>, incident: Option<IncidentId>, severity: Severity) -> Answer {
    let id = speaker.incident(incident, "severity").await?.id;
    let incident = speaker.act("severity", id, Act::SetSeverity { severity }).await?;
    Ok(done(say::severity_set(id, &format!("{severity:?}")), data_of(&incident)?))
}

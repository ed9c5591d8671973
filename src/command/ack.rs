//! `ack`, `resolve`, `reopen`: the lifecycle by hand.

use super::speaker::Speaker;
use super::{Answer, data_of, done};
use crate::core::IncidentId;
use crate::core::message::command as say;
use crate::incident::Act;

pub(super) async fn ack(speaker: &Speaker<'_>, incident: Option<IncidentId>) -> Answer {
    let id = speaker.incident(incident, "ack").await?.id;
    let incident = speaker.act("ack", id, Act::Acknowledge).await?;
    Ok(done(say::acknowledged(id, &speaker.person.name), data_of(&incident)?))
}

pub(super) async fn resolve(speaker: &Speaker<'_>, incident: Option<IncidentId>) -> Answer {
    let id = speaker.incident(incident, "resolve").await?.id;
    let incident = speaker.act("resolve", id, Act::Resolve).await?;
    Ok(done(say::resolved(id, speaker.since(incident.started_at), incident.firing), data_of(&incident)?))
}

pub(super) async fn reopen(speaker: &Speaker<'_>, incident: Option<IncidentId>) -> Answer {
    let id = speaker.incident(incident, "reopen").await?.id;
    let incident = speaker.act("reopen", id, Act::Reopen).await?;
    Ok(done(say::reopened(id), data_of(&incident)?))
}

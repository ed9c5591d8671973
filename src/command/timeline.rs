//! `timeline`: everything that happened to an incident, in order.

use serde_json::json;

use super::speaker::Speaker;
use super::{Answer, data_of, done};
use crate::core::IncidentId;
use crate::core::message::command as say;
use crate::core::redact::shown;

/// So many moments are shown.
const SHOWN: usize = 50;

pub(super) async fn timeline(speaker: &Speaker<'_>, incident: Option<IncidentId>) -> Answer {
    let id = speaker.incident(incident, "timeline").await?.id;
    let mut moments = speaker.deps.incidents.timeline(id, SHOWN + 1).await?;
    if moments.is_empty() {
        return Ok(done(say::no_timeline(id), json!({ "incident": id, "moments": [] })));
    }
    let cut = moments.len() > SHOWN;
    if cut {
        moments.drain(..moments.len() - SHOWN);
    }
    let mut lines = vec![say::timeline_heading(id, moments.len(), cut)];
    lines.extend(moments.iter().map(|moment| {
        format!("  {}", say::moment(moment.at, &speaker.actor_name(&moment.by), &shown(&moment.says, 300)))
    }));
    Ok(done(lines.join("\n"), json!({ "incident": id, "moments": data_of(&moments)?, "cut": cut })))
}

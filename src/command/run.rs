//! `run`: proposes a playbook by hand.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::speaker::{Speaker, no_run_error};
use super::{Answer, done};
use crate::core::message::command as say;
use crate::core::{IncidentId, digest};
use crate::playbook::{ProposeRequest, Proposed};

/// Saying the same again within this long is a slip, not a second wish.
const SAME_WISH_SECS: i64 = 10;

pub(super) async fn run(
    speaker: &Speaker<'_>,
    playbook: &str,
    parameters: BTreeMap<String, String>,
    incident: Option<IncidentId>,
) -> Answer {
    let playbook = speaker.playbook(playbook)?;
    let incident = match incident.or_else(|| speaker.thread()) {
        Some(id) => Some(speaker.incident(Some(id), "run").await?),
        None => None,
    };
    let alert = match &incident {
        Some(incident) => speaker.deps.incidents.newest_alert(incident).await?,
        None => None,
    };
    let id = incident.map(|incident| incident.id);
    // What the run would have, defaults included; what does not fit otherwise is the engine's to say.
    if let Ok(values) = speaker.deps.playbooks.resolve(&playbook.id, &parameters, alert.as_ref()) {
        speaker.services_of(&playbook, &values)?;
    }
    speaker.audit("run", id.map_or_else(|| playbook.id.clone(), |id| format!("{id} {}", playbook.id))).await?;
    let key = key(speaker, &playbook.id, &parameters, id);
    let request = ProposeRequest {
        key,
        playbook: playbook.id.clone(),
        // The engine gives each text its parameter's type.
        parameters: parameters.into_iter().map(|(name, text)| (name, Value::String(text))).collect(),
        incident: id,
        alert,
        by: speaker.actor.clone(),
    };
    let proposed = speaker.deps.runs.propose(request).await.map_err(no_run_error)?;
    Ok(match proposed {
        Proposed::New(run) => done(say::proposed(run, &playbook.name, id), json!({ "run": run, "new": true })),
        Proposed::Already(run) => done(say::proposed_already(run), json!({ "run": run, "new": false })),
    })
}

fn key(
    speaker: &Speaker<'_>,
    playbook: &str,
    parameters: &BTreeMap<String, String>,
    incident: Option<IncidentId>,
) -> String {
    let incident = incident.map(|id| id.to_string()).unwrap_or_default();
    let mut parts = vec![speaker.person.id.0.as_str(), playbook, incident.as_str()];
    parts.extend(parameters.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
    let digest = digest::of_parts(parts.into_iter().map(str::as_bytes));
    format!("said/{}/{}", &digest[..24], speaker.now.as_second() / SAME_WISH_SECS)
}

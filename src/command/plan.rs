//! `plan`: what a playbook would do. Proposes nothing and changes nothing.

use std::collections::BTreeMap;

use serde_json::json;

use super::playbooks::describe;
use super::speaker::{Speaker, capital};
use super::{Answer, No, data_of, done};
use crate::chat::grammar::Command;
use crate::core::IncidentId;
use crate::core::message::command as say;

pub(super) async fn plan(
    speaker: &Speaker<'_>,
    playbook: &str,
    parameters: &BTreeMap<String, String>,
    incident: Option<IncidentId>,
) -> Answer {
    let playbook = speaker.playbook(playbook)?;
    let incident = match incident.or_else(|| speaker.thread()) {
        Some(id) => Some(speaker.incident(Some(id), "plan").await?),
        None => None,
    };
    let alert = match &incident {
        Some(incident) => speaker.deps.incidents.newest_alert(incident).await?,
        None => None,
    };
    let values = speaker.deps.playbooks.resolve(&playbook.id, parameters, alert.as_ref());
    let values = values.map_err(|why| No::Refused(capital(&why)))?;
    // Also what was not given: a default may come from an alert.
    speaker.services_of(&playbook, &values)?;
    let mut lines = describe(&playbook);
    lines.extend(values.iter().map(|(name, value)| say::value_line(name, value)));
    let incident = incident.map(|incident| incident.id);
    let command = Command::Run { playbook: playbook.id.clone(), parameters: parameters.clone(), incident };
    lines.push(say::plan_ending(&command.to_string()));
    let data = json!({ "playbook": data_of(&playbook)?, "parameters": values, "proposes": command.to_string() });
    Ok(done(lines.join("\n"), data))
}

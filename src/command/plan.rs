//! `plan`: what a playbook would do. Proposes nothing and changes nothing.

use std::collections::BTreeMap;

use super::playbooks::describe;
use super::speaker::Speaker;
use super::{Answer, data_of, done};
use crate::chat::grammar::Command;
use crate::core::IncidentId;
use crate::core::message::command as say;

pub(super) fn plan(
    speaker: &Speaker<'_>,
    playbook: &str,
    parameters: &BTreeMap<String, String>,
    incident: Option<IncidentId>,
) -> Answer {
    let playbook = speaker.playbook(playbook)?;
    let mut lines = describe(&playbook);
    let incident = incident.or_else(|| speaker.thread());
    let command = Command::Run { playbook: playbook.id.clone(), parameters: parameters.clone(), incident };
    lines.push(say::plan_ending(&command.to_string()));
    Ok(done(lines.join("\n"), data_of(&playbook)?))
}

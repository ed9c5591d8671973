//! `plan`: what a playbook would do here and now. Proposes nothing and changes nothing.

use std::collections::BTreeMap;

use serde_json::json;

use super::playbooks::heading;
use super::speaker::{Speaker, capital};
use super::{Answer, No, data_of, done};
use crate::chat::grammar::Command;
use crate::core::IncidentId;
use crate::core::message::command as say;
use crate::core::redact::shown;
use crate::playbook::engine::{Preview, Would};
use crate::playbook::model::Risk;

/// Most characters of each thing that a plan shows.
const SHOWN: usize = 2_000;

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
    let previews = speaker.deps.plans.preview(&playbook.id, parameters, alert.as_ref()).await?;
    let mut lines = heading(&playbook);
    lines.extend(values.iter().map(|(name, value)| say::value_line(name, value)));
    for (index, preview) in previews.iter().enumerate() {
        lines.extend(told(index + 1, preview));
    }
    let incident = incident.map(|incident| incident.id);
    let command = Command::Run { playbook: playbook.id.clone(), parameters: parameters.clone(), incident };
    lines.push(say::plan_ending(&command.to_string()));
    let data = json!({
        "playbook": data_of(&playbook)?,
        "parameters": values,
        "tasks": previews.iter().map(data).collect::<Vec<_>>(),
        "proposes": command.to_string(),
    });
    Ok(done(lines.join("\n"), data))
}

/// A task, on what it depends, and below it what would change: from what to what, what that touches, how it is undone.
fn told(number: usize, preview: &Preview) -> Vec<String> {
    let risk = word(preview.risk);
    let note = match &preview.policy {
        Some((policy, left)) => say::needs_policy(&risk, preview.people, policy, *left),
        None if preview.people == 0 => risk,
        None => say::needs_people(&risk, preview.people),
    };
    let mut lines = vec![say::task_line(number, &preview.name, &preview.kind, &note)];
    if preview.undoes {
        lines.push(say::plan_line(say::plan_undoes()));
    }
    lines.extend(preview.conditions.iter().map(|condition| say::plan_line(&say::plan_condition(condition))));
    match &preview.would {
        Would::Read => {}
        Would::Later(why) => lines.push(say::plan_line(&say::plan_later(&shown(why, SHOWN)))),
        Would::NotHere(why) => lines.push(say::plan_line(&say::plan_not_here(&shown(why, SHOWN)))),
        Would::Change(planned) => {
            let object = shown(&planned.object, SHOWN);
            if planned.changes.is_empty() {
                lines.push(say::plan_line(&object));
            }
            for change in &planned.changes {
                let [field, before, after] =
                    [&change.field, &change.before, &change.after].map(|text| shown(text, SHOWN));
                lines.push(say::plan_line(&say::plan_change(&object, &field, &before, &after)));
            }
            lines.extend(planned.details.iter().map(|detail| say::plan_line(&format!("  {}", shown(detail, SHOWN)))));
            let undo = planned.undo.as_deref().map(|undo| shown(undo, SHOWN));
            lines.push(say::plan_line(&crate::core::message::heal::note(
                &shown(&planned.radius, SHOWN),
                undo.as_deref(),
            )));
        }
    }
    lines
}

/// The same for scripts.
fn data(preview: &Preview) -> serde_json::Value {
    let mut data = json!({
        "task": preview.task,
        "name": preview.name,
        "kind": preview.kind,
        "risk": preview.risk,
        "people": preview.people,
        "policy": preview.policy.as_ref().map(|(policy, left)| json!({"id": policy, "left": left})),
        "undoes": preview.undoes,
        "conditions": preview.conditions,
    });
    match &preview.would {
        Would::Read => data["would"] = json!("read"),
        Would::Later(why) => data["later"] = json!(why),
        Would::NotHere(why) => data["not_here"] = json!(why),
        Would::Change(planned) => {
            data["change"] = json!({
                "object": planned.object,
                "changes": planned.changes,
                "radius": planned.radius,
                "undo": planned.undo,
                "details": planned.details,
            });
        }
    }
    crate::core::redact::shown_json(&mut data);
    data
}

/// A risk as playbooks write it.
fn word(risk: Risk) -> String {
    serde_json::to_value(risk).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

//! `playbooks`: which there are, and what one of them does.

use serde_json::json;

use super::ports::PlaybookBrief;
use super::speaker::Speaker;
use super::{Answer, data_of, done};
use crate::core::message::command as say;

pub(super) fn playbooks(speaker: &Speaker<'_>, playbook: Option<&str>) -> Answer {
    if let Some(id) = playbook {
        let playbook = speaker.playbook(id)?;
        return Ok(done(describe(&playbook).join("\n"), data_of(&playbook)?));
    }
    let all = speaker.deps.playbooks.all();
    if all.is_empty() {
        return Ok(done(say::no_playbooks(), json!({ "playbooks": [] })));
    }
    let line =
        |playbook: &PlaybookBrief| say::playbook_line(&playbook.id, &playbook.name, &playbook.triggers.join("; "));
    let lines: Vec<String> = all.iter().map(line).collect();
    Ok(done(lines.join("\n"), json!({ "playbooks": data_of(&all)? })))
}

/// A playbook with its parameters and tasks.
pub(super) fn describe(playbook: &PlaybookBrief) -> Vec<String> {
    let mut lines = vec![say::playbook_line(&playbook.id, &playbook.name, &playbook.triggers.join("; "))];
    if !playbook.description.is_empty() {
        lines.push(playbook.description.clone());
    }
    for parameter in &playbook.parameters {
        lines.push(say::parameter_line(
            &parameter.name,
            &parameter.kind,
            parameter.default.as_deref(),
            &parameter.says,
        ));
    }
    for (index, task) in playbook.tasks.iter().enumerate() {
        lines.push(say::task_line(index + 1, &task.name, &task.kind, &task.risk));
    }
    lines
}

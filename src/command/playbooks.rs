//! `playbooks`: which there are, what one of them does, its versions, and going back to one.

use serde_json::json;

use super::ports::PlaybookBrief;
use super::speaker::Speaker;
use super::{Answer, No, data_of, done};
use crate::chat::grammar::BookAct;
use crate::core::message::{command as say, playbook_versions as versions};
use crate::playbook::versions::Version;

pub(super) async fn playbooks(speaker: &Speaker<'_>, playbook: Option<&str>, act: BookAct) -> Answer {
    if let Some(id) = playbook {
        let playbook = speaker.playbook(id)?;
        let id = &playbook.id;
        match act {
            BookAct::Show => {}
            BookAct::History => return history(speaker, id).await,
            BookAct::Diff { from, to } => return diff(speaker, id, from, to).await,
            BookAct::Use { version } => {
                let chosen = speaker.deps.playbooks.choose(id, version, speaker.actor.clone()).await?;
                let text = versions::now_in_force(id, chosen.number, version.is_none());
                return Ok(done(text, json!({ "playbook": id, "version": chosen })));
            }
        }
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

async fn history(speaker: &Speaker<'_>, id: &str) -> Answer {
    let history = speaker.deps.playbooks.history(id).await?;
    let newest = history.versions.last().map(|version| version.number);
    let in_force = history.pin.as_ref().map(|pin| pin.number).or(newest);
    let when = |at| say::when(at, speaker.now);
    let line = |version: &Version| {
        let at = when(version.at);
        versions::line(version.number, &version.shown, &at, &version.file, in_force == Some(version.number))
    };
    let mut lines: Vec<String> = history.versions.iter().map(line).collect();
    if let Some(pin) = &history.pin {
        lines.push(versions::chosen_by(pin.number, &crate::core::message::playbook::actor(&pin.by), &when(pin.at), id));
    }
    Ok(done(lines.join("\n"), json!({ "playbook": id, "versions": history.versions, "chosen": history.pin })))
}

/// The newest against the one before it, where nothing else is said.
async fn diff(speaker: &Speaker<'_>, id: &str, from: Option<u32>, to: Option<u32>) -> Answer {
    let history = speaker.deps.playbooks.history(id).await?;
    let newest = history.versions.last().map_or(1, |version| version.number);
    let to = to.unwrap_or(newest);
    let Some(from) = from.or_else(|| to.checked_sub(1).filter(|from| *from > 0)) else {
        return Err(No::Refused(versions::only_one(id)));
    };
    let changed = speaker.deps.playbooks.diff(id, from, to).await?;
    let text = if changed.is_empty() {
        versions::same(id, from, to)
    } else {
        format!("{}\n{changed}", versions::diff_heading(id, from, to))
    };
    Ok(done(text, json!({ "playbook": id, "from": from, "to": to, "diff": changed })))
}

/// A playbook with its parameters and tasks.
fn describe(playbook: &PlaybookBrief) -> Vec<String> {
    let mut lines = heading(playbook);
    for (index, task) in playbook.tasks.iter().enumerate() {
        lines.push(say::task_line(index + 1, &task.name, &task.kind, &task.risk));
    }
    lines
}

/// What a playbook is for and what it takes.
pub(super) fn heading(playbook: &PlaybookBrief) -> Vec<String> {
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
    lines
}

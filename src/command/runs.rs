//! `runs`: the newest, or one with its tasks.

use serde_json::json;

use super::speaker::{Speaker, no_run_error};
use super::{Answer, data_of, done, with_card};
use crate::chat::{Card, PlanBox};
use crate::core::RunId;
use crate::core::message::command as say;
use crate::heal::brief;

/// So many are listed.
const SHOWN: usize = 20;

pub(super) async fn list(speaker: &Speaker<'_>) -> Answer {
    let runs = speaker.deps.runs.list(None, SHOWN).await.map_err(no_run_error)?;
    if runs.is_empty() {
        return Ok(done(say::no_runs(), json!({ "runs": [] })));
    }
    let line = |view: &crate::playbook::RunView| {
        let since = speaker.when(view.ended_at.unwrap_or(view.proposed_at));
        say::run_line(view.run, brief::state_word(view), &view.playbook, view.incident, &since)
    };
    let lines: Vec<String> = runs.iter().map(line).collect();
    Ok(done(lines.join("\n"), json!({ "runs": data_of(&runs)? })))
}

pub(super) async fn one(speaker: &Speaker<'_>, run: RunId) -> Answer {
    let view = speaker.run(run).await?;
    let team = match view.incident {
        Some(id) => speaker.deps.incidents.get(id).await?.map(|incident| incident.team).unwrap_or_default(),
        None => String::new(),
    };
    let brief = brief::whole(&view, &team);
    let text = plan_lines(run, &brief.plan).join("\n");
    let card = Card {
        id: run.to_string(),
        state: brief.state,
        over: brief.ended,
        since: Some(view.ended_at.unwrap_or(view.proposed_at)),
        title: view.playbook_name.clone(),
        plan: Some(brief.plan),
        ..Card::default()
    };
    Ok(with_card(text, card, data_of(&view)?))
}

/// A plan's box as lines.
pub(super) fn plan_lines(run: RunId, plan: &PlanBox) -> Vec<String> {
    let mut lines = vec![format!("{run}  {}", plan.heading)];
    lines.extend(plan.diff.iter().chain(&plan.notes).map(|line| format!("  {line}")));
    lines.extend(plan.steps.iter().map(|step| say::step_line(&step.name, &step.state, step.note.as_deref())));
    lines.extend(plan.footer.clone());
    lines
}

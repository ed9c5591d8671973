//! `show`: one incident with its finding and its plan.

use super::speaker::Speaker;
use super::{Answer, data_of, incidents, runs, why, with_card};
use crate::core::IncidentId;
use crate::core::message::command as say;
use crate::core::redact::shown;

pub(super) async fn show(speaker: &Speaker<'_>, incident: Option<IncidentId>) -> Answer {
    let incident = speaker.incident(incident, "show").await?;
    let mut lines = vec![incidents::line(speaker, &incident)];
    let description = incident.description.as_data().trim();
    if !description.is_empty() {
        lines.push(shown(description, 300));
    }
    if let Some(commander) = &incident.commander {
        lines.push(say::commander(&speaker.name_of(commander)));
    }
    lines.extend(why::finding_lines(&incident.findings));
    lines.extend(why::not_seen(&incident.not_seen));
    for run in &incident.runs {
        lines.extend(runs::plan_lines(run.run, &run.plan));
    }
    let card = speaker.deps.incidents.card(&incident, speaker.now);
    Ok(with_card(lines.join("\n"), card, data_of(&incident)?))
}

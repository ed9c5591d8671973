//! `why`: looks for the cause again, now, and says what proves it.

use super::speaker::Speaker;
use super::{Answer, data_of, done, with_card};
use crate::analysis::Finding;
use crate::chat::card::Section;
use crate::chat::{Card, EvidenceRef, Line};
use crate::core::IncidentId;
use crate::core::message::command as say;
use crate::core::redact::shown;
use crate::heal::Explained;
use crate::incident::Incident;

pub(super) async fn why(speaker: &Speaker<'_>, incident: Option<IncidentId>) -> Answer {
    let incident = speaker.incident(incident, "why").await?;
    let found = speaker.deps.causes.look(&incident).await?;
    let mut lines = finding_lines(&found.findings);
    if lines.is_empty() {
        lines.push(say::no_finding(incident.id));
    }
    for evidence in &found.evidence {
        let cited = say::evidence(&evidence.id.0, &evidence.says, &evidence.source, &evidence.query);
        lines.push(format!("  {}", shown(&cited, 600)));
        // What a log said is often the whole answer; it is shown as what it is, a line from outside.
        if let Some(sample) = evidence.samples.first().filter(|_| evidence.source == "own logs") {
            lines.push(format!("      {}", say::sample(&super::logs::plain(sample.as_data()))));
        }
    }
    lines.extend(not_seen(&found.not_seen));
    let data = serde_json::json!({
        "incident": incident.id, "findings": data_of(&found.findings)?, "evidence": data_of(&found.evidence)?,
        "not_seen": found.not_seen,
    });
    let text = lines.join("\n");
    if found.findings.is_empty() && found.chart.is_none() {
        return Ok(done(text, data));
    }
    Ok(with_card(text, card(&incident, &found), data))
}

/// Findings as lines, the likeliest first.
pub(super) fn finding_lines(findings: &[Finding]) -> Vec<String> {
    let line = |(rank, finding): (usize, &Finding)| {
        let cites: Vec<String> = finding.evidence.iter().map(|id| id.0.clone()).collect();
        say::finding(rank, &shown(&finding.says, 600), finding.confidence, &cites)
    };
    findings.iter().enumerate().map(line).collect()
}

/// What was not seen, as a line. It may carry words of a target's answer.
pub(super) fn not_seen(what: &[String]) -> Option<String> {
    (!what.is_empty()).then(|| shown(&say::not_seen(what), 600))
}

fn card(incident: &Incident, found: &Explained) -> Card {
    let evidence = |finding: &Finding| {
        let link = |id: &crate::analysis::EvidenceId| EvidenceRef {
            id: id.0.clone(),
            path: format!("/incidents/{}/evidence/{}", incident.id, id.0),
        };
        finding.evidence.iter().map(link).collect()
    };
    let mut lines: Vec<Line> = Vec::new();
    for (rank, finding) in found.findings.iter().enumerate() {
        lines.push(Line {
            lead: None,
            text: say::finding(rank, &shown(&finding.says, 600), finding.confidence, &[]),
            quiet: rank > 0,
            evidence: evidence(finding),
        });
    }
    if let Some(text) = not_seen(&found.not_seen) {
        lines.push(Line { lead: None, text, quiet: true, evidence: Vec::new() });
    }
    Card {
        id: incident.id.to_string(),
        title: super::incidents::what(incident),
        facts: found.facts.clone(),
        chart: found.chart.clone(),
        sections: vec![Section { heading: None, lines }],
        ..Card::default()
    }
}

//! `logs`: a service's newest lines, and how many there are.

use serde_json::json;

use super::speaker::Speaker;
use super::{Answer, No, done};
use crate::core::duration::Span;
use crate::core::message::command as say;
use crate::core::text::capped;
use crate::source::{LogLine, LogQuery};

/// So many lines are shown.
const SHOWN: usize = 20;
/// A line is cut after so many bytes.
const WIDTH: usize = 240;

pub(super) async fn logs(speaker: &Speaker<'_>, service: &str, span: Option<Span>, words: Vec<String>) -> Answer {
    let service = speaker.service(service)?;
    let span = span.unwrap_or(speaker.options.logs_window).0;
    let query =
        LogQuery { service: service.name.clone(), from: speaker.now - span, to: speaker.now, words, limit: SHOWN };
    let page = speaker
        .deps
        .logs
        .search(&query)
        .await
        .map_err(|error| No::Refused(super::speaker::capital(&error.to_string())))?;
    let mut lines = vec![say::logs_summary(&service.name, span, page.total, page.matched, page.errors, &query.words)];
    if page.truncated {
        lines.push(say::truncated());
    }
    if page.matched > page.lines.len() as u64 {
        lines.push(say::newest_of(page.lines.len()));
    }
    lines.extend(page.lines.iter().map(line));
    let data: Vec<_> = page
        .lines
        .iter()
        .map(|line| json!({ "at": line.at, "level": line.level, "text": line.text.as_data() }))
        .collect();
    let counts = json!({
        "service": service.name, "total": page.total, "matched": page.matched, "errors": page.errors,
        "truncated": page.truncated, "lines": data,
    });
    Ok(done(lines.join("\n"), counts))
}

fn line(line: &LogLine) -> String {
    let text: String = line.text.as_data().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let level = line.level.as_deref().map(|level| format!("{level} ")).unwrap_or_default();
    format!("  {} {level}{}", line.at.strftime("%H:%M:%S"), capped(text.trim(), WIDTH))
}

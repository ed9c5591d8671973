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
    let text = plain(line.text.as_data());
    let mut rest = text.as_str();
    // Time and level are said once.
    if let Some((stamp, after)) = rest.split_once(' ')
        && stamp.parse::<crate::core::Timestamp>().is_ok()
    {
        rest = after.trim_start();
    }
    let level = line.level.as_deref().unwrap_or_default();
    if !level.is_empty()
        && let Some(after) = rest.strip_prefix(level).and_then(|after| after.strip_prefix(' '))
    {
        rest = after;
    }
    let level = if level.is_empty() { String::new() } else { format!("{level} ") };
    format!("  {} {level}{}", line.at.strftime("%H:%M:%S"), rest)
}

/// A line from outside without control characters, and short.
pub(super) fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    capped(text.trim(), WIDTH)
}

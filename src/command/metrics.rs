//! `metrics`: draws an expression.

use std::time::Duration;

use serde_json::json;

use super::speaker::{Speaker, capital};
use super::{Answer, No, done, with_card};
use crate::chat::{Card, Chart};
use crate::core::duration::Span;
use crate::core::message::command as say;
use crate::core::text::capped;
use crate::source::{MetricQuery, Series};

/// So many points are drawn.
const POINTS: u32 = 240;
/// So many series are told in numbers; the first is drawn.
const SERIES: usize = 8;

pub(super) async fn metrics(speaker: &Speaker<'_>, expression: String, span: Option<Span>) -> Answer {
    let span = span.unwrap_or(speaker.options.metrics_window).0.max(Duration::from_secs(1));
    let step = (span / POINTS).max(Duration::from_secs(1));
    let query = MetricQuery { expr: expression, from: speaker.now - span, to: speaker.now, step };
    let found = speaker.deps.metrics.range(&query).await.map_err(|error| No::Refused(capital(&error.to_string())))?;
    let found: Vec<&Series> = found.iter().filter(|series| !series.points.is_empty()).collect();
    let Some(first) = found.first() else {
        return Ok(done(say::no_series(&query.expr, span), json!({ "expression": query.expr, "series": [] })));
    };
    let unit = unit(&query.expr, first);
    let mut lines: Vec<String> = found.iter().take(SERIES).map(|series| line(&query, series, unit)).collect();
    if found.len() > SERIES {
        lines.push(say::and_more(found.len() - SERIES, "other"));
    }
    let data: Vec<_> =
        found.iter().take(SERIES).map(|series| json!({ "labels": series.labels, "points": series.points })).collect();
    // A source may give more points than asked for.
    let every = first.points.len().div_ceil(400).max(1);
    let card = Card {
        title: capped(&query.expr, 200),
        chart: Some(Chart {
            caption: say::chart_caption(&name(&query.expr, first), span),
            unit: unit.to_owned(),
            points: first.points.iter().step_by(every).copied().collect(),
            threshold: None,
            mark: None,
        }),
        ..Card::default()
    };
    Ok(with_card(lines.join("\n"), card, json!({ "expression": query.expr, "series": data })))
}

/// A last value older than this many steps (and half a minute) is not called the present one.
const STALE_STEPS: u32 = 3;
const STALE: Duration = Duration::from_secs(30);

fn line(query: &MetricQuery, series: &Series, unit: &str) -> String {
    let values = || series.points.iter().map(|(_, value)| *value);
    let count = series.points.len() as f64;
    let shown = |value: f64| {
        let number = number(value);
        if unit.is_empty() { number } else { format!("{number} {unit}") }
    };
    let last = values().next_back().unwrap_or_default();
    let age = series.points.last().and_then(|(at, _)| Duration::try_from(query.to.duration_since(*at)).ok());
    let old = age.filter(|age| *age > STALE.max(query.step * STALE_STEPS));
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let mean = values().sum::<f64>() / count;
    say::series(&name(&query.expr, series), &shown(last), old, &shown(least), &shown(mean), &shown(most))
}

/// The series' labels, or the expression if it has none.
fn name(expression: &str, series: &Series) -> String {
    let labels = series.labels.iter().filter(|(name, _)| *name != "__name__");
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    let name = series.labels.get("__name__").map_or(expression, String::as_str);
    let text = if labels.is_empty() { name.to_owned() } else { format!("{name} {}", labels.join(" ")) };
    capped(&text, 160)
}

/// Three significant digits, thousands as `k`, `M`, `G`.
pub(super) fn number(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size == 0.0 || size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{suffix}")
}

/// From the metric's name, as Prometheus names them.
fn unit(expression: &str, series: &Series) -> &'static str {
    let name = series.labels.get("__name__").map_or(expression, String::as_str);
    let per_second = expression.starts_with("rate(") || expression.starts_with("irate(");
    match () {
        () if per_second => "/s",
        () if name.ends_with("_seconds") => "s",
        () if name.ends_with("_milliseconds") || name.ends_with("_ms") => "ms",
        () if name.ends_with("_bytes") => "B",
        () if name.ends_with("_percent") => "%",
        () => "",
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_three_digits_that_matter() {
        let shown: Vec<String> = [0.0, 0.00123, 0.5, 3.1234, 42.0, 48.25, 970.4, 12_345.0, 4.2e9].map(number).into();
        assert_eq!(shown, ["0", "0.0012", "0.5", "3.12", "42", "48.2", "970", "12.3k", "4.2G"]);
    }
}

//! A chart as SVG: one line, a threshold, the moment things went wrong.
//!
//! The plot stretches with the page while its words keep their size: positions are percentages, the line stands in a
//! nested picture that is stretched, and its stroke is not. Colours are the page's, so it is right in dark and light.

use maud::{Markup, html};

use super::words::{amount, exact};
use crate::chat::Chart;
use crate::core::Timestamp;
use crate::core::message::web as say;

/// Top and bottom of the plot, pixels; times stand below it.
const TOP: f64 = 16.0;
const BOTTOM: f64 = 104.0;
/// A hole of more than so many usual distances breaks the line: what was not measured is not drawn.
const HOLE: i64 = 4;
/// The stretched picture's own units.
const INNER: f64 = 1_000.0;

/// The picture, with its caption.
pub(in crate::http) fn figure(chart: &Chart) -> Markup {
    let points: Vec<_> = chart.points.iter().filter(|(_, value)| value.is_finite()).copied().collect();
    let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else {
        return html! { p.cap { (say::no_points(&chart.caption)) } };
    };
    let scale = Scale::of(&points, chart.threshold.as_ref().map(|(_, value)| *value), first.0, last.0);
    let threshold = chart.threshold.as_ref().filter(|(_, value)| value.is_finite());
    let line_at = threshold.map(|(_, value)| scale.y(*value));
    let mark = chart.mark.as_ref().filter(|(_, at)| *at >= first.0 && *at <= last.0);
    let mark_at = mark.map(|(_, at)| scale.x(*at));
    let newest = (scale.x(last.0), scale.y(last.1));
    html! {
        figure.chart {
            svg role="img" aria-label=(sentence(chart, &points)) height="124" {
                @if let Some(x) = mark_at {
                    rect.after x=(percent(x)) y=(TOP) width=(percent(100.0 - x)) height=(BOTTOM - TOP) {}
                }
                @for tick in scale.ticks() {
                    @let y = scale.y(tick);
                    line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
                }
                svg.plot x="0" y=(TOP) width="100%" height=(BOTTOM - TOP) viewBox="0 0 1000 1000" preserveAspectRatio="none" {
                    path.line d=(path(&points, &scale)) {}
                }
                @for tick in scale.ticks() {
                    @let y = scale.y(tick);
                    @if line_at.is_none_or(|line| (line - y).abs() > 13.0) {
                        text.tick x="0" y=(y - 3.0) { (amount(tick, &chart.unit)) }
                    }
                }
                line.axis x1="0" x2="100%" y1=(BOTTOM) y2=(BOTTOM) {}
                @if let (Some((label, _)), Some(y)) = (threshold, line_at) {
                    line.limit x1="0" x2="100%" y1=(y) y2=(y) {}
                    text.limit-label x="0" y=(if y < TOP + 10.0 { y + 12.0 } else { y - 4.0 }) { (label) }
                }
                @if let (Some((label, _)), Some(x)) = (mark, mark_at) {
                    line.mark x1=(percent(x)) x2=(percent(x)) y1=(TOP) y2=(BOTTOM + 4.0) {}
                    text.mark-label x=(percent(x)) y="120" text-anchor=(if x > 50.0 { "end" } else { "start" }) { (label) }
                }
                circle.newest cx=(percent(newest.0)) cy=(format!("{:.1}", newest.1)) r="3" {}
                text.newest-label x=(percent(newest.0)) y=(format!("{:.1}", (newest.1 - 7.0).max(10.0))) text-anchor="end" {
                    (amount(last.1, &chart.unit))
                }
                @if mark_at.is_none_or(|x| !(0.1..=50.0).contains(&x)) { (moment(first.0, "0", "start")) }
                @if mark_at.is_none_or(|x| x <= 88.0) { (moment(last.0, "100%", "end")) }
            }
            figcaption.cap { (chart.caption) }
        }
    }
}

fn moment(at: Timestamp, x: &str, anchor: &str) -> Markup {
    html! {
        text.tick x=(x) y="120" text-anchor=(anchor) data-clock=(at) { (at.strftime("%H:%M")) " UTC" }
    }
}

fn sentence(chart: &Chart, points: &[(Timestamp, f64)]) -> String {
    let values = points.iter().map(|(_, value)| *value);
    let lowest = values.clone().fold(f64::INFINITY, f64::min);
    let highest = values.fold(f64::NEG_INFINITY, f64::max);
    let newest = points.last().map(|(_, value)| *value).unwrap_or_default();
    let unit = &chart.unit;
    let mut text =
        say::chart_sentence(&chart.caption, &amount(lowest, unit), &amount(highest, unit), &amount(newest, unit));
    if let Some((label, value)) = &chart.threshold {
        text.push_str(&format!(" {label}: {}.", amount(*value, unit)));
    }
    if let Some((label, at)) = &chart.mark {
        text.push_str(&format!(" {label}: {}.", exact(*at)));
    }
    text
}

fn percent(value: f64) -> String {
    format!("{:.2}%", value.clamp(0.0, 100.0))
}

fn path(points: &[(Timestamp, f64)], scale: &Scale) -> String {
    let mut distances: Vec<i64> =
        points.windows(2).map(|pair| pair[1].0.as_millisecond() - pair[0].0.as_millisecond()).collect();
    distances.sort_unstable();
    let usual = distances.get(distances.len() / 2).copied().unwrap_or(0).max(1);
    let mut path = String::with_capacity(points.len() * 14);
    let mut before: Option<Timestamp> = None;
    for (at, value) in points {
        let connected =
            before.is_some_and(|before| at.as_millisecond() - before.as_millisecond() <= usual.saturating_mul(HOLE));
        let (x, y) = (scale.x(*at) / 100.0 * INNER, (scale.y(*value) - TOP) / (BOTTOM - TOP) * INNER);
        path.push_str(&format!("{}{x:.1} {y:.1}", if connected { 'L' } else { 'M' }));
        before = Some(*at);
    }
    path
}

struct Scale {
    low: f64,
    high: f64,
    from: i64,
    to: i64,
}

impl Scale {
    /// From zero, unless a value is below: a cut axis makes small things look large.
    fn of(points: &[(Timestamp, f64)], threshold: Option<f64>, from: Timestamp, to: Timestamp) -> Self {
        let values = points.iter().map(|(_, value)| *value).chain(threshold.filter(|value| value.is_finite()));
        let low = values.clone().fold(0.0, f64::min);
        let high = values.fold(low, f64::max);
        let high = if high > low { high + (high - low) * 0.06 } else { low + 1.0 };
        Self { low, high, from: from.as_millisecond(), to: to.as_millisecond() }
    }

    /// 0 to 100.
    fn x(&self, at: Timestamp) -> f64 {
        if self.to <= self.from {
            return 100.0;
        }
        (at.as_millisecond() - self.from) as f64 / (self.to - self.from) as f64 * 100.0
    }

    /// Pixels from the top.
    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        (BOTTOM - share * (BOTTOM - TOP)).clamp(TOP, BOTTOM)
    }

    /// Two or three round values above the axis.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 3.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| *step >= rough);
        let Some(step) = step.filter(|step| step.is_finite() && *step > 0.0) else { return Vec::new() };
        let first = (self.low / step).floor();
        (1..=6)
            .map(|index| (first + f64::from(index)) * step)
            .filter(|tick| *tick > self.low && *tick <= self.high)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[f64]) -> Chart {
        let at = |index: usize| Timestamp::from_second(1_000 + 60 * i64::try_from(index).unwrap()).unwrap();
        Chart {
            caption: "<Requests> in flight".into(),
            unit: "%".into(),
            points: values.iter().enumerate().map(|(index, value)| (at(index), *value)).collect(),
            threshold: Some(("limit 90 %".into(), 90.0)),
            mark: Some(("rollout <7f3c>".into(), at(2))),
        }
    }

    #[test]
    fn a_chart_says_in_words_what_it_shows_and_stays_text() {
        let svg = figure(&chart(&[10.0, 12.0, 60.0, 100.0])).into_string();
        assert!(svg.contains("Between 10 % and 100 %, newest 100 %. limit 90 %: 90 %."), "{svg}");
        assert!(
            svg.contains("rollout &lt;7f3c&gt;") && !svg.contains("<7f3c>") && !svg.contains("<Requests>"),
            "{svg}"
        );
    }

    #[test]
    fn odd_series_are_drawn_without_nan_or_infinity() {
        for values in [
            vec![],
            vec![0.0],
            vec![5.0; 3],
            vec![f64::NAN, 1.0],
            vec![-5.0, 5.0],
            vec![1e300, 1e-300],
            vec![f64::INFINITY],
        ] {
            let svg = figure(&chart(&values)).into_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{values:?}: {svg}");
        }
    }

    #[test]
    fn a_hole_in_the_data_is_a_hole_in_the_line() {
        let mut holed = chart(&[1.0; 20]);
        holed.points.drain(5..14);
        assert_eq!(figure(&holed).into_string().matches('M').count(), 2);
    }
}

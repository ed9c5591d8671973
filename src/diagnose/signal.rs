//! A service's raw series as the few signals a person would look at. Pure.
//!
//! Which series is what is told by the naming habits of Prometheus: counters end in `_total`, a latency is `…_sum` over
//! `…_count`, and words in the name say the rest. What fits no habit is left out rather than guessed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::analysis::FaultKind;
use crate::core::Timestamp;
use crate::source::Series;

/// Counters are turned into rates over this time.
const RATE_OVER: Duration = Duration::from_secs(15);

/// One thing that is measured of a service; more is worse.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Signal {
    pub kind: FaultKind,
    /// In words: `answer time`.
    pub what: &'static str,
    pub unit: &'static str,
    /// Smallest standard deviation that is believed, in the unit.
    pub noise: f64,
    /// From here on a level is bad in itself, in the unit.
    pub full: Option<f64>,
    pub points: Vec<(Timestamp, f64)>,
}

pub(super) fn signals(series: &[Series], step: Duration) -> Vec<Signal> {
    let mut by_name: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for one in series {
        if let Some(name) = one.labels.get("__name__") {
            by_name.entry(name).or_default().push(one);
        }
    }
    let start = series.iter().filter_map(|one| one.points.first()).map(|(at, _)| *at).min();
    let counted = |name: &str, wanted: &dyn Fn(&Series) -> bool| {
        let chosen: Vec<&Series> = by_name.get(name).into_iter().flatten().filter(|one| wanted(one)).copied().collect();
        rate(&chosen, start, step)
    };
    let every = |_: &Series| true;
    let mut found = Vec::new();
    for name in by_name.keys().copied() {
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let gauge = || greatest(&by_name[name]);
        if let Some(base) = name.strip_suffix("_sum") {
            let count = format!("{base}_count");
            if has(&["duration", "latency", "response_time", "seconds"]) && by_name.contains_key(count.as_str()) {
                let scale = if has(&["millis", "_ms"]) { 1.0 } else { 1_000.0 };
                let points = quotient(&counted(name, &every), &counted(&count, &every), scale);
                found.push(Signal {
                    kind: FaultKind::Latency,
                    what: "the answer time",
                    unit: "ms",
                    noise: 2.0,
                    full: None,
                    points,
                });
            }
        } else if name.ends_with("_total") {
            if has(&["cpu_seconds"]) {
                let points = scaled(counted(name, &every), 100.0);
                found.push(Signal {
                    kind: FaultKind::Cpu,
                    what: "CPU",
                    unit: "%",
                    noise: 3.0,
                    full: Some(90.0),
                    points,
                });
            } else if by_name[name].iter().any(|one| answer_code(one).is_some()) {
                let bad = counted(name, &|one| answer_code(one).is_some_and(|code| code.starts_with('5')));
                let points = quotient(&bad, &counted(name, &every), 100.0);
                found.push(Signal {
                    kind: FaultKind::Error,
                    what: "the share of failed answers",
                    unit: "%",
                    noise: 1.0,
                    full: None,
                    points,
                });
            } else if has(&["error", "fail", "timeout", "exception"]) && !has(&["process_exits", "host_"]) {
                found.push(Signal {
                    kind: FaultKind::Error,
                    what: "the rate of errors",
                    unit: "/s",
                    noise: 0.05,
                    full: None,
                    points: counted(name, &every),
                });
            }
        } else if has(&[
            "in_flight",
            "inflight",
            "active_requests",
            "connections_open",
            "queue_length",
            "queue_depth",
            "pending_requests",
        ]) {
            found.push(Signal {
                kind: FaultKind::Saturation,
                what: "requests under way",
                unit: "",
                noise: 1.0,
                full: None,
                points: gauge(),
            });
        } else if has(&["cpu"]) && has(&["percent", "usage"]) {
            found.push(Signal {
                kind: FaultKind::Cpu,
                what: "CPU",
                unit: "%",
                noise: 3.0,
                full: Some(90.0),
                points: gauge(),
            });
        } else if has(&["disk_usage", "disk_used_percent"]) {
            found.push(Signal {
                kind: FaultKind::Disk,
                what: "the disk's use",
                unit: "%",
                noise: 1.0,
                full: Some(90.0),
                points: gauge(),
            });
        } else if name.ends_with("_bytes") && has(&["resident", "memory_used", "heap_used"]) {
            let points = scaled(gauge(), 1.0 / (1024.0 * 1024.0));
            found.push(Signal { kind: FaultKind::Memory, what: "memory", unit: "MiB", noise: 8.0, full: None, points });
        }
    }
    found.retain(|signal| !signal.points.is_empty());
    found
}

/// The last value of a plain gauge of the service, the greatest over its label sets.
pub(super) fn last(series: &[Series], name: &str) -> Option<f64> {
    series
        .iter()
        .filter(|one| one.labels.get("__name__").is_some_and(|own| own == name))
        .filter_map(|one| one.points.last().map(|(_, value)| *value))
        .reduce(f64::max)
}

fn answer_code(series: &Series) -> Option<&str> {
    ["code", "status", "status_code"].iter().find_map(|label| series.labels.get(*label)).map(String::as_str)
}

/// The sum of the counters' rates per second, over [`RATE_OVER`]. A counter that appears later began at zero.
fn rate(counters: &[&Series], start: Option<Timestamp>, step: Duration) -> Vec<(Timestamp, f64)> {
    let mut grown: BTreeMap<Timestamp, f64> = BTreeMap::new();
    for counter in counters {
        let mut before: Option<f64> = match (counter.points.first(), start) {
            (Some((first, _)), Some(start)) if *first > start + 2 * step => Some(0.0),
            _ => None,
        };
        for (at, value) in &counter.points {
            let increase = before.map(|before| if *value >= before { value - before } else { *value });
            *grown.entry(*at).or_default() += increase.unwrap_or(0.0);
            before = Some(*value);
        }
    }
    let grown: Vec<(Timestamp, f64)> = grown.into_iter().collect();
    let width = usize::try_from(RATE_OVER.as_millis() / step.as_millis().max(1)).unwrap_or(1).max(1);
    let seconds = step.as_secs_f64() * width as f64;
    grown
        .windows(width)
        // The first point has nothing before it to have grown from.
        .skip(1)
        .filter_map(|window| {
            Some((window.last()?.0, window.iter().map(|(_, increase)| increase).sum::<f64>() / seconds))
        })
        .collect()
}

/// Part over whole where there is a whole.
fn quotient(part: &[(Timestamp, f64)], whole: &[(Timestamp, f64)], scale: f64) -> Vec<(Timestamp, f64)> {
    let parts: BTreeMap<Timestamp, f64> = part.iter().copied().collect();
    let share = |(at, whole): &(Timestamp, f64)| {
        (*whole > 1e-9).then(|| (*at, parts.get(at).copied().unwrap_or(0.0) / whole * scale))
    };
    whole.iter().filter_map(share).collect()
}

fn scaled(mut points: Vec<(Timestamp, f64)>, by: f64) -> Vec<(Timestamp, f64)> {
    points.iter_mut().for_each(|(_, value)| *value *= by);
    points
}

fn greatest(gauges: &[&Series]) -> Vec<(Timestamp, f64)> {
    let mut points: BTreeMap<Timestamp, f64> = BTreeMap::new();
    for (at, value) in gauges.iter().flat_map(|gauge| &gauge.points) {
        points.entry(*at).and_modify(|most| *most = most.max(*value)).or_insert(*value);
    }
    points.into_iter().collect()
}

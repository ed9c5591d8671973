//! What an expression comes to at a moment, over series that were fetched before. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::lex::place;
use super::{Aggregate, Error, Grouping, LOOKBACK, Node, Op, Over, Query, Selector};
use crate::core::Timestamp;

/// A series' labels, its name under `__name__`.
pub type Labels = Arc<BTreeMap<String, String>>;

/// The points that each selector of a query found, in the order of [`Query::selectors`].
#[derive(Debug, Default)]
pub struct Fetched(pub Vec<Vec<Found>>);

/// One series that a selector found, its points in time order.
pub type Found = (Labels, Vec<(Timestamp, f64)>);

/// What an expression comes to at one moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number, without labels.
    Number(f64),
    /// One number per series. May hold numbers that are not finite (a division by nothing).
    Vector(Vec<(Labels, f64)>),
}

impl Value {
    /// As a vector of finite numbers; a number becomes one series without labels.
    #[must_use]
    pub fn finite(self) -> Vec<(Labels, f64)> {
        let mut vector = match self {
            Self::Number(number) => vec![(Labels::default(), number)],
            Self::Vector(vector) => vector,
        };
        vector.retain(|(_, value)| value.is_finite());
        vector
    }
}

impl Selector {
    /// How far back from a moment this selector looks, when the points are `step` apart.
    #[must_use]
    pub fn reach(&self, step: Duration) -> Duration {
        self.range.unwrap_or_else(|| LOOKBACK.max(step))
    }

    fn at(&self, points: &[(Timestamp, f64)], now: Timestamp, step: Duration) -> Option<f64> {
        let reach = self.reach(step);
        let end = points.partition_point(|(at, _)| *at <= now);
        let earliest = now - reach;
        let start = points[..end].partition_point(|(at, _)| *at <= earliest);
        let window = &points[start..end];
        let last = window.last()?;
        let values = || window.iter().map(|(_, value)| *value);
        Some(match self.over {
            None => last.1,
            Some(Over::Avg) => values().sum::<f64>() / window.len() as f64,
            Some(Over::Min) => values().fold(f64::INFINITY, f64::min),
            Some(Over::Max) => values().fold(f64::NEG_INFINITY, f64::max),
            Some(Over::Sum) => values().sum(),
            Some(Over::Count) => window.len() as f64,
            Some(Over::Delta) if window.len() >= 2 => last.1 - window[0].1,
            Some(over @ (Over::Rate | Over::Increase)) if window.len() >= 2 => {
                let seconds = last.0.duration_since(window[0].0).as_secs_f64();
                if seconds <= 0.0 {
                    return None;
                }
                let rate = increase(window) / seconds;
                if over == Over::Rate { rate } else { rate * reach.as_secs_f64() }
            }
            Some(Over::Delta | Over::Rate | Over::Increase) => return None,
        })
    }
}

/// How much a counter grew; a fall is a restart from zero.
fn increase(window: &[(Timestamp, f64)]) -> f64 {
    window.windows(2).map(|pair| if pair[1].1 >= pair[0].1 { pair[1].1 - pair[0].1 } else { pair[1].1 }).sum()
}

impl Query {
    /// The expression at `now`, when its points are `step` apart (zero for a single moment).
    ///
    /// # Errors
    /// Several series meet one (aggregate first).
    pub fn at(&self, fetched: &Fetched, now: Timestamp, step: Duration) -> Result<Value, Error> {
        self.node(&self.root, fetched, now, step)
    }

    fn node(&self, node: &Node, fetched: &Fetched, now: Timestamp, step: Duration) -> Result<Value, Error> {
        let inner = |node: &Node| self.node(node, fetched, now, step);
        Ok(match node {
            Node::Number(number) => Value::Number(*number),
            Node::Series(index) => {
                let selector = &self.selectors[*index];
                let found = fetched.0.get(*index).map_or(&[][..], Vec::as_slice);
                let value = |(labels, points): &Found| {
                    let value = selector.at(points, now, step)?;
                    Some((if selector.over.is_some() { nameless(labels) } else { labels.clone() }, value))
                };
                Value::Vector(found.iter().filter_map(value).collect())
            }
            Node::Negated(of) => each(inner(of)?, |value| -value),
            Node::Absolute(of) => each(inner(of)?, f64::abs),
            Node::Quantile(quantile, of) => Value::Vector(quantiles(*quantile, vector(inner(of)?))),
            Node::Aggregate { how, labels, of } => Value::Vector(aggregate(*how, labels, vector(inner(of)?))),
            Node::Arithmetic { op, at, left, right } => match (inner(left)?, inner(right)?) {
                (Value::Number(left), Value::Number(right)) => Value::Number(apply(*op, left, right)),
                (left, Value::Number(right)) => each(left, |left| apply(*op, left, right)),
                (Value::Number(left), right) => each(right, |right| apply(*op, left, right)),
                (Value::Vector(left), Value::Vector(right)) => {
                    let (left, right) = (self.by_labels(left, *at)?, self.by_labels(right, *at)?);
                    let meet = |(labels, left): (Labels, f64)| {
                        right.get(&labels).map(|right| (labels.clone(), apply(*op, left, *right)))
                    };
                    Value::Vector(left.into_iter().filter_map(meet).collect())
                }
            },
        })
    }

    fn by_labels(&self, vector: Vec<(Labels, f64)>, at: usize) -> Result<BTreeMap<Labels, f64>, Error> {
        let mut by_labels = BTreeMap::new();
        for (labels, value) in vector {
            if by_labels.insert(nameless(&labels), value).is_some() {
                return Err(place(
                    &self.text,
                    at,
                    "several series with the same labels stand on one side; sum them first",
                ));
            }
        }
        Ok(by_labels)
    }
}

fn vector(value: Value) -> Vec<(Labels, f64)> {
    match value {
        Value::Number(number) => vec![(Labels::default(), number)],
        Value::Vector(vector) => vector,
    }
}

fn nameless(labels: &Labels) -> Labels {
    if !labels.contains_key("__name__") {
        return labels.clone();
    }
    let mut labels = BTreeMap::clone(labels);
    labels.remove("__name__");
    Arc::new(labels)
}

/// A function of each value; the result is no longer the metric it was, so the name goes.
fn each(value: Value, change: impl Fn(f64) -> f64) -> Value {
    match value {
        Value::Number(number) => Value::Number(change(number)),
        Value::Vector(vector) => {
            Value::Vector(vector.into_iter().map(|(labels, value)| (nameless(&labels), change(value))).collect())
        }
    }
}

fn apply(op: Op, left: f64, right: f64) -> f64 {
    match op {
        Op::Add => left + right,
        Op::Subtract => left - right,
        Op::Multiply => left * right,
        Op::Divide => left / right,
    }
}

fn aggregate(how: Aggregate, grouping: &Grouping, vector: Vec<(Labels, f64)>) -> Vec<(Labels, f64)> {
    let mut groups: BTreeMap<BTreeMap<String, String>, Vec<f64>> = BTreeMap::new();
    for (labels, value) in vector {
        let group = labels
            .iter()
            .filter(|(label, _)| match grouping {
                Grouping::By(kept) => kept.contains(label),
                Grouping::Without(dropped) => *label != "__name__" && !dropped.contains(label),
            })
            .map(|(label, value)| (label.clone(), value.clone()))
            .collect();
        groups.entry(group).or_default().push(value);
    }
    let folded = |values: Vec<f64>| match how {
        Aggregate::Sum => values.iter().sum(),
        Aggregate::Avg => values.iter().sum::<f64>() / values.len() as f64,
        Aggregate::Min => values.into_iter().fold(f64::INFINITY, f64::min),
        Aggregate::Max => values.into_iter().fold(f64::NEG_INFINITY, f64::max),
        Aggregate::Count => values.len() as f64,
    };
    groups.into_iter().map(|(labels, values)| (Arc::new(labels), folded(values))).collect()
}

/// A quantile from cumulative buckets with the label `le`, linear within the bucket, as Prometheus does:
/// <https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile>.
fn quantiles(quantile: f64, vector: Vec<(Labels, f64)>) -> Vec<(Labels, f64)> {
    let mut histograms: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    for (labels, count) in vector {
        let Some(bound) = labels.get("le").and_then(|bound| bound.parse::<f64>().ok()) else { continue };
        let mut rest = BTreeMap::clone(&nameless(&labels));
        rest.remove("le");
        histograms.entry(rest).or_default().push((bound, count));
    }
    let mut found = Vec::new();
    for (labels, mut buckets) in histograms {
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let Some((last, total)) = buckets.last().copied() else { continue };
        if last != f64::INFINITY || total <= 0.0 || buckets.len() < 2 {
            continue;
        }
        let rank = quantile * total;
        let at = buckets.partition_point(|(_, count)| *count < rank).min(buckets.len() - 1);
        let value = if at == buckets.len() - 1 {
            buckets[at - 1].0
        } else {
            let (start, below) = if at == 0 { (0.0f64.min(buckets[0].0), 0.0) } else { buckets[at - 1] };
            let (end, upto) = buckets[at];
            if upto > below { start + (end - start) * (rank - below) / (upto - below) } else { end }
        };
        found.push((Arc::new(labels), value));
    }
    found
}

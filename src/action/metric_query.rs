//! `Metric_Query`: evaluates an expression over a time window. Nothing found is not zero: then there is no `value`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::log_aggregation::failed;
use super::{parameters, reading};
use crate::core::duration::Span;
use crate::core::{BoxFuture, Timestamp, text};
use crate::playbook::Action;
use crate::playbook::action::{Context, Error, Intent, Perform, Planned, Settle};
use crate::source::{MetricQuery as Query, Metrics, Series};

const KIND: &str = "Metric_Query";
/// Series listed in the output; the figures cover all.
const LISTED: usize = 20;
/// Most points asked for of one series.
const POINTS: u32 = 400;

/// The executor.
pub struct MetricQuery {
    metrics: Arc<dyn Metrics>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    expr: String,
    #[serde(default = "ten_minutes")]
    time_window: Span,
    #[serde(default)]
    step: Option<Span>,
}

const fn ten_minutes() -> Span {
    Span::from_secs(600)
}

impl MetricQuery {
    /// Reads from these metrics.
    #[must_use]
    pub fn new(metrics: Arc<dyn Metrics>) -> Self {
        Self { metrics }
    }
}

impl Action for MetricQuery {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn settle(&self, _: &Value) -> Settle {
        Settle::Repeat
    }

    fn plan<'a>(&'a self, _: &'a Context, value: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        let checked = parameters::<Parameters>(KIND, value)
            .map(|parameters| reading(format!("metric {}", text::capped(&parameters.expr, 200)), value.clone()));
        Box::pin(std::future::ready(checked))
    }

    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        Box::pin(async move {
            let parameters: Parameters = parameters(KIND, &intent.target)?;
            let window = parameters.time_window.0.max(Duration::from_secs(1));
            let least = (window / POINTS).max(Duration::from_secs(1));
            let step = parameters.step.map_or(least, |step| step.0.max(least));
            let series = read(&*self.metrics, parameters.expr, context.now, window, step).await?;
            Ok(Perform::Done(output(&series)))
        })
    }
}

/// The series of an expression in the window before `now`.
pub(super) async fn read(
    metrics: &dyn Metrics,
    expr: String,
    now: Timestamp,
    window: Duration,
    step: Duration,
) -> Result<Vec<Series>, Error> {
    let from = now.checked_sub(window).unwrap_or(now);
    metrics.range(&Query { expr, from, to: now, step }).await.map_err(failed)
}

/// The newest value of the first series that has one.
pub(super) fn newest(series: &[Series]) -> Option<f64> {
    series.iter().find_map(|series| series.points.last()).map(|(_, value)| *value)
}

fn output(series: &[Series]) -> Value {
    let values = || series.iter().flat_map(|series| &series.points).map(|(_, value)| *value);
    let count = values().count();
    #[expect(clippy::cast_precision_loss, reason = "counts of points are far below 2^52")]
    let average = values().sum::<f64>() / count as f64;
    let listed: Vec<Value> = series
        .iter()
        .take(LISTED)
        .filter_map(|series| {
            series.points.last().map(|(at, value)| json!({"labels": series.labels, "at": at, "value": value}))
        })
        .collect();
    let mut output = json!({
        "points": count,
        "series": series.len(),
        "empty": count == 0,
        "has_data": count > 0,
        "latest": listed,
    });
    if let (Some(value), Some(fields)) = (newest(series), output.as_object_mut()) {
        fields.insert("value".to_owned(), json!(value));
        fields.insert("min".to_owned(), json!(values().fold(f64::INFINITY, f64::min)));
        fields.insert("max".to_owned(), json!(values().fold(f64::NEG_INFINITY, f64::max)));
        fields.insert("avg".to_owned(), json!(average));
    }
    output
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::action::testing::{carry_out, now};
    use crate::source;

    struct Given(Result<Vec<Series>, source::Error>);
    impl Metrics for Given {
        fn range<'a>(&'a self, _: &'a Query) -> BoxFuture<'a, Result<Vec<Series>, source::Error>> {
            Box::pin(std::future::ready(self.0.clone()))
        }
    }

    fn series(values: &[f64]) -> Series {
        let points = values.iter().map(|value| (now(), *value)).collect();
        Series { labels: BTreeMap::from([("service".into(), "x".into())]), points }
    }

    #[tokio::test]
    async fn figures_come_from_all_points_and_the_value_is_the_newest() {
        let action = MetricQuery::new(Arc::new(Given(Ok(vec![series(&[1.0, 5.0, 3.0])]))));
        let output = carry_out(&action, json!({"expr": "x", "time_window": "5m"})).await.unwrap();
        assert_eq!(
            (&output["value"], &output["min"], &output["max"], &output["avg"]),
            (&json!(3.0), &json!(1.0), &json!(5.0), &json!(3.0))
        );
        assert_eq!(output["empty"], false);
    }

    #[tokio::test]
    async fn nothing_found_is_not_zero() {
        for found in [vec![], vec![series(&[])]] {
            let output = carry_out(&MetricQuery::new(Arc::new(Given(Ok(found)))), json!({"expr": "x"})).await.unwrap();
            assert_eq!(
                (output.get("value"), &output["empty"], &output["has_data"]),
                (None, &json!(true), &json!(false))
            );
        }
    }

    #[tokio::test]
    async fn a_bad_expression_is_not_tried_again_and_a_silent_source_is() {
        let bad = Given(Err(source::Error::BadQuery("sum of what?".into())));
        assert!(matches!(
            carry_out(&MetricQuery::new(Arc::new(bad)), json!({"expr": "sum("})).await,
            Err(Error::Permanent(_))
        ));
        let silent = Given(Err(source::Error::Timeout(Duration::from_secs(1))));
        assert!(matches!(
            carry_out(&MetricQuery::new(Arc::new(silent)), json!({"expr": "x"})).await,
            Err(Error::Transient(_))
        ));
    }
}

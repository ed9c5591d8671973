//! Own series as a metrics source: expressions of [`super::expr`] over [`crate::store::series`].

use std::sync::Arc;
use std::time::Duration;

use super::expr::{Error, Fetched, Labels, Query, Selector, Test};
use crate::core::{BoxFuture, Timestamp};
use crate::source::{self, MetricQuery, Metrics};
use crate::store::series::{Fold, Matcher, Series};

/// Most points of one series in an answer.
const MOST_STEPS: u64 = 2_000;
/// Beyond this, samples are folded while they are read, so that a week does not come into memory whole.
const FOLD_BEYOND: Duration = Duration::from_secs(2 * 3600);

/// Answers expressions from what Mayday measured itself. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OwnMetrics {
    series: Arc<Series>,
}

impl OwnMetrics {
    /// Over this store of series.
    #[must_use]
    pub fn new(series: Arc<Series>) -> Self {
        Self { series }
    }

    /// The expression at one moment; finite numbers only. Blocks for microseconds while the range is recent.
    ///
    /// # Errors
    /// [`source::Error`], with the place in the expression.
    pub fn instant(&self, query: &Query, at: Timestamp) -> Result<Vec<(Labels, f64)>, source::Error> {
        let fetched = self.fetch(query, at, at, Duration::ZERO)?;
        Ok(query.at(&fetched, at, Duration::ZERO).map_err(not_understood)?.finite())
    }

    /// The expression over a range, a point at `from` and every `step` after.
    ///
    /// # Errors
    /// As [`OwnMetrics::instant`]; also when the answer would have more than 2,000 points a series.
    pub fn over(&self, ask: &MetricQuery) -> Result<Vec<source::Series>, source::Error> {
        let bad = |why: String| source::Error::BadQuery(why);
        let query = Query::parse(&ask.expr).map_err(not_understood)?;
        if ask.step < Duration::from_millis(1) || ask.to < ask.from {
            return Err(bad("the range must not end before it starts, and the step must be positive".into()));
        }
        let (from, step) = (ask.from.as_millisecond(), i64::try_from(ask.step.as_millis()).unwrap_or(i64::MAX));
        let steps = (ask.to.as_millisecond() - from).unsigned_abs() / step.unsigned_abs();
        if steps > MOST_STEPS {
            return Err(bad(format!(
                "{steps} points a series; ask for at most {MOST_STEPS}: a shorter range or a larger step"
            )));
        }
        let fetched = self.fetch(&query, ask.from, ask.to, ask.step)?;
        let mut series: std::collections::BTreeMap<Labels, Vec<(Timestamp, f64)>> = std::collections::BTreeMap::new();
        for index in 0..=i64::try_from(steps).unwrap_or(0) {
            let at = Timestamp::from_millisecond(from + index * step).map_err(|error| bad(error.to_string()))?;
            for (labels, value) in query.at(&fetched, at, ask.step).map_err(not_understood)?.finite() {
                series.entry(labels).or_default().push((at, value));
            }
        }
        let labelled = |(labels, points): (Labels, _)| source::Series { labels: (*labels).clone(), points };
        Ok(series.into_iter().map(labelled).collect())
    }

    fn fetch(&self, query: &Query, from: Timestamp, to: Timestamp, step: Duration) -> Result<Fetched, source::Error> {
        let one = |selector: &Selector| {
            let matchers = matchers(selector);
            let reach = selector.reach(step);
            let start = from - reach;
            let whole = to.duration_since(start).as_secs_f64();
            let fold_to = selector.range.map_or(step, |range| range / 4);
            let found = if whole > FOLD_BEYOND.as_secs_f64() && fold_to > Duration::from_secs(15) {
                self.series.select_steps(&matchers, (start, to), fold_to, selector.fold())
            } else {
                self.series.select(&matchers, start, to)
            };
            let found = found.map_err(|error| source::Error::Failed(error.to_string()))?;
            let labelled = found.into_iter().map(|(key, points)| {
                let mut labels = key.labels;
                labels.insert("__name__".to_owned(), key.name);
                (Arc::new(labels), points)
            });
            Ok(labelled.collect())
        };
        query.selectors().iter().map(one).collect::<Result<_, _>>().map(Fetched)
    }
}

impl Metrics for OwnMetrics {
    fn range<'a>(&'a self, query: &'a MetricQuery) -> BoxFuture<'a, Result<Vec<source::Series>, source::Error>> {
        let (own, query) = (self.clone(), query.clone());
        Box::pin(async move {
            // Older samples are read from files.
            let answer = tokio::task::spawn_blocking(move || own.over(&query)).await;
            answer.unwrap_or_else(|error| Err(source::Error::Failed(error.to_string())))
        })
    }
}

#[allow(clippy::needless_pass_by_value, reason = "used as a function of map_err")]
fn not_understood(error: Error) -> source::Error {
    source::Error::BadQuery(error.to_string())
}

fn matchers(selector: &Selector) -> Vec<Matcher> {
    let named = selector.name.iter().map(|name| Matcher::name(name));
    let labelled = selector.labels.iter().map(|one| {
        let label = one.label.clone();
        match &one.test {
            Test::Is(text) => Matcher::Is(label, text.clone()),
            Test::IsNot(text) => Matcher::IsNot(label, text.clone()),
            Test::Like(regex) => Matcher::Like(label, regex.clone()),
            Test::NotLike(regex) => Matcher::NotLike(label, regex.clone()),
        }
    });
    named.chain(labelled).collect()
}

impl Selector {
    /// How samples may be folded on the way without changing what this selector means.
    fn fold(&self) -> Fold {
        match self.meaning() {
            "avg" => Fold::Mean,
            "min" => Fold::Least,
            "max" => Fold::Greatest,
            _ => Fold::Last,
        }
    }
}

//! Asking: which series, from when to when, folded how.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::tier::read;
use super::{Error, MINUTE_MS, Rollup, Series, SeriesKey, floor_minute};
use crate::core::Timestamp;

/// A series with its points in time order.
pub type Points = (SeriesKey, Vec<(Timestamp, f64)>);

/// What a series must be like. The metric's name is the label `__name__`; a missing label is the empty text.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// The label has this value.
    Is(String, String),
    /// The label has another value.
    IsNot(String, String),
    /// The label's whole value matches (the expression is anchored by whoever makes it).
    Like(String, regex::Regex),
    /// It does not.
    NotLike(String, regex::Regex),
}

impl Matcher {
    /// Series of that metric.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self::Is("__name__".to_owned(), name.to_owned())
    }

    /// Series whose label has that value.
    #[must_use]
    pub fn label(label: &str, value: &str) -> Self {
        Self::Is(label.to_owned(), value.to_owned())
    }

    fn holds(&self, key: &SeriesKey) -> bool {
        let value = |label: &str| match label {
            "__name__" => key.name.as_str(),
            _ => key.labels.get(label).map_or("", String::as_str),
        };
        match self {
            Self::Is(label, wanted) => value(label) == wanted,
            Self::IsNot(label, unwanted) => value(label) != unwanted,
            Self::Like(label, wanted) => wanted.is_match(value(label)),
            Self::NotLike(label, unwanted) => !unwanted.is_match(value(label)),
        }
    }
}

/// Whether all of them hold.
pub(super) fn matches(matchers: &[Matcher], key: &SeriesKey) -> bool {
    matchers.iter().all(|matcher| matcher.holds(key))
}

/// How the samples of a step become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Their arithmetic mean.
    Mean,
    /// The least.
    Least,
    /// The greatest.
    Greatest,
    /// The last.
    Last,
    /// Their sum.
    Sum,
    /// How many there are.
    Count,
}

impl Fold {
    fn of(self, rollup: &Rollup) -> f64 {
        match self {
            Self::Mean => rollup.mean(),
            Self::Least => rollup.least,
            Self::Greatest => rollup.greatest,
            Self::Last => rollup.last,
            Self::Sum => rollup.sum,
            Self::Count => f64::from(rollup.count),
        }
    }
}

/// Every point as it is kept.
pub(super) fn all(series: &Series, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Points>, Error> {
    collect(series, matchers, (from, to), Fold::Mean, |at| at)
}

/// Points folded into steps that start at `from`.
pub(super) fn steps(
    series: &Series,
    matchers: &[Matcher],
    (from, to): (i64, i64),
    step: i64,
    fold: Fold,
) -> Result<Vec<Points>, Error> {
    collect(series, matchers, (from, to), fold, |at| from + (at - from).div_euclid(step) * step)
}

fn collect(
    series: &Series,
    matchers: &[Matcher],
    (from, to): (i64, i64),
    fold: Fold,
    place: impl Fn(i64) -> i64,
) -> Result<Vec<Points>, Error> {
    let limit = series.options.max_points;
    let mut points = 0;
    let mut found: HashMap<Arc<SeriesKey>, BTreeMap<i64, Rollup>> = HashMap::new();
    let mut add = |found: &mut HashMap<Arc<SeriesKey>, BTreeMap<i64, Rollup>>, key: &Arc<SeriesKey>, at, rollup| {
        if let Some(kept) = found.get_mut(key) {
            kept.entry(place(at)).and_modify(|before| before.add(&rollup)).or_insert_with(|| {
                points += 1;
                rollup
            });
        }
        points <= limit
    };
    let mut within = true;
    let (keys, from_files, files) = {
        let state = series.state();
        let keys = state.head.matching(matchers);
        let mut from_files = Vec::new();
        for key in &keys {
            match state.head.recent(key, from) {
                Some(samples) => {
                    found.insert(key.clone(), BTreeMap::new());
                    for (at, value) in samples.take_while(|(at, _)| *at <= to) {
                        within = within && add(&mut found, key, at, Rollup::of(value));
                    }
                }
                None => from_files.push(key.clone()),
            }
        }
        let samples_since = state.samples.first_at().unwrap_or(i64::MAX);
        // The minute in which the samples begin is whole only as a roll-up, if there is one of before them.
        let begun = floor_minute(samples_since);
        let fine = if state.minutes.first_at().is_some_and(|first| first < begun && begun < samples_since) {
            begun.saturating_add(MINUTE_MS)
        } else {
            begun
        };
        let minutes_to = fine.saturating_sub(1).min(to);
        let files = (
            (state.minutes.segments_between(from - MINUTE_MS, minutes_to), (from, minutes_to)),
            (state.samples.segments_between(from, to), (from.max(fine), to)),
        );
        (keys, from_files, files)
    };
    if !from_files.is_empty() && within {
        let mut whole: HashMap<Arc<SeriesKey>, BTreeMap<i64, Rollup>> =
            from_files.iter().map(|key| (key.clone(), BTreeMap::new())).collect();
        let ((minutes, range), (samples, fine)) = files;
        // A minute belongs to the range if any of it does.
        let coarse = (floor_minute(range.0).max(range.0 - MINUTE_MS + 1), range.1);
        read(&minutes, coarse, &mut |key, at, rollup| {
            within = add(&mut whole, key, at.max(from), rollup);
            within
        })?;
        if within {
            read(&samples, fine, &mut |key, at, rollup| {
                within = add(&mut whole, key, at, rollup);
                within
            })?;
        }
        found.extend(whole);
    }
    if !within {
        return Err(Error::TooMany(limit));
    }
    let answer = keys.into_iter().filter_map(|key| {
        let kept = found.remove(&key).filter(|kept| !kept.is_empty())?;
        let points = kept
            .iter()
            .filter_map(|(at, rollup)| Some((Timestamp::from_millisecond(*at).ok()?, fold.of(rollup))))
            .collect();
        Some(((*key).clone(), points))
    });
    Ok(answer.collect())
}

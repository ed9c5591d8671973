//! When did a series change? One robust change point: the split that a Laplace model of two levels explains best.
//!
//! Formula: with `cost(x) = Σ|xᵢ − median(x)|`, the split `k` that maximises `cost(all) − cost(left) − cost(right)` is the
//! maximum-likelihood change of level under Laplace noise (Bai 1995, "Least absolute deviation estimation of a shift").
//! It counts as a change only if
//! * the gain, in units of the noise `b` (mean absolute deviation within the two parts), exceeds `3·ln n`, a
//!   BIC-like penalty for the extra level and the place of the split (Yao 1988), and
//! * the levels differ by at least [`MIN_SCORE`] robust standard deviations (1.4826·MAD of the part before, the modified
//!   z-score of Iglewicz & Hoaglin 1993, whose customary limit is 3.5).
//!
//! Medians, not means: one outlier is no change. Two points after the split are enough, since an incident is young.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::core::Timestamp;

/// Below this many robust standard deviations a difference of levels is noise.
pub const MIN_SCORE: f64 = 3.5;
/// Scores are capped here: a flat series that moves at all would else score without end.
pub const MAX_SCORE: f64 = 100.0;
const BEFORE: usize = 4;
const AFTER: usize = 2;
/// Movements below this share of the level are not worth a person's attention, however flat the series was.
const RELATIVE_FLOOR: f64 = 0.02;

/// A lasting change of a series' level.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The first point of the new level.
    pub at: Timestamp,
    /// Its index.
    pub index: usize,
    /// Median before.
    pub before: f64,
    /// Median since.
    pub after: f64,
    /// How many robust standard deviations the levels differ by, 3.5 to 100.
    pub score: f64,
}

impl Change {
    /// Whether the level went up.
    #[must_use]
    pub fn is_rise(&self) -> bool {
        self.after > self.before
    }

    /// After divided by before; none when before is (almost) nothing.
    #[must_use]
    pub fn factor(&self) -> Option<f64> {
        (self.before.abs() > 1e-12).then(|| self.after / self.before)
    }
}

/// The strongest change of level, or none. `noise_floor` is the smallest standard deviation that is believed, in the
/// series' unit (0.5 for a CPU percentage): what moves by less than 3.5 of it is no news.
///
/// Points must be in time order; points that are not finite are skipped. At least 6 are needed.
#[must_use]
pub fn change_point(points: &[(Timestamp, f64)], noise_floor: f64) -> Option<Change> {
    let kept: Vec<(usize, f64)> = points
        .iter()
        .enumerate()
        .filter(|(_, (_, value))| value.is_finite())
        .map(|(index, (_, value))| (index, *value))
        .collect();
    let values: Vec<f64> = kept.iter().map(|(_, value)| *value).collect();
    let n = values.len();
    if n < BEFORE + AFTER {
        return None;
    }
    let left = prefix_costs(values.iter().copied());
    let mut right = prefix_costs(values.iter().rev().copied());
    right.reverse();
    // left[i] is the cost of values[..=i], right[i] that of values[i..].
    let split_cost = |k: usize| left[k - 1] + right[k];
    let best = (BEFORE..=n - AFTER).min_by(|a, b| split_cost(*a).total_cmp(&split_cost(*b)))?;

    let before = median(&values[..best]);
    let after = median(&values[best..]);
    let floor = noise_floor.max(RELATIVE_FLOOR * before.abs()).max(f64::MIN_POSITIVE * 1e10);
    let noise = (split_cost(best) / n as f64).max(floor / 1.4826);
    let gain = (left[n - 1] - split_cost(best)) / noise;
    if gain < 3.0 * (n as f64).ln() {
        return None;
    }
    let deviation = (1.4826 * mad(&values[..best], before)).max(floor);
    let score = ((after - before).abs() / deviation).min(MAX_SCORE);
    if score < MIN_SCORE || !score.is_finite() {
        return None;
    }
    let index = kept[best].0;
    Some(Change { at: points[index].0, index, before, after, score })
}

/// The strongest change of level that happened at `from` or later. A change before that only splits the series: what
/// comes after it is searched again, so that a strong old change does not hide a weaker new one.
#[must_use]
pub fn change_since(points: &[(Timestamp, f64)], noise_floor: f64, from: Timestamp) -> Option<Change> {
    let mut start = 0;
    loop {
        let mut change = change_point(&points[start..], noise_floor)?;
        change.index += start;
        if change.at >= from {
            return Some(change);
        }
        // At least 4 points lie before a change, so each round has less to search.
        start = change.index;
    }
}

/// The middle value; 0 for none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Median absolute deviation from `center`.
#[must_use]
pub fn mad(values: &[f64], center: f64) -> f64 {
    median(&values.iter().map(|value| (value - center).abs()).collect::<Vec<_>>())
}

/// `Σ|xᵢ − median|` of every prefix, in O(n log n): two heaps hold the halves, two sums their totals.
fn prefix_costs(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let (mut low, mut high) = (BinaryHeap::new(), BinaryHeap::new());
    let (mut low_sum, mut high_sum) = (0.0, 0.0);
    let mut costs = Vec::new();
    for value in values {
        let value = Total(value);
        if low.peek().is_none_or(|top| value <= *top) {
            low.push(value);
            low_sum += value.0;
        } else {
            high.push(Reverse(value));
            high_sum += value.0;
        }
        if low.len() > high.len() + 1
            && let Some(moved) = low.pop()
        {
            low_sum -= moved.0;
            high_sum += moved.0;
            high.push(Reverse(moved));
        } else if high.len() > low.len()
            && let Some(Reverse(moved)) = high.pop()
        {
            high_sum -= moved.0;
            low_sum += moved.0;
            low.push(moved);
        }
        let middle = low.peek().map_or(0.0, |top| top.0);
        let cost = middle * low.len() as f64 - low_sum + high_sum - middle * high.len() as f64;
        costs.push(cost.max(0.0));
    }
    costs
}

/// A number with a total order.
#[derive(Clone, Copy)]
struct Total(f64);

impl PartialEq for Total {
    fn eq(&self, other: &Self) -> bool {
        self.0.total_cmp(&other.0).is_eq()
    }
}
impl Eq for Total {}
impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Total {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(values: &[f64]) -> Vec<(Timestamp, f64)> {
        values.iter().enumerate().map(|(at, value)| (Timestamp::from_second(at as i64 * 5).unwrap(), *value)).collect()
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let mut values: Vec<f64> = (0..40).map(|at| 20.0 + f64::from(at % 5)).collect();
        values.extend([95.0, 97.0, 96.0]);
        let change = change_point(&series(&values), 0.5).unwrap();
        assert_eq!((change.index, change.before, change.after), (40, 22.0, 96.0));
        assert!(change.is_rise() && change.score > 10.0);
    }

    #[test]
    fn an_old_change_does_not_hide_a_new_one() {
        let mut values = vec![1000.0; 20];
        values.extend(vec![10.0; 30]);
        values.extend([60.0, 61.0, 60.0, 61.0]);
        let points = series(&values);
        assert_eq!(change_point(&points, 0.5).unwrap().index, 20);
        let change = change_since(&points, 0.5, points[45].0).unwrap();
        assert_eq!((change.index, change.at, change.before), (50, points[50].0, 10.0));
        assert_eq!(change_since(&points, 0.5, points[52].0), None);
    }

    #[test]
    fn one_outlier_and_plain_noise_are_no_change() {
        let mut values: Vec<f64> = (0..40).map(|at| 20.0 + f64::from(at * 7 % 5)).collect();
        assert_eq!(change_point(&series(&values), 0.5), None);
        values[20] = 500.0;
        assert_eq!(change_point(&series(&values), 0.5), None);
    }

    #[test]
    fn a_flat_line_that_trembles_is_no_change() {
        let mut values = vec![1000.0; 30];
        values.extend(vec![1001.0; 10]);
        assert_eq!(change_point(&series(&values), 0.0), None);
    }

    #[test]
    fn up_that_falls_to_zero_is_a_change() {
        let mut values = vec![1.0; 30];
        values.extend([0.0, 0.0]);
        let change = change_point(&series(&values), 0.01).unwrap();
        assert_eq!((change.index, change.after), (30, 0.0));
    }

    proptest! {
        #[test]
        fn prefix_costs_are_what_the_definition_says(values in prop::collection::vec(-1e6f64..1e6, 1..60)) {
            for (end, cost) in prefix_costs(values.iter().copied()).into_iter().enumerate() {
                let part = &values[..=end];
                let middle = median(part);
                let wanted: f64 = part.iter().map(|value| (value - middle).abs()).sum();
                prop_assert!((cost - wanted).abs() <= 1e-6 * (1.0 + wanted), "{cost} {wanted}");
            }
        }

        #[test]
        fn no_series_makes_it_panic(values in prop::collection::vec(any::<f64>(), 0..80), floor in 0.0f64..10.0) {
            if let Some(change) = change_point(&series(&values), floor) {
                prop_assert!((MIN_SCORE..=MAX_SCORE).contains(&change.score));
                prop_assert!(change.index >= BEFORE && change.index < values.len());
            }
        }

        #[test]
        fn moving_the_whole_series_does_not_move_the_change(
            noise in prop::collection::vec(0.0f64..1.0, 30..60), cut in 10usize..25, shift in 0.0f64..50.0,
        ) {
            let make = |base: f64| -> Vec<f64> {
                noise.iter().enumerate().map(|(at, noise)| base + noise + if at >= cut { 100.0 } else { 0.0 }).collect()
            };
            let one = change_point(&series(&make(10.0)), 0.1).map(|change| change.index);
            prop_assert_eq!(one, Some(cut));
            prop_assert_eq!(change_point(&series(&make(10.0 + shift)), 0.1).map(|change| change.index), one);
        }
    }
}

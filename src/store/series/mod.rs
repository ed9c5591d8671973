//! Numbers over time, embedded: own metrics and scraped ones. Append, select, fold into steps, expire.
//!
//! Two tiers of append-only files: every sample for some hours, one roll-up a minute (count, sum, least, greatest, last)
//! for some days. The last minutes are also kept in memory, since rules and cards ask for those all the time.
//!
//! What a crash costs: nothing that was appended (it is in the kernel's hands); a power cut may cost the last minute.
//! A torn end of a file is cut off when it is opened. Bounded by [`Options`]; what is dropped is counted in
//! `mayday_store_series_dropped_samples_total`.
//!
//! Architecture Invariant: no promise of Mayday hangs on a sample, so nothing here goes through [`super::Store`].

mod frame;
mod head;
mod query;
mod rollup;
mod tier;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::duration::Span;
use crate::core::{SharedClock, Timestamp};
use head::{Head, Taken};
pub use query::{Fold, Matcher, Points};
use rollup::Rollup;
use tier::Tier;

/// A minute in milliseconds, the width of a roll-up.
const MINUTE_MS: i64 = 60_000;
/// A sample may be this far ahead of the clock; further ahead it would hide all that come after it.
const AHEAD_MS: i64 = 10 * MINUTE_MS;

/// Which series: a metric's name and its labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// The metric's name, `cpu_usage`.
    pub name: String,
    /// What tells its series apart.
    pub labels: BTreeMap<String, String>,
}

impl SeriesKey {
    /// A key from a name and label pairs.
    pub fn new<'a>(name: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { name: name.to_owned(), labels }
    }
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Of which series.
    pub key: SeriesKey,
    /// When it was read.
    pub at: Timestamp,
    /// The number; not finite ones are dropped.
    pub value: f64,
}

/// What is kept, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// At most so many series at a time; samples of further ones are dropped, counted and said.
    pub max_series: usize,
    /// How long every sample is kept.
    pub samples_for: Span,
    /// How long the roll-ups by minute are kept.
    pub minutes_for: Span,
    /// How much of the end is kept in memory as well.
    pub recent_for: Span,
    /// At most so many bytes on disk; the oldest files go first.
    pub max_bytes: u64,
    /// At most so many points in one answer; more is an error that says so.
    pub max_points: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_series: 5_000,
            samples_for: Span::from_secs(6 * 3600),
            minutes_for: Span::from_secs(7 * 86_400),
            recent_for: Span::from_secs(600),
            max_bytes: 256 * 1024 * 1024,
            max_points: 200_000,
        }
    }
}

/// What became of appended samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Kept.
    pub kept: usize,
    /// Not newer than the series' last sample, or more than ten minutes ahead of the clock.
    pub out_of_order: usize,
    /// Of a new series when there were [`Options::max_series`] already.
    pub too_many: usize,
    /// Not a finite number.
    pub not_finite: usize,
}

/// What can go wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The files can't be read or written.
    #[error("metrics can't be kept in {place}: {why}; check the folder's space and rights")]
    Files {
        /// Which file or folder.
        place: String,
        /// What the system said.
        why: String,
    },
    /// The answer would be too long.
    #[error("more than {0} points; ask for a shorter range, fewer series or a larger step")]
    TooMany(usize),
}

/// The series store. Calls block for file I/O: microseconds as a rule, and once a minute for a sync.
#[derive(Debug)]
pub struct Series {
    options: Options,
    clock: SharedClock,
    /// A plain lock: it is held for memory work and one `write`, never across an await; reads of files happen outside.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    head: Head,
    samples: Tier,
    minutes: Tier,
    /// The minute up to which roll-ups were written.
    rolled_to: i64,
}

impl Series {
    /// Opens the folder, making it if needed; cuts torn ends and rebuilds the last minutes in memory.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn open(path: &Path, options: Options, clock: SharedClock) -> Result<Arc<Self>, Error> {
        std::fs::create_dir_all(path).map_err(|error| frame::files(path, &error))?;
        let share = (options.max_bytes / 16).max(64 * 1024);
        let samples = Tier::open(path, "samples", millis(options.samples_for) / 12, share)?;
        let minutes = Tier::open(path, "minutes", millis(options.minutes_for) / 14, share)?;
        let mut head = Head::new(options.max_series, millis(options.recent_for));
        for key in minutes.keys().chain(samples.keys()) {
            head.know(key);
        }
        let now = clock.now().as_millisecond();
        let rolled_to = minutes.last_at().map_or(0, |at| at + MINUTE_MS);
        let from = rolled_to.min(now - millis(options.recent_for));
        samples.read(samples.segments_between(from, i64::MAX), (from, i64::MAX), &mut |key, at, rollup| {
            head.restore(key, at, rollup.last, rolled_to);
            true
        })?;
        let series = Self { options, clock, state: Mutex::new(State { head, samples, minutes, rolled_to }) };
        series.state().roll(now, &series.options)?;
        Ok(Arc::new(series))
    }

    /// Adds samples. Those of one series must come in time order; see [`Appended`] for what is left out.
    ///
    /// # Errors
    /// [`Error::Files`]: memory has the samples then, the disk may not.
    pub fn append(&self, samples: &[Sample]) -> Result<Appended, Error> {
        let now = self.clock.now().as_millisecond();
        let mut result = Appended::default();
        let mut frames: BTreeMap<i64, Vec<(u32, f64)>> = BTreeMap::new();
        let mut state = self.state();
        for sample in samples {
            let at = sample.at.as_millisecond();
            if !sample.value.is_finite() {
                result.not_finite += 1;
            } else if at > now.saturating_add(AHEAD_MS) {
                result.out_of_order += 1;
            } else {
                match state.head.take(&sample.key, at, sample.value) {
                    Taken::Kept(id) => {
                        result.kept += 1;
                        frames.entry(at).or_default().push((id, sample.value));
                    }
                    Taken::OutOfOrder => result.out_of_order += 1,
                    Taken::TooMany => result.too_many += 1,
                }
            }
        }
        result.emit(self.options.max_series);
        let State { head, samples, .. } = &mut *state;
        for (at, values) in frames {
            samples.append_samples(at, &values, |id| head.key(id))?;
        }
        state.roll(now, &self.options)?;
        Ok(result)
    }

    /// All series that match, with their points from `from` to `to`, both included: samples where those are still kept,
    /// before that the mean of each minute.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::Files`].
    pub fn select(&self, matchers: &[Matcher], from: Timestamp, to: Timestamp) -> Result<Vec<Points>, Error> {
        query::all(self, matchers, from.as_millisecond(), to.as_millisecond())
    }

    /// The same, folded into steps: one point for each step that has samples, at the step's start.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::Files`].
    pub fn select_steps(
        &self,
        matchers: &[Matcher],
        (from, to): (Timestamp, Timestamp),
        step: Duration,
        fold: Fold,
    ) -> Result<Vec<Points>, Error> {
        let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        query::steps(self, matchers, (from.as_millisecond(), to.as_millisecond()), step, fold)
    }

    /// The names of all metrics that are kept, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().head.names()
    }

    /// How many series are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state().head.count()
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let state = self.state();
        state.samples.bytes() + state.minutes.bytes()
    }

    /// Writes what is in memory only (the running minute stays) and syncs the files: before a planned end.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn sync(&self) -> Result<(), Error> {
        let mut state = self.state();
        state.samples.sync()?;
        state.minutes.sync()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Once a minute: writes the closed minutes, syncs, and lets go of what is too old or too much.
    fn roll(&mut self, now: i64, options: &Options) -> Result<(), Error> {
        let minute = floor_minute(now);
        if minute <= self.rolled_to {
            return Ok(());
        }
        let closed = self.head.close_minutes(minute);
        self.rolled_to = minute;
        for (at, rollups) in closed {
            self.minutes.append_minutes(at, &rollups, |id| self.head.key(id))?;
        }
        self.samples.sync()?;
        self.minutes.sync()?;
        self.samples.expire(now - millis(options.samples_for))?;
        self.minutes.expire(now - millis(options.minutes_for))?;
        while self.samples.bytes() + self.minutes.bytes() > options.max_bytes {
            // The finer tier may have half of the room.
            let finer = self.samples.bytes() > options.max_bytes / 2;
            let first = if finer { &mut self.samples } else { &mut self.minutes };
            if !first.drop_oldest()? && !self.samples.drop_oldest()? {
                break;
            }
        }
        self.head.forget_before(now - millis(options.minutes_for).max(millis(options.samples_for)));
        metrics::gauge!("mayday_store_series_kept").set(self.head.count() as f64);
        metrics::gauge!("mayday_store_series_bytes").set((self.samples.bytes() + self.minutes.bytes()) as f64);
        Ok(())
    }
}

impl Appended {
    /// Counts what was left out, and says it.
    fn emit(self, max_series: usize) {
        for (why, count) in
            [("out_of_order", self.out_of_order), ("too_many_series", self.too_many), ("not_finite", self.not_finite)]
        {
            if count > 0 {
                metrics::counter!("mayday_store_series_dropped_samples_total", "why" => why).increment(count as u64);
            }
        }
        if self.too_many > 0 {
            tracing::debug!(dropped_samples = self.too_many, max_series, "too many series; raise series.max_series");
        }
    }
}

fn millis(span: Span) -> i64 {
    i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX / 4)
}

fn floor_minute(at: i64) -> i64 {
    at.div_euclid(MINUTE_MS) * MINUTE_MS
}

#[cfg(test)]
mod tests;

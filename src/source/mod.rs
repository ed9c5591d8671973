//! Places to read from, behind two small traits, so that own eyes today and Prometheus, Loki or Elasticsearch later
//! answer the same questions.
//!
//! Architecture Invariant: nothing here changes anything outside.

pub mod exposition;
pub mod host;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::{BoxFuture, Tainted, Timestamp};

/// Reads logs.
pub trait Logs: Send + Sync + 'static {
    /// Lines of one service in a time range, newest last.
    fn search<'a>(&'a self, query: &'a LogQuery) -> BoxFuture<'a, Result<LogPage, Error>>;
}

/// Reads metrics.
pub trait Metrics: Send + Sync + 'static {
    /// Evaluates an expression over a time range. Which expressions are understood is the source's to say (in the error).
    fn range<'a>(&'a self, query: &'a MetricQuery) -> BoxFuture<'a, Result<Vec<Series>, Error>>;
}

/// Which lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// The catalogue's name.
    pub service: String,
    /// From when (inclusive).
    pub from: Timestamp,
    /// To when (exclusive).
    pub to: Timestamp,
    /// A line must contain one of these, whatever its case; empty for all.
    pub words: Vec<String>,
    /// At most so many lines come back (the counts cover all).
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// The newest lines, oldest of them first.
    pub lines: Vec<LogLine>,
    /// Lines in the range, whether or not they have the words.
    pub total: u64,
    /// Lines that have one of the words (all if none were given).
    pub matched: u64,
    /// Lines whose level is ERROR or worse.
    pub errors: u64,
    /// Whether the range reaches back further than the source still has.
    pub truncated: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When (the line's own time if it has one, else when it was read).
    pub at: Timestamp,
    /// `ERROR`, `WARN`, `INFO` … upper case; none if the line does not say.
    pub level: Option<String>,
    /// The text.
    pub text: Tainted,
}

/// Which numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricQuery {
    /// The expression.
    pub expr: String,
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
    /// Distance of the points.
    pub step: Duration,
}

/// One series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// `__name__` and labels.
    pub labels: BTreeMap<String, String>,
    /// Time and value, in time order; never NaN.
    pub points: Vec<(Timestamp, f64)>,
}

/// One number as it was read from somewhere, before it belongs to a stored series.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The metric's name.
    pub name: String,
    /// Its labels, without the name.
    pub labels: BTreeMap<String, String>,
    /// The value; may be NaN or infinite, as the format allows both.
    pub value: f64,
    /// When it was measured, if the reader was told.
    pub at: Option<Timestamp>,
}

/// Why a source gave no answer. "Nothing there" is an answer, not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The question is not one it understands.
    #[error("the query is not understood: {0}")]
    BadQuery(String),
    /// Anything else.
    #[error("the source failed: {0}")]
    Failed(String),
}

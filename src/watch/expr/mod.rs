//! Expressions over own series: a small, documented part of PromQL.
//!
//! ```text
//! expression := term (("+"|"-") term)*          term := factor (("*"|"/") factor)*
//! factor     := "-" factor | number | "(" expression ")" | selector | call | aggregation
//! selector   := name? "{" label ("="|"!="|"=~"|"!~") "text" ("," …)* "}"  |  name
//! call       := rate|increase|delta|avg_over_time|min_over_time|max_over_time|sum_over_time|count_over_time "(" selector "[" duration "]" ")"
//!             | abs "(" expression ")" | histogram_quantile "(" number "," expression ")"
//! aggregation:= sum|avg|min|max|count [("by"|"without") "(" labels ")"] "(" expression ")" [the same clause here instead]
//! ```
//!
//! Where it is simpler than Prometheus, on purpose:
//! * a selector's value at a time is its last sample not older than [`LOOKBACK`] (or the step, if that is longer);
//! * `rate` is the increase between the first and the last sample of the range (counter resets taken into account)
//!   divided by the time between the two, without extrapolation; `increase` is that times the range;
//! * between two vectors, series with the same labels meet (the name does not count); others drop out;
//! * no comparisons (a rule has them as fields), no `offset`, no subqueries.

mod eval;
mod lex;
mod parse;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use eval::{Fetched, Found, Labels, Value};

/// How old a sample may be and still stand for "now".
pub const LOOKBACK: Duration = Duration::from_secs(60);

/// An expression that was read and can be evaluated.
#[derive(Debug, Clone)]
pub struct Query {
    /// What was written.
    text: String,
    /// Every selector in it, in order; the tree names them by index.
    selectors: Vec<Selector>,
    root: Node,
}

impl Query {
    /// Reads an expression.
    ///
    /// # Errors
    /// The first place that is not understood.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::query(text)
    }

    /// What was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What must be fetched to evaluate it.
    #[must_use]
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }
}

/// Which series, and how far back from each moment.
#[derive(Debug, Clone)]
pub struct Selector {
    /// The metric's name, if it is given.
    pub name: Option<String>,
    /// What labels must be like.
    pub labels: Vec<LabelMatch>,
    /// `[5m]`, if there is one.
    pub range: Option<Duration>,
    /// What becomes of the samples in the range.
    over: Option<Over>,
}

impl Selector {
    /// What the samples of the range become: `avg`, `min`, `max`; `last` for everything that needs the samples.
    pub(super) fn meaning(&self) -> &'static str {
        match self.over {
            Some(Over::Avg) => "avg",
            Some(Over::Min) => "min",
            Some(Over::Max) => "max",
            _ => "last",
        }
    }
}

/// One condition on a label. A missing label is the empty text.
#[derive(Debug, Clone)]
pub struct LabelMatch {
    /// Which label.
    pub label: String,
    /// How it is compared.
    pub test: Test,
}

/// How a label is compared.
#[derive(Debug, Clone)]
pub enum Test {
    /// `=`
    Is(String),
    /// `!=`
    IsNot(String),
    /// `=~`, the whole value
    Like(regex::Regex),
    /// `!~`
    NotLike(regex::Regex),
}

#[derive(Debug, Clone)]
enum Node {
    Number(f64),
    /// Index into the query's selectors.
    Series(usize),
    Negated(Box<Node>),
    Absolute(Box<Node>),
    Quantile(f64, Box<Node>),
    Aggregate {
        how: Aggregate,
        labels: Grouping,
        of: Box<Node>,
    },
    Arithmetic {
        op: Op,
        at: usize,
        left: Box<Node>,
        right: Box<Node>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Rate,
    Increase,
    Delta,
    Avg,
    Min,
    Max,
    Sum,
    Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Avg,
    Min,
    Max,
    Count,
}

#[derive(Debug, Clone)]
enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// An expression can't be read or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {why}")]
pub struct Error {
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub why: String,
}

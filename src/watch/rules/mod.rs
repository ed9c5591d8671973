//! Own alert rules: a number from own series or own logs, compared with a limit, held for a while, becomes an alert of
//! the source `mayday`.
//!
//! [`state`] decides (pure), [`charge`] says which replica evaluates what, [`run`] measures, stores and delivers.

mod alert;
pub mod charge;
mod deliver;
mod kept;
mod measure;
pub mod run;
pub mod state;
pub mod status;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_replicas;
#[cfg(test)]
mod tests_town;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::expr::Query;
use crate::alert::Severity;
use crate::core::duration::Span;

pub use charge::{Alone, Charge};
pub use run::Service;
pub use status::{By, RuleStatus, Rules};

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleOptions {
    /// Its own name, unique: `order-cpu`. State is kept under it.
    pub id: String,
    /// What its alerts are called: `High_CPU_Usage`.
    pub alert_name: String,
    /// How bad its alerts are.
    pub severity: Severity,
    /// What is measured, an expression over own series (see the manual of `metrics`). Either this or `logs`.
    #[serde(default)]
    pub expr: Option<String>,
    /// Lines that are counted. Either this or `expr`.
    #[serde(default)]
    pub logs: Option<LogCount>,
    /// Compare not the number but how much it moved in this time (`expr` only).
    #[serde(default)]
    pub change: Option<ChangeOf>,
    /// How the number is compared with the threshold.
    #[serde(default)]
    pub comparison: Comparison,
    /// The limit.
    pub threshold: f64,
    /// The unit of the number, for people: `%`, `ms`.
    #[serde(default)]
    pub unit: Option<String>,
    /// How long the comparison must hold before the alert fires.
    #[serde(default, rename = "for")]
    pub held_for: Span,
    /// How long it must no longer hold before the alert is resolved.
    #[serde(default)]
    pub clear_for: Span,
    /// After a resolve, the series does not fire again for this long; if it still holds then, it fires.
    #[serde(default = "one_minute")]
    pub cooldown: Span,
    /// With several replicas: whether each evaluates it for its own machine (`true`; its alerts then have the label
    /// `host`), or one of them for all (`false`). When missing, `true` for log lines, the machine's own metrics and
    /// processes, and pages that are scraped on the loopback; `false` for everything else.
    #[serde(default)]
    pub per_host: Option<bool>,
    /// The service its alerts are about; else the series' label `service`.
    #[serde(default)]
    pub service: Option<String>,
    /// Further labels of its alerts.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What people read; `{{ value }}`, `{{ threshold }}`, `{{ service }}` and `{{ labels.NAME }}` are filled in.
    #[serde(default)]
    pub description: Option<String>,
    /// What it means when a series that was there has no data any more.
    #[serde(default)]
    pub no_data: NoData,
    /// How long a series must be without data before that counts.
    #[serde(default = "one_minute")]
    pub no_data_after: Span,
}

const fn one_minute() -> Span {
    Span::from_secs(60)
}

/// Lines of a service's log that are counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogCount {
    /// The catalogue's name.
    pub service: String,
    /// A line must contain one of these, whatever its case; empty counts all.
    #[serde(default)]
    pub words: Vec<String>,
    /// How far back lines count.
    pub window: Span,
}

/// A movement instead of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeOf {
    /// Compared with so long ago.
    pub over: Span,
    /// In the number's own unit, or in percent of what it was.
    #[serde(default, rename = "in")]
    pub unit: ChangeUnit,
}

/// How a movement is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeUnit {
    /// Now minus then.
    #[default]
    Value,
    /// The same, in percent of then. From zero there is none.
    Percent,
}

/// How the number is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[allow(missing_docs, reason = "the signs say it")]
pub enum Comparison {
    #[default]
    #[serde(rename = ">")]
    Above,
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = "<")]
    Below,
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = "==")]
    Equal,
    #[serde(rename = "!=")]
    Unequal,
}

impl Comparison {
    /// Whether it holds.
    #[must_use]
    #[allow(clippy::float_cmp, reason = "a rule that says == means it: up == 0")]
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Equal => value == threshold,
            Self::Unequal => value != threshold,
        }
    }

    /// As it is written.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::Unequal => "!=",
        }
    }
}

/// What missing data means. It never means that all is well, unless that is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// The state stays as it is (a firing alert goes on firing), and the rule's status says that it is blind.
    #[default]
    Keep,
    /// As if the comparison held: the alert fires and says that there is no data.
    Alert,
    /// As if it did not hold.
    Ok,
}

impl RuleOptions {
    /// Where the number comes from, in words: the expression, or the count of lines.
    #[must_use]
    pub fn measures(&self) -> String {
        let change = self.change.map_or(String::new(), |change| {
            let unit = if change.unit == ChangeUnit::Percent { " in percent" } else { "" };
            format!(" (change over {}{unit})", change.over)
        });
        match (&self.expr, &self.logs) {
            (Some(expr), _) => format!("{expr}{change}"),
            (None, Some(logs)) => {
                let words =
                    if logs.words.is_empty() { String::new() } else { format!(" with {}", logs.words.join(" or ")) };
                format!("log lines of {}{words} in {}", logs.service, logs.window)
            }
            (None, None) => String::new(),
        }
    }

    /// Mistakes: field and what to write instead.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let plain =
            !self.id.is_empty() && self.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !plain {
            problems.push(("id", format!("`{}` is no plain name; letters, digits, `-`, `_`, `.`", self.id)));
        }
        if self.alert_name.trim().is_empty() {
            problems.push(("alert_name", "is empty; name the alert, for instance High_CPU_Usage".to_owned()));
        }
        match (&self.expr, &self.logs) {
            (Some(expr), None) => {
                if let Err(error) = Query::parse(expr) {
                    problems.push(("expr", error.to_string()));
                }
            }
            (None, Some(logs)) if logs.window.0 < Duration::from_secs(1) => {
                problems.push(("logs.window", "is below one second".to_owned()));
            }
            (None, Some(_)) => {}
            _ => problems.push(("expr", "write either `expr` or `logs`, exactly one".to_owned())),
        }
        if self.change.is_some_and(|change| change.over.0 < Duration::from_secs(1) || self.logs.is_some()) {
            problems.push(("change", "needs `over` of at least one second, and an `expr`".to_owned()));
        }
        if !self.threshold.is_finite() {
            problems.push(("threshold", "must be a finite number".to_owned()));
        }
        if let Some(text) = &self.description
            && let Err(why) = alert::described(text, &BTreeMap::new(), 0.0, 0.0, "").map_err(|error| error.to_string())
        {
            // A label that only some series have is no mistake of the template.
            if !why.contains("undefined") {
                problems.push(("description", why));
            }
        }
        problems
    }
}

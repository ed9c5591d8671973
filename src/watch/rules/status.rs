//! How the rules stand, for whoever asks.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::run::Service;
use super::state::Phase;
use crate::core::Timestamp;

/// Who evaluates a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// This process.
    This,
    /// Another replica: what is counted here then says nothing about the rule.
    #[default]
    Another,
}

/// How a rule stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RuleStatus {
    /// The rule's id.
    pub id: String,
    /// What its alerts are called.
    pub alert_name: String,
    /// What it measures.
    pub measures: String,
    /// Who evaluates it (for this machine, if it is evaluated on each).
    pub by: By,
    /// Whether each machine evaluates it for itself.
    pub per_host: bool,
    /// Series it follows.
    pub series: usize,
    /// Of these, firing.
    pub firing: usize,
    /// Of these, pending.
    pub pending: usize,
    /// Of these, without data for too long.
    pub blind: usize,
    /// Series beyond the bound, which are not followed.
    pub not_followed: usize,
    /// Series of machines that no living replica stands for, which this process looks after.
    pub left: usize,
    /// Alerts that wait to be taken.
    pub waiting: usize,
    /// Why it could not be evaluated last time.
    pub error: Option<String>,
    /// When it was evaluated here last.
    pub at: Option<Timestamp>,
}

/// How the rules stand. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// A plain lock, held for a copy.
    status: Arc<Mutex<Vec<RuleStatus>>>,
}

impl Rules {
    /// All rules, in the configuration's order.
    #[must_use]
    pub fn list(&self) -> Vec<RuleStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Service {
    pub(super) fn show(&self) {
        let status: Vec<RuleStatus> = self
            .rules
            .iter()
            .map(|rule| {
                let id = &rule.options.id;
                let left = || self.left.values().filter(|live| live.kept.rule == *id);
                let count = |wanted: &dyn Fn(&super::kept::Kept) -> bool| {
                    rule.series.values().chain(left()).filter(|live| wanted(&live.kept)).count()
                };
                RuleStatus {
                    id: id.clone(),
                    alert_name: rule.options.alert_name.clone(),
                    measures: rule.options.measures(),
                    by: if rule.mine { By::This } else { By::Another },
                    per_host: rule.per_host,
                    series: rule.series.len(),
                    firing: count(&|kept| matches!(kept.state.phase, Phase::Firing { .. })),
                    pending: count(&|kept| matches!(kept.state.phase, Phase::Pending { .. })),
                    blind: count(&|kept| kept.state.blind),
                    not_followed: rule.not_followed,
                    left: left().count(),
                    waiting: rule.series.values().chain(left()).map(|live| live.kept.waiting.len()).sum(),
                    error: rule.error.clone(),
                    at: rule.at,
                }
            })
            .collect();
        metrics::gauge!("mayday_watch_rules_firing").set(status.iter().map(|rule| rule.firing).sum::<usize>() as f64);
        metrics::gauge!("mayday_watch_rules_without_data")
            .set(status.iter().filter(|rule| rule.blind > 0).count() as f64);
        *self.status.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

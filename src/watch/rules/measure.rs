//! What a rule measures now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{ChangeUnit, RuleOptions};
use crate::core::Timestamp;
use crate::watch::expr::{Labels, Query};
use crate::watch::logs::Tails;
use crate::watch::metrics::OwnMetrics;

/// The rule's numbers now, by labels without the name.
pub(super) fn measure(
    rule: &RuleOptions,
    query: Option<&Query>,
    metrics: &OwnMetrics,
    tails: &Tails,
    now: Timestamp,
) -> Result<Vec<(Labels, f64)>, String> {
    if let Some(logs) = &rule.logs {
        let from = now - logs.window.0;
        // The bound is exclusive; a line of this very moment counts.
        let to = now + Duration::from_millis(1);
        let count = tails.count(&logs.service, from, to, &logs.words);
        let labels = BTreeMap::from([("service".to_owned(), logs.service.clone())]);
        return Ok(vec![(Arc::new(labels), count as f64)]);
    }
    let Some(query) = query else { return Ok(Vec::new()) };
    let at = |moment| metrics.instant(query, moment).map_err(|error| error.to_string());
    let current = at(now)?;
    let Some(change) = rule.change else { return Ok(current) };
    let before: BTreeMap<Labels, f64> = at(now - change.over.0)?.into_iter().collect();
    let moved = current.into_iter().filter_map(|(labels, value)| {
        let then = *before.get(&labels)?;
        let moved = match change.unit {
            ChangeUnit::Value => value - then,
            ChangeUnit::Percent => (value - then) / then.abs() * 100.0,
        };
        moved.is_finite().then_some((labels, moved))
    });
    Ok(moved.collect())
}

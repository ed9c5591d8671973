//! A series of a rule, as it is stored and as it lives in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alert::{ended, fired, unit_of};
use super::state::{Measured, Phase, SeriesState, Tell};
use super::{NoData, RuleOptions};
use crate::alert::Alert;
use crate::core::Timestamp;
use crate::core::message::watch as say;
use crate::store::{Record, Revision};

/// An alert that goes on is said again this often: whoever resolved its incident by hand must hear that it does.
const REPEAT: Duration = Duration::from_secs(60);
/// A machine without a living replica is given up after this: longer than it takes to start again, short enough that what
/// nobody sees any more does not stay open for ever.
const GIVEN_UP: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// A series of a rule as it is stored, under `rule/<id>/<digest of the labels>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub rule: String,
    pub labels: BTreeMap<String, String>,
    pub state: SeriesState,
    /// The alert that is open, as it was told.
    pub open: Option<Alert>,
    /// Alerts the sink has not taken yet, oldest first.
    pub waiting: Vec<Alert>,
    /// Whose series it is, where machines share a store and the rule is evaluated on each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

impl Record for Kept {}

impl Kept {
    /// A series that is seen for the first time.
    pub fn new(rule: &str, labels: BTreeMap<String, String>, machine: Option<String>, now: Timestamp) -> Self {
        let state = SeriesState::new(now);
        Self { rule: rule.to_owned(), labels, state, open: None, waiting: Vec::new(), machine }
    }
}

/// A series that this process looks after.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub kept: Kept,
    /// None: not stored yet.
    pub revision: Option<Revision>,
    /// When its alert was given to the sink last, as far as this process knows.
    pub told: Option<Timestamp>,
    /// Whether the last round measured it.
    pub measured: bool,
    /// Since when this process looks after it.
    pub taken_at: Timestamp,
}

impl Live {
    /// One that is not stored yet.
    pub fn new(kept: Kept, now: Timestamp) -> Self {
        Self { kept, revision: None, told: None, measured: false, taken_at: now }
    }

    /// One that was stored, perhaps by another process. Values that change nothing are not written, so that it was seen
    /// last when it changed last; how long it is without data counts from now, unless that had been found out before.
    pub fn taken_over(mut kept: Kept, revision: Revision, now: Timestamp) -> Self {
        if !kept.state.blind {
            kept.state.seen_at = kept.state.seen_at.max(now);
        }
        Self { revision: Some(revision), ..Self::new(kept, now) }
    }

    /// Whether its alert goes on and is to be said again. While the comparison does not hold, or nothing is measured, there
    /// is nothing to repeat.
    pub fn repeats(&self, rule: &RuleOptions, now: Timestamp) -> bool {
        let state = &self.kept.state;
        let holds = matches!(state.phase, Phase::Firing { clear_since: None, .. })
            && (self.measured || state.blind && rule.no_data == NoData::Alert);
        let said = self.told.and_then(|told| Duration::try_from(now.duration_since(told)).ok());
        holds && self.kept.waiting.is_empty() && said.is_none_or(|since| since >= REPEAT)
    }

    /// Whether the series of a machine that nobody stands for has been without data for so long that it is given up.
    pub fn given_up(&self, now: Timestamp) -> bool {
        self.kept.state.blind && now.duration_since(self.kept.state.seen_at) >= GIVEN_UP
    }

    /// Its alert ends though it was not seen to recover.
    pub fn end(&mut self, now: Timestamp, says: &str) {
        if let Some(open) = self.kept.open.take() {
            self.kept.state.phase = Phase::Resolved { at: now };
            self.kept.waiting.push(ended(&open, now, says));
        }
    }

    /// Steps it; true if it must be stored.
    pub fn advance(&mut self, rule: &RuleOptions, measured: Measured, now: Timestamp, history: usize) -> bool {
        self.measured = matches!(measured, Measured::Value(_));
        let kept = &mut self.kept;
        let (tell, changed) = kept.state.step(rule, measured, now, history);
        match tell {
            Some(Tell::Fires { since, blind }) => {
                let alert = fired(rule, kept, since, blind);
                tracing::info!(rule = rule.id, alert = %alert.alert_id, value = kept.state.value, "own alert fires");
                kept.open = Some(alert.clone());
                kept.waiting.push(alert);
            }
            Some(Tell::Resolves { .. }) => {
                if let Some(open) = kept.open.take() {
                    let says = say::alert_over(&rule.alert_name, &rule.measures(), kept.state.value, unit_of(rule));
                    let mut over = ended(&open, now, &says);
                    over.metric_value = kept.state.value.or(over.metric_value);
                    kept.waiting.push(over);
                }
            }
            None => {}
        }
        changed || tell.is_some()
    }
}

//! How one series of one rule moves between inactive, pending, firing and resolved. Pure: time and value in, state and
//! what to tell out.

use serde::{Deserialize, Serialize};

use super::{NoData, RuleOptions};
use crate::core::Timestamp;

/// Where a series stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Phase {
    /// The comparison does not hold.
    Inactive,
    /// It holds, not yet for long enough (or the cooldown lasts).
    Pending {
        /// Since when it holds.
        since: Timestamp,
    },
    /// The alert was raised.
    Firing {
        /// Since when the comparison held: the alert's start.
        since: Timestamp,
        /// Since when it no longer holds, while that is too short to resolve.
        clear_since: Option<Timestamp>,
    },
    /// The alert has ended.
    Resolved {
        /// When.
        at: Timestamp,
    },
}

/// A series' state as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesState {
    /// Where it stands.
    pub phase: Phase,
    /// The last number that was measured.
    pub value: Option<f64>,
    /// When there was data last.
    pub seen_at: Timestamp,
    /// Whether it is without data for longer than the rule allows.
    pub blind: bool,
    /// The last changes, oldest first, bounded by the options.
    pub history: Vec<Step>,
}

/// One change of phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// To what: `pending`, `firing`, `resolved`, `inactive`, `held back by cooldown`, `no data`, `data again`.
    pub to: String,
    /// The number then.
    pub value: Option<f64>,
}

/// What must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// The alert that started then fires.
    Fires {
        /// Its start.
        since: Timestamp,
        /// Whether it fires because there is no data.
        blind: bool,
    },
    /// The alert that started then has ended.
    Resolves {
        /// Its start.
        since: Timestamp,
    },
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measured {
    /// A number.
    Value(f64),
    /// The series was not there.
    Missing,
}

impl SeriesState {
    /// A series that is seen for the first time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { phase: Phase::Inactive, value: None, seen_at: now, blind: false, history: Vec::new() }
    }

    /// Takes a measurement in. Returns what must be told, and whether the state changed in a way that must be stored
    /// (the value and the time it was seen alone need not be).
    pub fn step(
        &mut self,
        rule: &RuleOptions,
        measured: Measured,
        now: Timestamp,
        history: usize,
    ) -> (Option<Tell>, bool) {
        let (was, was_blind) = (self.phase.clone(), self.blind);
        let holds = match measured {
            Measured::Value(value) => {
                self.value = Some(value);
                self.seen_at = now;
                self.blind = false;
                Some(rule.comparison.holds(value, rule.threshold))
            }
            Measured::Missing => {
                self.blind = now.duration_since(self.seen_at) >= signed(rule.no_data_after.0);
                match rule.no_data {
                    // Not yet long enough to mean anything: nothing moves.
                    _ if !self.blind => None,
                    NoData::Keep => None,
                    NoData::Alert => Some(true),
                    NoData::Ok => Some(false),
                }
            }
        };
        if self.blind != was_blind {
            self.note(now, if self.blind { "no data" } else { "data again" }, history);
        }
        let tell = holds.and_then(|holds| self.decide(rule, holds, now, history));
        (tell, self.phase != was || self.blind != was_blind)
    }

    fn decide(&mut self, rule: &RuleOptions, holds: bool, now: Timestamp, history: usize) -> Option<Tell> {
        match (self.phase.clone(), holds) {
            (Phase::Inactive, false) | (Phase::Resolved { .. }, false) => None,
            (Phase::Inactive, true) => {
                self.phase = Phase::Pending { since: now };
                // Told apart from firing only if there is something to wait for.
                if rule.held_for.0.is_zero() {
                    return self.fire(now, now, history);
                }
                self.note(now, "pending", history);
                None
            }
            (Phase::Resolved { at }, true) => {
                if now.duration_since(at) < signed(rule.cooldown.0) {
                    // Not pending yet: `since` would promise an alert that began during the cooldown.
                    if self.history.last().is_none_or(|last| last.to != "held back by cooldown") {
                        self.note(now, "held back by cooldown", history);
                    }
                    return None;
                }
                self.phase = Phase::Inactive;
                self.decide(rule, true, now, history)
            }
            (Phase::Pending { .. }, false) => {
                self.phase = Phase::Inactive;
                self.note(now, "inactive", history);
                None
            }
            (Phase::Pending { since }, true) => {
                if now.duration_since(since) < signed(rule.held_for.0) {
                    return None;
                }
                self.fire(since, now, history)
            }
            (Phase::Firing { since, clear_since }, true) => {
                if clear_since.is_some() {
                    self.phase = Phase::Firing { since, clear_since: None };
                }
                None
            }
            (Phase::Firing { since, clear_since }, false) => {
                let clear = clear_since.unwrap_or(now);
                if now.duration_since(clear) < signed(rule.clear_for.0) {
                    self.phase = Phase::Firing { since, clear_since: Some(clear) };
                    return None;
                }
                self.phase = Phase::Resolved { at: now };
                self.note(now, "resolved", history);
                Some(Tell::Resolves { since })
            }
        }
    }

    fn fire(&mut self, since: Timestamp, now: Timestamp, history: usize) -> Option<Tell> {
        self.phase = Phase::Firing { since, clear_since: None };
        self.note(now, "firing", history);
        Some(Tell::Fires { since, blind: self.blind })
    }

    fn note(&mut self, at: Timestamp, to: &str, history: usize) {
        self.history.push(Step { at, to: to.to_owned(), value: self.value });
        let surplus = self.history.len().saturating_sub(history);
        self.history.drain(..surplus);
    }

    /// Whether nothing would be lost by forgetting this series: long without data, and no alert of it open.
    #[must_use]
    pub fn forgettable(&self, now: Timestamp) -> bool {
        const AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
        !matches!(self.phase, Phase::Firing { .. }) && now.duration_since(self.seen_at) > AFTER
    }
}

/// Configured durations are at most a century, so this never saturates.
fn signed(duration: std::time::Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

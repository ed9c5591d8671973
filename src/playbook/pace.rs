//! How a verification is measured: how long it may take, how often it is read, and how long what it waits for must hold.

use std::time::Duration;

use super::model::Task;
use crate::core::duration::Span;

/// What must hold afterwards gets this long where the playbook does not say.
const VERIFY_WITHIN: Span = Span::from_secs(60);
/// An `until` of a Wait gets this long where the playbook does not say.
const WAIT_WITHIN: Span = Span::from_secs(300);
/// Time between readings where the playbook does not say.
const EVERY: Span = Span::from_secs(2);

/// The times of a task's `verify`, or of a Verify or a Wait task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// All of it takes no longer.
    pub within: Span,
    /// Between two readings.
    pub every: Span,
    /// So long the condition must hold at each reading; with none, once.
    pub hold: Duration,
}

impl Pace {
    /// As the task says.
    #[must_use]
    pub fn of(task: &Task) -> Self {
        let given = |name: &str| task.parameters.get(name)?.as_str()?.parse::<Span>().ok();
        let (within, every, hold, missing) = match task.kind.as_str() {
            "Verify" => (given("within"), given("every"), given("for"), VERIFY_WITHIN),
            "Wait" => (given("within"), None, given("for"), WAIT_WITHIN),
            _ => {
                let verify = task.verify.as_ref();
                let within = verify.and_then(|verify| verify.within);
                (within, None, verify.and_then(|verify| verify.held_for), VERIFY_WITHIN)
            }
        };
        Self {
            within: within.unwrap_or(missing),
            every: every.unwrap_or(EVERY),
            hold: hold.map_or(Duration::ZERO, |span| span.0),
        }
    }
}

//! What people are told about a run without having asked. Whoever tells it names the run first.

/// Told to everyone: the policy was passed.
#[must_use]
pub fn notice_glass(name: &str, reason: &str) -> String {
    format!("{name} broke the glass, it starts without the approvals that the policy asks for. Reason: {reason}")
}

/// People allowed it in advance: told, since nobody was asked.
#[must_use]
pub fn notice_allowed(tasks: &[&str], policy: &str, used: u32, per_day: u32) -> String {
    let tasks = tasks.join(", ");
    format!("{tasks}, allowed by the standing policy {policy} ({used} of {per_day} changes in 24 hours).")
}

/// A run begins to take back what it did.
#[must_use]
pub fn notice_unwinding(tasks: &[&str], why: &str) -> String {
    format!("it takes back what it did ({}): {why}", tasks.join(", "))
}

/// An undo failed for good.
#[must_use]
pub fn notice_not_undone(step: &str, note: &str) -> String {
    format!("it is stuck, {step} failed: {note}")
}

/// A task's success, for those who asked to be told.
#[must_use]
pub fn notice_success(task: &str, note: Option<&str>) -> String {
    let note = note.map(|note| format!(": {note}")).unwrap_or_default();
    format!("{task} is done{note}")
}

/// A task's failure.
#[must_use]
pub fn notice_failure(task: &str, note: &str, goes_on: bool) -> String {
    let then = if goes_on { "the run goes on" } else { "the run ends" };
    format!("{task} failed: {note}; {then}")
}

/// An end that a person must look at.
#[must_use]
pub fn notice_end(playbook: &str, why: &str) -> String {
    format!("{playbook} has ended: {why}")
}

/// A task of which nobody knows whether it happened.
#[must_use]
pub fn notice_doubt(task: &str, note: &str) -> String {
    format!("{task}: {note}")
}

/// A run that waits for another Mayday.
#[must_use]
pub fn notice_held(why: &str) -> String {
    format!("it waits: {why}")
}

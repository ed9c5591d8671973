//! What people read about the tasks of a playbook that undo a change: what is approved of them, and when they are asked for.

use crate::core::RunId;

/// One field of an undo.
#[must_use]
pub fn field(field: &str, before: &str, after: &str) -> String {
    format!("{field} {before} → {after}")
}
/// How a change is undone: by a task of its own, and exactly so.
#[must_use]
pub fn by_task(task: &str, object: &str, fields: &[String]) -> String {
    let fields = if fields.is_empty() { String::new() } else { format!(": {}", fields.join(", ")) };
    format!("by itself if the run fails or is cancelled: {task} ({object}{fields})")
}
/// How a change is undone: by a task of its own that can't be worked out before.
#[must_use]
pub fn by_task_later(task: &str, why: &str) -> String {
    format!(
        "if the run fails or is cancelled: {task}; what it does is worked out when needed, and then asked for ({why})"
    )
}
/// A task that undoes the items of a list, before the list is known or looked at one by one.
#[must_use]
pub fn once_for_each(task: &str) -> String {
    format!("once for each item that `{task}` has changed")
}
/// A task that undoes a change, of which not all is known before that.
#[must_use]
pub fn when_needed(why: &str) -> String {
    format!("what it does is worked out when needed, and then asked for ({why})")
}
/// A difference in how a change is undone.
#[must_use]
pub fn in_undo(difference: &str) -> String {
    format!("undo: {difference}")
}
/// It could not be worked out when the change was approved.
#[must_use]
pub fn known_only_now() -> String {
    "what it does could only be worked out now".to_owned()
}
/// It was worked out when the change was approved, and can't be now.
#[must_use]
pub fn not_known_any_more(why: &str) -> String {
    format!("what it does can no longer be worked out before it is needed ({why})")
}
/// Another object than approved.
#[must_use]
pub fn other_object(approved: &str, now: &str) -> String {
    format!("object: {approved} → {now}")
}
/// Other parameters than approved.
#[must_use]
pub fn other_parameters(approved: &str, now: &str) -> String {
    format!("parameters: {approved} → {now}")
}
/// A field that would be set to something else than approved.
#[must_use]
pub fn other_value(field: &str, approved: &str, now: &str) -> String {
    format!("{field}: approved → {approved}, now → {now}")
}
/// A field that nobody approved.
#[must_use]
pub fn other_field(field: &str, before: &str, after: &str) -> String {
    format!("{field}: new, {before} → {after}")
}
/// A field that was approved and would not be set.
#[must_use]
pub fn no_field(field: &str) -> String {
    format!("{field}: no longer changes")
}
/// The same words, and the action says that it would be something else.
#[must_use]
pub fn not_the_same() -> String {
    "what it would do is not what was approved, though it reads the same".to_owned()
}
/// How an undo that people are asked for is undone itself.
#[must_use]
pub fn takes_back(change: &str) -> String {
    format!("none, it takes back {change}")
}
/// What a run that unwinds waits for.
#[must_use]
pub fn asks(step: &str) -> String {
    format!("it takes back what it did and needs an approval for the next step: {step}")
}
/// The same, told.
#[must_use]
pub fn notice_asks(step: &str, difference: &str) -> String {
    format!("it takes back what it did, and {step} is not as it was approved ({difference}); approve or reject it")
}
/// An approval of such a step that was the last one needed.
#[must_use]
pub fn approved(run: RunId) -> String {
    format!("{run}: the undo is approved and starts now.")
}
/// A rejection of such a step.
#[must_use]
pub fn rejected(run: RunId) -> String {
    format!(
        "{run}: the undo is rejected, and what it would take back stays. `retry {run}` works it out and asks again."
    )
}
/// Why it was not done: a person said no.
#[must_use]
pub fn not_wanted(name: &str, reason: Option<&str>) -> String {
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{name} rejected the undo{why}")
}
/// Why it was not done: nobody decided in time.
#[must_use]
pub fn nobody_approved() -> String {
    "nobody approved the undo in time".to_owned()
}

//! What people read about runs: decisions, refusals, how tasks stand.

use std::time::Duration;

use crate::core::duration::human;
use crate::core::person::{Actor, PersonId};
use crate::core::{RunId, Timestamp};

pub use super::playbook_end::*;
pub use super::playbook_notice::*;

/// A person's id without the chat: `web:ana` becomes `ana`.
fn person(id: &PersonId) -> &str {
    id.0.split_once(':').map_or(id.0.as_str(), |(_, name)| name)
}

/// Who did something.
#[must_use]
pub fn actor(by: &Actor) -> String {
    match by {
        Actor::Person(id) => person(id).to_owned(),
        Actor::Mayday(_) => "Mayday".to_owned(),
        Actor::Impersonated { admin, person: of } => format!("{} as {}", person(admin), person(of)),
    }
}

/// Why a paused run does not go on.
#[must_use]
pub fn paused_by(by: &Actor) -> String {
    format!("paused by {}; `resume` lets it go on", actor(by))
}

/// A condition that said no.
#[must_use]
pub fn skipped(condition: &str) -> String {
    format!("not needed: `{condition}` is false")
}

/// A condition that held when the change was proposed, and does not right before it.
#[must_use]
pub fn no_longer_needed(condition: &str) -> String {
    format!("no longer needed: `{condition}` was true when it was proposed and is false now")
}

/// A task that pauses the run before it starts.
#[must_use]
pub fn pauses_before(task: &str) -> String {
    format!("the playbook pauses before {task}")
}

/// An approval that was the last one needed.
#[must_use]
pub fn approved(run: RunId) -> String {
    format!("{run} is approved and starts now.")
}

/// An approval, and more are needed.
#[must_use]
pub fn approved_more(run: RunId, missing: usize) -> String {
    let people = if missing == 1 { "1 more person".to_owned() } else { format!("{missing} more people") };
    format!("{run}: your approval counts; {people} must approve.")
}

/// An admin approved past the policy.
#[must_use]
pub fn glass_broken(run: RunId) -> String {
    format!("{run} starts now on your own responsibility; everyone is told, with your reason.")
}

/// An admin whose plain approval is all that is missing.
#[must_use]
pub fn no_need_to_break_glass(run: RunId) -> String {
    format!("{run}: your approval is all it needs; `approve {run}` gives it. Nothing changed.")
}

/// A second click.
#[must_use]
pub fn already_approved(run: RunId, by: &str) -> String {
    format!("{run} was already approved by {by}; nothing changed.")
}

/// Nothing waits for approval.
#[must_use]
pub fn nothing_to_approve(run: RunId, state: &str) -> String {
    format!("{run} does not wait for an approval: {state}.")
}

/// An approval for a plan that is no longer the one that waits.
#[must_use]
pub fn other_plan(run: RunId) -> String {
    format!("{run}: the plan has changed since you saw it. Look at the new one and decide again.")
}

/// A run that is over.
#[must_use]
pub fn has_ended(run: RunId, outcome: &str, why: &str) -> String {
    format!("{run} has ended ({outcome}): {why}. Nothing changed.")
}

/// An approval of a run that is paused, after its time.
#[must_use]
pub fn asked_when_resumed(run: RunId) -> String {
    not_now(run, "it is paused and the time to approve it is over; `resume` asks for the approval again")
}

/// An order that does not fit the run's state.
#[must_use]
pub fn not_now(run: RunId, why: &str) -> String {
    format!("{run}: {why}. Nothing changed.")
}

/// A role that may not.
#[must_use]
pub fn may_not(name: &str, what: &str, least: &str) -> String {
    format!("{name} may not {what}; that takes the role {least} or higher.")
}

/// Orders that took effect.
#[must_use]
pub fn rejected(run: RunId) -> String {
    format!("{run} is rejected. Nothing it planned will be done.")
}

#[must_use]
/// The run starts no further task.
pub fn paused(run: RunId) -> String {
    format!("{run} is paused: what runs now is finished, nothing more starts.")
}

/// The run goes on.
#[must_use]
pub fn resumed(run: RunId) -> String {
    format!("{run} goes on.")
}

/// The run ends.
#[must_use]
pub fn cancelled(run: RunId) -> String {
    format!(
        "{run} is cancelled: what runs now is finished, nothing more starts, and what says how it is undone is undone."
    )
}

/// Failed tasks start again.
#[must_use]
pub fn retried(run: RunId, tasks: usize) -> String {
    let tasks = if tasks == 1 { "1 failed task".to_owned() } else { format!("{tasks} failed tasks") };
    format!("{run}: {tasks} start again.")
}

/// An answer was taken.
#[must_use]
pub fn answered(run: RunId, task: &str) -> String {
    format!("{run}: your answer for {task} is noted, the run goes on.")
}

/// A task in doubt did not happen, by a person's word.
pub fn answered_not_done(run: RunId, task: &str) -> String {
    format!("{run}: your answer for {task} is noted; it is done again, by the approval that it has.")
}

/// A task in doubt went wrong, by a person's word.
pub fn answered_failed(run: RunId, task: &str) -> String {
    format!(
        "{run}: your answer for {task} is noted; the run goes on as after a failure, and what {task} may have changed is undone where the playbook says how."
    )
}

/// Why a task failed, by a person's word.
pub fn reported(name: &str) -> String {
    format!("{name} says that it failed")
}

/// A cancelled run that has not ended, and what it waits for.
pub fn being_cancelled(by: &Actor, waits: Option<&str>) -> String {
    let waits = waits.map(|waits| format!("; first: {waits}")).unwrap_or_default();
    format!("cancelled by {}{waits}", actor(by))
}

/// A step of one item of a list.
#[must_use]
pub fn item_of(task: &str, item: &str) -> String {
    format!("{task}: {item}")
}

/// A step that undoes one item.
#[must_use]
pub fn undo_item(undo: &str, item: &str) -> String {
    format!("{undo} ({item})")
}

/// A change for each item of a list that only the run knows.
#[must_use]
pub fn for_each_later(task: &str) -> String {
    format!("`{task}` is planned once for each item, when the list is known")
}

/// A list that is too long.
#[must_use]
pub fn too_many_items(items: usize, most: usize) -> String {
    format!("the list has {items} items, at most {most} are allowed; narrow it")
}

/// All items are over.
#[must_use]
pub fn items_done(items: usize, failed: usize, skipped: usize) -> String {
    let mut note = match items {
        0 => "the list is empty, there was nothing to do".to_owned(),
        1 => "1 item".to_owned(),
        _ => format!("{items} items"),
    };
    if failed > 0 {
        note = format!("{failed} of {note} failed");
    }
    if skipped > 0 {
        note = format!("{note}, {skipped} no longer needed");
    }
    note
}

/// A step that undoes a task.
#[must_use]
pub fn undo_of(task: &str) -> String {
    format!("Undo: {task}")
}

/// A task's note once it is undone; what failed keeps why.
#[must_use]
pub fn undone(failed: Option<&str>) -> String {
    failed.map_or_else(|| UNDONE.to_owned(), |why| format!("{why}; {UNDONE}"))
}

/// Why something failed that is undone by now, where what was undone is said beside it.
#[must_use]
pub fn why_failed(note: &str) -> &str {
    note.strip_suffix(UNDONE).and_then(|why| why.strip_suffix("; ")).unwrap_or(note)
}

const UNDONE: &str = "undone";
/// What a run that unwinds does now.
#[must_use]
pub fn unwinds(step: &str) -> String {
    format!("it takes back what it did; now: {step}")
}

/// How a change is undone: by its action.
#[must_use]
pub fn undo_by_inverse(how: Option<&str>) -> String {
    format!("by itself if the run fails or is cancelled: {}", how.unwrap_or("as it was before"))
}

/// The playbook says that the action undoes a change itself, and it can't.
#[must_use]
pub fn undo_missing(kind: &str) -> String {
    format!("not by itself, though the playbook says so: {kind} does not say how this is undone")
}

/// How a change is undone: by a task of its own.
#[must_use]
pub fn undo_by_task(task: &str) -> String {
    format!("by itself if the run fails or is cancelled: {task}")
}

/// An action without an inverse.
#[must_use]
pub fn no_inverse(kind: &str) -> String {
    format!("{kind} does not say how this is undone")
}

/// A change whose approval is not there, or is for something else.
#[must_use]
pub fn not_approved() -> String {
    "there is no approval that covers it".to_owned()
}

/// The run of a Sub_Playbook is not in the store.
#[must_use]
pub fn child_gone() -> String {
    "the journal of the run that is a part of this one is gone".to_owned()
}

/// The second click on what nobody was asked for.
#[must_use]
pub fn already_allowed(run: RunId, policy: &str) -> String {
    format!("{run} goes by the standing policy {policy} and needs no approval; nothing changed.")
}

/// A failed undo is tried again.
#[must_use]
pub fn undo_again(run: RunId, step: &str) -> String {
    format!("{run}: {step} is tried again.")
}

/// A task that was started again too often.
#[must_use]
pub fn retried_enough(times: usize) -> String {
    format!("a task of it was done {times} times and did not succeed; cancel the run, and what was done is undone")
}

/// A try that nobody waited for, and what it was needed for is over.
#[must_use]
pub fn done_unheard(condition: &str) -> String {
    format!("nobody heard its answer, and `{condition}` no longer holds: it counts as done")
}

/// A stuck run can't go on: another one has its lock.
#[must_use]
pub fn reopen_blocked(run: RunId, other: &str) -> String {
    format!("{run} can't go on now: {other} works on the same; try again when it has ended")
}

/// A proposal that can't be taken back by Mayday itself.
#[must_use]
pub fn has_begun(run: RunId) -> String {
    not_now(run, "it has changed something or may have, so that a person must end it")
}

/// Mayday's own code broke off in the middle of a run.
#[must_use]
pub fn broke_off() -> String {
    "a part of Mayday broke off; the log has more".to_owned()
}

/// A change that waited for its turn until the run was paused or stopped.
#[must_use]
pub fn halted() -> String {
    "it was not started: the run was paused or is to end".to_owned()
}

/// A plan that is too large to be kept.
#[must_use]
pub fn plan_too_large(bytes: usize, most: usize) -> String {
    format!("what it would do takes {bytes} bytes to write down, more than {most}; let it do less at once")
}

/// A repetition nobody is asked for any more.
#[must_use]
pub fn not_repeated() -> String {
    "Mayday was interrupted, and the run is to end, so that it is not started again".to_owned()
}

/// What was interrupted too often to be begun once more.
#[must_use]
pub fn repeated_too_often(times: u32) -> String {
    format!("Mayday was interrupted in the middle of it {} times, so that it is not started again by itself", times + 1)
}

/// What was interrupted too often to be begun once more, though it did not happen.
#[must_use]
pub fn not_done_too_often(times: u32) -> String {
    format!("the target says it did not, and {}", repeated_too_often(times))
}

/// It was paused while it took back what it did, until its time was over.
#[must_use]
pub fn held_too_long() -> String {
    "the run was paused until its time was over".to_owned()
}

/// A task in doubt asks a person.
#[must_use]
pub fn in_doubt(task: &str, why: &str) -> String {
    format!(
        "it is not known whether this happened ({why}); answer for {task}: `done`, `not_done` (it is then done again), or `failed` (the run goes on as after a failure)"
    )
}

/// A verification that holds; where it had to hold for some time, it did.
#[must_use]
pub fn holds(condition: &str, hold: Duration, after: Duration) -> String {
    if hold.is_zero() {
        return format!("`{condition}` holds after {}", human(after));
    }
    format!("`{condition}` has held for {}, after {}", human(hold), human(after))
}

/// A verification that does not hold in time, or not for as long as it must.
#[must_use]
pub fn does_not_hold(condition: &str, hold: Duration, within: Duration, last: Option<&str>) -> String {
    let last = last.map(|last| format!("; last: {last}")).unwrap_or_default();
    let hold = if hold.is_zero() { String::new() } else { format!(" for {} without interruption", human(hold)) };
    format!("`{condition}` did not hold{hold} within {}{last}", human(within))
}

/// What was measured last held, and not for long enough.
#[must_use]
pub fn held_only(held: Duration) -> String {
    format!("it has held for {}", human(held))
}

/// A part of a run that was to end before that was proposed.
#[must_use]
pub fn part_not_begun() -> String {
    "the run was to end before it began".to_owned()
}

/// Propose refused: one is open.
#[must_use]
pub fn one_is_open(playbook: &str, run: RunId) -> String {
    format!("{playbook} waits: {run} works on the same (`concurrency_key`); of these one run at a time is open")
}

/// Propose refused: cooldown.
#[must_use]
pub fn cools_down(playbook: &str, last: RunId, until: Timestamp) -> String {
    format!("{playbook} ran as {last} a short while ago; it may run again from {until:.0}")
}

/// Propose refused: quota.
#[must_use]
pub fn quota_used(playbook: &str, runs: u32, per: Duration) -> String {
    format!("{playbook} has run {runs} times within {}, which is all its quota allows", human(per))
}

/// Propose refused: too many open runs.
#[must_use]
pub fn too_many_open(limit: usize) -> String {
    format!("{limit} runs are open, which is the limit; decide or cancel some first (`runs`)")
}

/// A task that waits for a run.
#[must_use]
pub fn waits_for(run: RunId) -> String {
    format!("waits for {run}, which asks for its own approvals")
}

/// Playbooks that run each other in a circle.
#[must_use]
pub fn child_circle(line: &[String]) -> String {
    format!("these playbooks run each other without end: {}; remove one of the Sub_Playbook tasks", line.join(" → "))
}

/// Playbooks that run each other in too long a line.
#[must_use]
pub fn child_too_deep(line: &[String], most: usize) -> String {
    format!("{} is a line of {} playbooks, at most {most} may run each other; join some", line.join(" → "), line.len())
}

/// A task that is another playbook's run.
#[must_use]
pub fn child_later(playbook: &str) -> String {
    format!("runs {playbook}, which plans and asks by itself")
}

/// A change that `plan` did not look at any more.
#[must_use]
pub fn not_planned_now() -> String {
    "planned in the run: working this out took as long as an answer may".to_owned()
}

/// A task that a test lets fail.
#[must_use]
pub fn made_to_fail() -> String {
    "made to fail".to_owned()
}

/// A task type without an executor.
#[must_use]
pub fn no_executor(kind: &str) -> String {
    format!("{kind} is not available here: this installation has nothing that carries it out")
}

/// An action of another version than the one an intent was written for.
#[must_use]
pub fn other_version(kind: &str, then: u32, now: u32) -> String {
    format!("it was started by version {then} of {kind}, this Mayday has version {now}")
}

/// An action that a run was started with and that is not here, or only in a version that can't go on with it.
#[must_use]
pub fn action_missing(kind: &str, version: u32, here: Option<u32>) -> String {
    match here {
        Some(here) => format!("it was started with version {version} of {kind}, and this Mayday has version {here}"),
        None => format!("it was started with version {version} of {kind}, and this Mayday has none"),
    }
}

/// A playbook that this Mayday can't read, though its text is as it was at the run's start.
#[must_use]
pub fn playbook_unknown(mistake: &str) -> String {
    format!("this Mayday can't read the run's playbook ({mistake})")
}

/// What is left to a run that waits for what is missing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It goes forward, or has changed nothing: a person may end it.
    MayBeCancelled,
    /// What it did can't be taken back without what is missing.
    Changed,
    /// It is taking back what it did, until its time is over.
    Unwinding,
    /// Its time is over.
    TooLate,
}

/// A run that waits for what is missing.
#[must_use]
pub fn held(missing: &[String], left: Held) -> String {
    let tail = match left {
        Held::MayBeCancelled => "start a Mayday that knows it, and the run goes on by itself, or cancel the run",
        Held::Changed => "start a Mayday that knows it, and the run goes on by itself",
        Held::Unwinding => {
            "start a Mayday that knows it, and it is taken back; when the run's time is over before that, it is stuck"
        }
        Held::TooLate => "no Mayday that knows it was there before the run's time was over",
    };
    format!("{}; {tail}", missing.join("; "))
}

/// An order that only a Mayday that can read the run's playbook can carry out.
#[must_use]
pub fn not_while_held(run: RunId, why: &str) -> String {
    format!("{run} can't do that now: {why}. Nothing changed.")
}

/// A cancelled run whose changes only another Mayday can take back.
#[must_use]
pub fn changed_while_held() -> String {
    "it has changed something, and only a Mayday that can read its playbook knows how that is undone; start one, then cancel"
        .to_owned()
}

/// A trigger whose `when` had no value to look at.
#[must_use]
pub fn when_without_value(playbook: &str, when: &str) -> String {
    format!("{playbook} does not match: the alert has no value for `{when}`")
}

/// A trigger whose `when` could not be evaluated.
#[must_use]
pub fn when_failed(playbook: &str, why: &str) -> String {
    format!("{playbook} does not match: {why}")
}

/// An order that the replica which drives the run has not answered yet.
pub fn order_waits(run: crate::core::RunId) -> String {
    format!(
        "The order for {run} is written down. The replica that drives it has not answered yet; look at {run} in a few seconds"
    )
}

/// A condition as people read it: `health.http_status == 200` → `health http status is 200`. What stands in quotes stays.
#[must_use]
pub fn condition_words(source: &str) -> String {
    const SIGNS: [(&str, &str); 8] = [
        ("==", " is "),
        ("!=", " is not "),
        ("<=", " at most "),
        (">=", " at least "),
        ("&&", " and "),
        ("||", " or "),
        ("<", " below "),
        (">", " above "),
    ];
    let mut words = String::new();
    let (mut rest, mut quote) = (source, None);
    while let Some(next) = rest.chars().next() {
        if quote.is_none()
            && let Some((sign, word)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign))
        {
            words.push_str(word);
            rest = &rest[sign.len()..];
            continue;
        }
        rest = &rest[next.len_utf8()..];
        let number = || words.ends_with(|c: char| c.is_ascii_digit()) && rest.starts_with(|c: char| c.is_ascii_digit());
        match (next, quote) {
            ('"' | '\'', None) => quote = Some(next),
            (_, Some(end)) if next == end => quote = None,
            ('_', None) => words.push(' '),
            ('.', None) if !number() => words.push(' '),
            ('!', None) => words.push_str("not "),
            _ => words.push(next),
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What must hold afterwards in words, and for how long.
#[must_use]
pub fn verified_words(condition: &str, hold: Duration) -> String {
    let words = condition_words(condition);
    if hold.is_zero() { words } else { format!("{words} for {}", human(hold)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_read_in_words() {
        for (written, read) in [
            ("health.http_status == 200", "health http status is 200"),
            ("disk.value < 80.5 && up.value>=1", "disk value below 80.5 and up value at least 1"),
            ("state.phase != \"in_use < 3\" || !is_open", "state phase is not in_use < 3 or not is open"),
        ] {
            assert_eq!(condition_words(written), read);
        }
    }
}

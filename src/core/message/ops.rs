//! What Mayday says about itself.

use std::time::Duration;

use crate::core::duration::human;

/// The store answers.
#[must_use]
pub fn store_answers(took: Duration) -> String {
    format!("answers in {}", human(took))
}

/// The store is slow.
#[must_use]
pub fn store_slow(took: Duration) -> String {
    format!("answers only after {}; look at the disk", human(took))
}

/// The store does not answer.
#[must_use]
pub fn store_down(why: &str) -> String {
    format!("does not answer: {why}; alerts are refused until it does, and their senders try again")
}

/// The store takes nothing any more.
#[must_use]
pub fn store_failed(why: &str) -> String {
    format!("takes no more commits: {why}; look at the disk (is it full?) and start Mayday again")
}

/// No answer in time.
#[must_use]
pub fn no_answer(after: Duration) -> String {
    format!("no answer within {}", human(after))
}

/// A queue is empty or up to date.
#[must_use]
pub fn queues_fine(queues: usize) -> String {
    format!("{queues} queues up to date")
}

/// Queues are late.
#[must_use]
pub fn queues_late(late: &[(String, Duration)]) -> String {
    let late: Vec<String> = late.iter().map(|(name, age)| format!("{name} is {} behind", human(*age))).collect();
    late.join(", ")
}

/// Playbooks are loaded.
#[must_use]
pub fn playbooks(loaded: usize, refused: usize) -> String {
    match refused {
        0 => format!("{loaded} loaded"),
        refused => format!("{loaded} loaded, {refused} refused; `mayday playbook check` says why"),
    }
}

/// Posts reach their chats.
#[must_use]
pub fn delivery_fine() -> String {
    "every post reached its chat".to_owned()
}

/// Some posts were given up.
#[must_use]
pub fn delivery_lost(lost: usize, within: Duration, why: &str) -> String {
    format!("{lost} posts given up in the last {}; the newest: {why}", human(within))
}

/// What is watched.
#[must_use]
pub fn watch(targets: usize, failing: &[String]) -> String {
    if failing.is_empty() {
        format!("{targets} targets answer")
    } else {
        format!("{} of {targets} targets do not answer: {}", failing.len(), failing.join(", "))
    }
}

/// Nothing is watched.
#[must_use]
pub fn watch_nothing() -> String {
    "nothing is watched; alerts come from webhooks only".to_owned()
}

/// How long Mayday has been up, and what it uses.
#[must_use]
pub fn process(uptime: Duration, rss_bytes: u64) -> String {
    format!("up {}, {} MB", human(uptime), rss_bytes / 1_000_000)
}

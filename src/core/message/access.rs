//! What the access room says: refusals of approvals and of signing in.

use crate::core::Timestamp;

/// Someone whose role is too low pressed Approve.
#[must_use]
pub fn role_may_not_approve(name: &str, role: &str, least: &str) -> String {
    format!("{name} is a {role} and may not approve this; ask someone with the role {least}.")
}

/// Someone who is not among the named approvers pressed Approve.
#[must_use]
pub fn not_an_approver(name: &str, approvers: &[String]) -> String {
    format!("{name} is not among those who may approve this: {}.", approvers.join(", "))
}

/// The proposer pressed Approve.
#[must_use]
pub fn own_proposal(name: &str) -> String {
    format!("{name} proposed this; someone else must approve it.")
}

/// The request is void.
#[must_use]
pub fn expired(since: &Timestamp) -> String {
    format!("This request expired at {} UTC; propose it again.", since.strftime("%H:%M:%S"))
}

/// The plan moved between seeing and pressing.
#[must_use]
pub fn other_plan() -> String {
    "The plan changed since you saw it; look at the new one and decide again.".to_owned()
}

/// The second click.
#[must_use]
pub fn already_approved(name: &str) -> String {
    format!("{name} has already approved this; nothing changed.")
}

/// Votes are missing.
#[must_use]
pub fn approvals_missing(count: usize) -> String {
    if count == 1 {
        "One more approval is needed.".to_owned()
    } else {
        format!("{count} more approvals are needed, from different people.")
    }
}

/// Someone who is no admin tried to go ahead alone.
#[must_use]
pub fn may_not_break_glass(name: &str) -> String {
    format!("{name} may not go ahead without approval; ask an admin.")
}

/// Going ahead alone needs a reason.
#[must_use]
pub fn break_glass_needs_reason() -> String {
    "Going ahead without approval needs a reason; it is kept in the audit.".to_owned()
}

/// Wrong name or password; the same sentence for both.
#[must_use]
pub fn wrong_password() -> String {
    "That name and password do not match.".to_owned()
}

/// Too many wrong passwords.
#[must_use]
pub fn too_many_tries(wait_minutes: u64) -> String {
    format!("Too many wrong passwords. Try again in {wait_minutes} min.")
}

/// Many sign in at once.
#[must_use]
pub fn sign_in_busy() -> String {
    "Many people sign in right now. Try again in a few seconds.".to_owned()
}

/// A one-time link that was used, is too old, or never was one.
#[must_use]
pub fn link_void() -> String {
    "This sign-in link was used already or is too old. Ask for a new one where Mayday was started.".to_owned()
}

/// The person behind a session is no longer configured.
#[must_use]
pub fn person_gone() -> String {
    "You are no longer among the configured users. Ask an admin.".to_owned()
}

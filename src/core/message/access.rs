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

/// A standing policy does not go so far.
#[must_use]
pub fn policy_risk(policy: &str, risk: &str, most: &str) -> String {
    format!("the standing policy {policy} covers changes up to {most}, and this one is {risk}")
}

/// A standing policy is for other playbooks.
#[must_use]
pub fn policy_playbook(policy: &str, playbook: &str) -> String {
    format!("the standing policy {policy} does not name the playbook {playbook}")
}

/// A standing policy is for other services.
#[must_use]
pub fn policy_service(policy: &str, service: Option<&str>) -> String {
    match service {
        Some(service) => format!("the standing policy {policy} does not name the service {service}"),
        None => format!("the standing policy {policy} names services, and this change is of none"),
    }
}

/// A standing policy is asked about nothing.
#[must_use]
pub fn policy_covers_no_change(policy: &str) -> String {
    format!("there is no change that the standing policy {policy} could cover")
}

/// A standing policy has allowed all that it allows for now.
#[must_use]
pub fn policy_used(policy: &str, per_day: u32) -> String {
    format!("the standing policy {policy} allows {per_day} changes in 24 hours, and too few are left")
}

/// A standing policy that a run went by is no longer configured.
#[must_use]
pub fn policy_gone(policy: &str) -> String {
    format!("the standing policy {policy} is not there any more")
}

/// A standing policy's name.
#[must_use]
pub fn policy_id() -> String {
    "is not a name for the audit; use letters, digits, `.`, `_`, `-`".to_owned()
}

/// A standing policy's greatest risk.
#[must_use]
pub fn policy_max_risk() -> String {
    "can be reversible or disruptive: what only reads needs no policy, and what can't be taken back is always for people"
        .to_owned()
}

/// A standing policy with an empty list.
#[must_use]
pub fn policy_covers_nothing(what: &str) -> String {
    let any = if what == "services" { ", or [any]" } else { "" };
    format!("is empty, so that the policy covers nothing; name the {what}{any}")
}

/// A standing policy's number of changes.
#[must_use]
pub fn policy_per_day(most: u32) -> String {
    format!("must be from 1 to {most}; remove the policy to allow none")
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

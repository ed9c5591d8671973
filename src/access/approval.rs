//! Approvals: who must say yes to exactly which plan, and the value that proves they did.
//!
//! A [`Vote`] is bound to the hash of the plan its person saw. [`Approved::from_votes`] is the only way from votes to an
//! [`Approved`] plan, and checks all of them again, so that a stored vote that was tampered with gives no right.
//! Whether it expired is asked of each vote, not of the moment the change starts: after a crash a run goes on with a
//! decision that was made in time.

use serde::{Deserialize, Serialize};

use super::permission::{Permission, Risk};
use super::right::{Asked, Right, StandingPolicy};
use super::{Person, PersonId, Role};
use crate::core::Timestamp;
use crate::core::duration::Span;
use crate::core::message::access as say;

/// Whose approval a change needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The worst risk among the changes.
    pub risk: Risk,
    /// How many different people must approve.
    pub count: u32,
    /// Ids, names or teams that may approve; empty: anyone whose role may.
    pub approvers: Vec<String>,
    /// Whether the one who proposed it may approve it too.
    pub allow_self: bool,
    /// A request is void this long after it was made.
    pub expires_after: Span,
}

impl Policy {
    /// The default of the design: read tasks none, reversible and disruptive one person, destructive two.
    #[must_use]
    pub fn default_for(risk: Risk) -> Self {
        let count = match risk {
            Risk::Read => 0,
            Risk::Reversible | Risk::Disruptive => 1,
            Risk::Destructive => 2,
        };
        Self { risk, count, approvers: Vec::new(), allow_self: false, expires_after: Span::from_secs(30 * 60) }
    }

    /// The same for a plan that a language model wrote: at least one person, whatever the risk.
    #[must_use]
    pub fn written_by_llm(mut self) -> Self {
        self.count = self.count.max(1);
        self
    }
}

/// A request for approval of one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Digest of what would be approved.
    pub plan_hash: String,
    /// Who proposed it; none when Mayday did by itself.
    pub proposer: Option<PersonId>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Void from then on.
    pub expires: Timestamp,
    /// Whose approval it needs.
    pub policy: Policy,
}

/// One person's yes to one plan, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who.
    pub by: PersonId,
    /// Their name then.
    pub name: String,
    /// Their role then.
    pub role: Role,
    /// Their teams then.
    pub teams: Vec<String>,
    /// The plan they saw.
    pub plan_hash: String,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// Why a vote does not count. Shown to the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Their role may not.
    #[error("{}", say::role_may_not_approve(.name, &.role.to_string(), &.least.to_string()))]
    Role {
        /// Who.
        name: String,
        /// What they are.
        role: Role,
        /// What they'd have to be.
        least: Role,
    },
    /// They are not among the approvers.
    #[error("{}", say::not_an_approver(.name, .approvers))]
    NotAnApprover {
        /// Who.
        name: String,
        /// Who may.
        approvers: Vec<String>,
    },
    /// They proposed it.
    #[error("{}", say::own_proposal(.name))]
    OwnProposal {
        /// Who.
        name: String,
    },
    /// The request is void.
    #[error("{}", say::expired(.expires))]
    Expired {
        /// Since when.
        expires: Timestamp,
    },
    /// They saw another plan.
    #[error("{}", say::other_plan())]
    OtherPlan,
    /// They have approved already.
    #[error("{}", say::already_approved(.name))]
    Already {
        /// Who.
        name: String,
    },
}

impl Request {
    /// A request made now.
    #[must_use]
    pub fn new(plan_hash: String, proposer: Option<PersonId>, policy: Policy, now: Timestamp) -> Self {
        // A Span is at most a century, far from the end of a Timestamp's range; if it is not, the request is void at once.
        let expires = now.checked_add(policy.expires_after.0).unwrap_or(now);
        Self { plan_hash, proposer, asked_at: now, expires, policy }
    }

    /// A person's vote for the plan they saw (none: the one that waits now), beside the votes there are.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn vote(
        &self,
        person: &Person,
        saw: Option<&str>,
        earlier: &[Vote],
        now: Timestamp,
        reason: Option<String>,
    ) -> Result<Vote, Refusal> {
        let vote = Vote {
            by: person.id.clone(),
            name: person.name.clone(),
            role: person.role,
            teams: person.teams.clone(),
            plan_hash: saw.unwrap_or(&self.plan_hash).to_owned(),
            at: now,
            reason,
        };
        self.check(&vote)?;
        if earlier.iter().any(|other| other.by == vote.by && self.check(other).is_ok()) {
            return Err(Refusal::Already { name: vote.name });
        }
        Ok(vote)
    }

    /// Whether this person could vote now, for buttons and help: the same checks without a plan they saw.
    ///
    /// # Errors
    /// Why not.
    pub fn may_vote(&self, person: &Person, earlier: &[Vote], now: Timestamp) -> Result<(), Refusal> {
        self.vote(person, None, earlier, now, None).map(|_| ())
    }

    /// How it stands with these votes.
    #[must_use]
    pub fn standing(&self, votes: &[Vote]) -> Standing {
        let counted = self.counted(votes).len();
        let missing = (self.policy.count as usize).saturating_sub(counted);
        if missing == 0 { Standing::Complete } else { Standing::Missing(missing) }
    }

    /// The votes that count, one for each person, oldest first.
    fn counted<'v>(&self, votes: &'v [Vote]) -> Vec<&'v Vote> {
        let mut counted: Vec<&Vote> = Vec::new();
        for vote in votes {
            if self.check(vote).is_ok() && counted.iter().all(|other| other.by != vote.by) {
                counted.push(vote);
            }
        }
        counted
    }

    fn check(&self, vote: &Vote) -> Result<(), Refusal> {
        let needed = Permission::Approve(self.policy.risk);
        let name = || vote.name.clone();
        if !vote.role.may(needed) {
            return Err(Refusal::Role { name: name(), role: vote.role, least: needed.least_role() });
        }
        if !self.policy.approvers.is_empty()
            && !self.policy.approvers.iter().any(|wanted| names(wanted, &vote.by, &vote.teams))
        {
            return Err(Refusal::NotAnApprover { name: name(), approvers: self.policy.approvers.clone() });
        }
        if !self.policy.allow_self && self.proposer.as_ref() == Some(&vote.by) {
            return Err(Refusal::OwnProposal { name: name() });
        }
        if vote.at >= self.expires {
            return Err(Refusal::Expired { expires: self.expires });
        }
        if vote.plan_hash != self.plan_hash {
            return Err(Refusal::OtherPlan);
        }
        Ok(())
    }
}

/// Whether an entry of `approvers` means this voter: `ana`, `web:ana`, `@ana`, or a team of theirs. Not the display name,
/// which people may choose themselves.
fn names(wanted: &str, by: &PersonId, teams: &[String]) -> bool {
    let wanted = wanted.trim().trim_start_matches('@');
    let id = by.0.as_str();
    id.eq_ignore_ascii_case(wanted)
        || id.split_once(':').is_some_and(|(_, bare)| bare.eq_ignore_ascii_case(wanted))
        || teams.iter().any(|team| team.eq_ignore_ascii_case(wanted))
}

/// Whether an entry of `approvers` means this person.
#[must_use]
pub fn means(wanted: &str, person: &Person) -> bool {
    names(wanted, &person.id, &person.teams)
}

/// How a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// So many approvals are still missing.
    Missing(usize),
    /// All are there.
    Complete,
}

/// What can be approved: it tells the digest that approvals are bound to.
pub trait Hashed {
    /// Digest of everything that an approval covers.
    fn plan_hash(&self) -> String;
}

/// A plan with the right to carry it out. Only this room makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Approved<P> {
    plan: P,
    right: Right,
}

impl<P: Hashed> Approved<P> {
    /// The plan with the right that these votes give, if they are enough for exactly this plan.
    ///
    /// # Errors
    /// [`Unapproved`]: the plan is another one, or votes are missing.
    pub fn from_votes(plan: P, request: &Request, votes: &[Vote]) -> Result<Self, Unapproved> {
        let hash = plan.plan_hash();
        if hash != request.plan_hash {
            return Err(Unapproved::OtherPlan);
        }
        if let Standing::Missing(count) = request.standing(votes) {
            return Err(Unapproved::Missing(count));
        }
        let votes = request.counted(votes).into_iter().cloned().collect();
        Ok(Self { plan, right: Right::Persons { plan_hash: hash, votes } })
    }

    /// The plan with the right of a standing policy, if it covers the change and how that is undone.
    ///
    /// # Errors
    /// Which limit does not hold.
    pub fn from_policy(plan: P, policy: &StandingPolicy, asked: &[Asked<'_>]) -> Result<Self, Unapproved> {
        let mut right = None;
        for asked in asked {
            right = Some(policy.covers(asked).map_err(Unapproved::NotCovered)?);
        }
        let right = right.ok_or_else(|| Unapproved::NotCovered(say::policy_covers_no_change(&policy.id)))?;
        Ok(Self { plan, right })
    }

    /// The plan on one person's own responsibility.
    ///
    /// # Errors
    /// The person's role may not, or they gave no reason.
    pub fn break_glass(plan: P, person: &Person, reason: &str) -> Result<Self, Unapproved> {
        if !person.role.may(Permission::BreakGlass) {
            return Err(Unapproved::NotCovered(say::may_not_break_glass(&person.name)));
        }
        if reason.trim().is_empty() {
            return Err(Unapproved::NotCovered(say::break_glass_needs_reason()));
        }
        Ok(Self { plan, right: Right::BreakGlass { by: person.id.clone(), reason: reason.trim().to_owned() } })
    }
}

impl<P> Approved<P> {
    /// The plan.
    pub const fn plan(&self) -> &P {
        &self.plan
    }

    /// Why it may be carried out.
    pub const fn right(&self) -> &Right {
        &self.right
    }

    /// Both.
    pub fn into_parts(self) -> (P, Right) {
        (self.plan, self.right)
    }
}

/// Why a plan is not approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unapproved {
    /// The votes are for another plan.
    #[error("{}", say::other_plan())]
    OtherPlan,
    /// So many approvals are missing.
    #[error("{}", say::approvals_missing(*.0))]
    Missing(usize),
    /// Nothing else gives the right.
    #[error("{0}")]
    NotCovered(String),
}

#[cfg(test)]
#[path = "approval_tests.rs"]
mod tests;

//! Why a change may happen. Every change names its right, and the audit chain keeps it.

use serde::{Deserialize, Serialize};

use super::permission::Risk;
use super::{PersonId, Vote};
use crate::core::message::access as say;

/// Why a change may happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "right")]
pub enum Right {
    /// People approved exactly this plan.
    Persons {
        /// Digest of the plan they saw.
        plan_hash: String,
        /// Who, when.
        votes: Vec<Vote>,
    },
    /// People allowed this class of change in advance.
    StandingPolicy {
        /// Which policy.
        id: String,
        /// Its limits as they were then.
        limits: Limits,
    },
    /// Someone took the responsibility alone.
    BreakGlass {
        /// Who.
        by: PersonId,
        /// Why.
        reason: String,
    },
}

/// How far a standing policy goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Nothing worse than this: `reversible` or `disruptive`. What can't be taken back is always for people.
    pub max_risk: Risk,
    /// Only these playbooks, by their ids.
    pub playbooks: Vec<String>,
    /// Only changes of these services, as the catalogue calls them; `any` covers all, and changes that are of no service.
    pub services: Vec<String>,
    /// At most so many changes in any 24 hours, over all runs and replicas.
    pub per_day: u32,
}

/// Covers every service in a policy, as in a trigger.
pub const ANY: &str = "any";

/// No policy allows more in 24 hours: each one is kept until it no longer counts.
pub const MOST_PER_DAY: u32 = 1_000;

/// A class of change that people allowed in advance; off unless a team writes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StandingPolicy {
    /// Its name, for the audit.
    pub id: String,
    /// How far it goes.
    pub limits: Limits,
}

/// A change that asks whether a standing policy covers it.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Its risk, and that of undoing it, whichever is greater.
    pub risk: Risk,
    /// The playbook it belongs to.
    pub playbook: &'a str,
    /// The service it changes, as the catalogue calls it; none if it names none.
    pub service: Option<&'a str>,
}

impl StandingPolicy {
    /// The right this policy gives to a change, or why it gives none. How often it has been used is another question
    /// ([`Self::left`]), which is asked once: when it allows the change.
    ///
    /// # Errors
    /// The limit that does not hold, as a sentence.
    pub fn covers(&self, asked: &Asked<'_>) -> Result<Right, String> {
        let limits = &self.limits;
        if asked.risk >= Risk::Destructive || asked.risk > limits.max_risk {
            return Err(say::policy_risk(&self.id, asked.risk.word(), limits.max_risk.word()));
        }
        if !limits.playbooks.iter().any(|name| name == asked.playbook) {
            return Err(say::policy_playbook(&self.id, asked.playbook));
        }
        let of_service = |name: &String| name == ANY || asked.service == Some(name);
        if !limits.services.iter().any(of_service) {
            return Err(say::policy_service(&self.id, asked.service));
        }
        Ok(Right::StandingPolicy { id: self.id.clone(), limits: limits.clone() })
    }

    /// How many more changes it allows where it has allowed `used` in the last 24 hours.
    #[must_use]
    pub const fn left(&self, used: u32) -> u32 {
        self.limits.per_day.saturating_sub(used)
    }

    /// What is wrong with it by itself: which key, and what to do.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let limits = &self.limits;
        let mut wrong = Vec::new();
        if self.id.is_empty() || !self.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            wrong.push(("id", say::policy_id()));
        }
        if !matches!(limits.max_risk, Risk::Reversible | Risk::Disruptive) {
            wrong.push(("max_risk", say::policy_max_risk()));
        }
        if limits.playbooks.is_empty() {
            wrong.push(("playbooks", say::policy_covers_nothing("playbooks")));
        }
        if limits.services.is_empty() {
            wrong.push(("services", say::policy_covers_nothing("services")));
        }
        if !(1..=MOST_PER_DAY).contains(&limits.per_day) {
            wrong.push(("per_day", say::policy_per_day(MOST_PER_DAY)));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> StandingPolicy {
        StandingPolicy {
            id: "restart-shop".to_owned(),
            limits: Limits {
                max_risk: Risk::Disruptive,
                playbooks: vec!["PB-Restart".to_owned()],
                services: vec!["order-service".to_owned()],
                per_day: 2,
            },
        }
    }

    fn asked() -> Asked<'static> {
        Asked { risk: Risk::Disruptive, playbook: "PB-Restart", service: Some("order-service") }
    }

    #[test]
    fn a_policy_covers_only_what_is_within_every_limit() {
        assert!(policy().covers(&asked()).is_ok());
        for outside in [
            Asked { risk: Risk::Destructive, ..asked() },
            Asked { playbook: "PB-Other", ..asked() },
            Asked { service: Some("other"), ..asked() },
            Asked { service: None, ..asked() },
        ] {
            assert!(policy().covers(&outside).unwrap_err().contains("restart-shop"));
        }
        assert_eq!((policy().left(0), policy().left(1), policy().left(2), policy().left(3)), (2, 1, 0, 0));
    }

    #[test]
    fn any_covers_every_service_and_changes_of_none() {
        let mut policy = policy();
        policy.limits.services = vec![ANY.to_owned()];
        for service in [Some("other"), None] {
            assert!(policy.covers(&Asked { service, ..asked() }).is_ok());
        }
    }

    #[test]
    fn what_can_not_be_taken_back_is_for_people_whatever_a_policy_says() {
        let mut policy = policy();
        policy.limits.max_risk = Risk::Destructive;
        assert!(policy.covers(&Asked { risk: Risk::Destructive, ..asked() }).is_err());
        assert_eq!(policy.problems()[0].0, "max_risk");
    }

    #[test]
    fn a_policy_that_covers_nothing_or_too_much_is_a_mistake() {
        assert_eq!(policy().problems(), []);
        let limits = Limits { max_risk: Risk::Read, playbooks: vec![], services: vec![], per_day: 0 };
        let keys: Vec<&str> =
            StandingPolicy { id: "a b".to_owned(), limits }.problems().iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["id", "max_risk", "playbooks", "services", "per_day"]);
    }
}

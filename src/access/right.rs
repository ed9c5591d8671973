//! Why a change may happen. Every change names its right, and the audit chain keeps it.

use serde::{Deserialize, Serialize};

use super::permission::Risk;
use super::{PersonId, Vote};

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
    /// Nothing worse than this.
    pub max_risk: Risk,
    /// Only these playbooks.
    pub playbooks: Vec<String>,
    /// Only these services.
    pub services: Vec<String>,
    /// At most so many changes in 24 hours.
    pub per_day: u32,
}

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
    /// Its risk.
    pub risk: Risk,
    /// The playbook it belongs to.
    pub playbook: &'a str,
    /// The service it changes; none if it names none.
    pub service: Option<&'a str>,
    /// Whether an LLM wrote the plan.
    pub written_by_llm: bool,
    /// How many changes this policy has allowed in the last 24 hours.
    pub used_today: u32,
}

impl StandingPolicy {
    /// The right this policy gives to a change, or why it gives none.
    ///
    /// # Errors
    /// The limit that does not hold, as a sentence.
    pub fn covers(&self, asked: &Asked<'_>) -> Result<Right, String> {
        let limits = &self.limits;
        let refuse = |why: String| Err(format!("the standing policy {} does not cover this: {why}", self.id));
        if asked.written_by_llm {
            return refuse("the plan was written by a language model, which always needs a person".to_owned());
        }
        if asked.risk > limits.max_risk {
            return refuse(
                format!("its risk is {:?}, allowed is up to {:?}", asked.risk, limits.max_risk).to_lowercase(),
            );
        }
        if !limits.playbooks.iter().any(|name| name == asked.playbook) {
            return refuse(format!("{} is not among its playbooks", asked.playbook));
        }
        if !asked.service.is_some_and(|service| limits.services.iter().any(|name| name == service)) {
            return refuse(format!("{} is not among its services", asked.service.unwrap_or("no service")));
        }
        if asked.used_today >= limits.per_day {
            return refuse(format!("it allows {} changes in 24 hours and all are used", limits.per_day));
        }
        Ok(Right::StandingPolicy { id: self.id.clone(), limits: limits.clone() })
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
        Asked {
            risk: Risk::Disruptive,
            playbook: "PB-Restart",
            service: Some("order-service"),
            written_by_llm: false,
            used_today: 0,
        }
    }

    #[test]
    fn a_policy_covers_only_what_is_within_every_limit() {
        assert!(policy().covers(&asked()).is_ok());
        for outside in [
            Asked { risk: Risk::Destructive, ..asked() },
            Asked { playbook: "PB-Other", ..asked() },
            Asked { service: Some("other"), ..asked() },
            Asked { service: None, ..asked() },
            Asked { written_by_llm: true, ..asked() },
            Asked { used_today: 2, ..asked() },
        ] {
            assert!(policy().covers(&outside).unwrap_err().contains("restart-shop"));
        }
    }
}

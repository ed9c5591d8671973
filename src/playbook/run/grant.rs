//! What gave a run the right to its changes.

use serde::{Deserialize, Serialize};

use super::plan::Frontier;
use crate::access::{Request, StandingPolicy, Vote};

/// A complete approval: what gave it is kept, so that the right can be worked out again right before the effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredGrant")]
pub struct Grant {
    /// What was asked.
    pub request: Request,
    /// The tasks it covers.
    pub tasks: Vec<String>,
    /// Exactly what it covers.
    pub frontier: Frontier,
    /// Who approved.
    pub votes: Vec<Vote>,
    /// What makes it one.
    pub given: Given,
}

/// What an approval is: the three kinds of right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// The votes.
    ByVotes,
    /// One admin's vote, past whom the policy asks for.
    ByBrokenGlass,
    /// A standing policy, as it was then; there are no votes.
    ByPolicy(StandingPolicy),
}

/// A [`Grant`] as it is stored; before there were standing policies, `broken` said what it is.
#[derive(Deserialize)]
struct StoredGrant {
    request: Request,
    tasks: Vec<String>,
    frontier: Frontier,
    votes: Vec<Vote>,
    #[serde(default)]
    broken: bool,
    #[serde(default)]
    given: Option<Given>,
}

impl From<StoredGrant> for Grant {
    fn from(stored: StoredGrant) -> Self {
        let before = if stored.broken { Given::ByBrokenGlass } else { Given::ByVotes };
        Self {
            request: stored.request,
            tasks: stored.tasks,
            frontier: stored.frontier,
            votes: stored.votes,
            given: stored.given.unwrap_or(before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_before_there_were_standing_policies_is_read_as_it_was_meant() {
        let stored = |more: &str| {
            let request = r#"{"plan_hash":"h","proposer":null,"asked_at":"2026-01-01T00:00:00Z",
                "expires":"2026-01-01T00:30:00Z",
                "policy":{"risk":"disruptive","count":1,"approvers":[],"allow_self":false,"expires_after":"30m"}}"#;
            let frontier = r#"{"digest":"d","parameters":"{}","tasks":[]}"#;
            let text = format!(r#"{{"request":{request},"tasks":["t"],"frontier":{frontier},"votes":[]{more}}}"#);
            serde_json::from_str::<Grant>(&text).unwrap()
        };
        assert_eq!(stored("").given, Given::ByVotes);
        assert_eq!(stored(r#","broken":true"#).given, Given::ByBrokenGlass);
        let now = stored(r#","given":"by_votes""#);
        assert_eq!(serde_json::from_value::<Grant>(serde_json::to_value(&now).unwrap()).unwrap(), now);
    }
}

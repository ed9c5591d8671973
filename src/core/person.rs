//! Who someone is, as every room says it: chats carry a person in, incidents and runs keep who did what.
//!
//! What a person *may* do is decided in `access/`; these are only the words.

use serde::{Deserialize, Serialize};

/// What a person may do; each role may all that those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Acknowledges, comments, silences, proposes runs.
    Responder,
    /// Approves and rejects changes.
    Approver,
    /// Configures, and may act as another (audited).
    Admin,
}

/// Someone known to Mayday. The id is unique over all chats (`web:ana`, later `slack:U123`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Unique id, `web:ana`.
    pub id: PersonId,
    /// What people call them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Teams they belong to.
    #[serde(default)]
    pub teams: Vec<String>,
}

/// A person's unique id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonId(pub String);

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Actor {
    /// A person.
    Person(PersonId),
    /// Mayday itself: which part of it.
    Mayday(String),
    /// An admin who acted as someone else.
    Impersonated {
        /// The one who acted.
        admin: PersonId,
        /// The one it was done as.
        person: PersonId,
    },
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Approver => "approver",
            Self::Admin => "admin",
        })
    }
}

impl std::fmt::Display for PersonId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Actor {
    /// The person whose wish it is: nobody, when Mayday acts by itself.
    #[must_use]
    pub fn person(&self) -> Option<&PersonId> {
        match self {
            Self::Person(person) | Self::Impersonated { person, .. } => Some(person),
            Self::Mayday(_) => None,
        }
    }
}

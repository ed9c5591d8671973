//! Persons, roles, rights, approvals, sessions, and the audit chain.
//!
//! Architecture Invariant: an [`Approved`] value is made here and nowhere else, and only from votes that fit its policy.
//! Architecture Invariant: no secret is kept: passwords as argon2id hashes, tokens and sessions as digests.

pub mod approval;
pub mod audit;
pub mod passwords;
pub mod permission;
pub mod persons;
pub mod random;
pub mod right;
pub mod sessions;
pub mod throttle;
pub mod token_file;

pub use crate::core::person::{Actor, Person, PersonId, Role};
use serde::{Deserialize, Serialize};

pub use approval::{Approved, Hashed, Policy, Refusal, Request, Standing, Vote};
pub use audit::{Audit, AuditRecord, Cursor, Entry, Report};
pub use permission::{Permission, Risk};
pub use persons::Persons;
pub use right::{Asked, Right, StandingPolicy};
pub use sessions::{Session, Sessions};

use crate::core::duration::Span;

/// `access:` of the configuration: who may sign in, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// People who sign in with a password. Without any, the one-time link printed at start is the only way in.
    pub users: Vec<persons::User>,
    /// A session ends when nothing was asked for this long.
    pub session_idle: Span,
    /// A session ends this long after signing in, whatever happens.
    pub session_absolute: Span,
    /// A one-time sign-in link is void after this long.
    pub link_valid: Span,
    /// Classes of change that people allow in advance. None unless the team writes one.
    pub standing: Vec<StandingPolicy>,
    /// How the ends of the audit chains are signed.
    pub checkpoints: audit::checkpoint::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            session_idle: Span::from_secs(12 * 3600),
            session_absolute: Span::from_secs(7 * 86_400),
            link_valid: Span::from_secs(15 * 60),
            standing: Vec::new(),
            checkpoints: audit::checkpoint::Options::default(),
        }
    }
}

/// What can go wrong in this room.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// No randomness: nothing that must be secret can be made.
    #[error("the system gives no random numbers; nobody can sign in until it does")]
    NoRandomness,
    /// A configured user can't be used.
    #[error("access.users: {0}")]
    BadUser(String),
    /// The token file can't be written or trusted.
    #[error("the token file {path}: {why}")]
    TokenFile {
        /// Which file.
        path: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The key that signs the audit's checkpoints can't be written or trusted.
    #[error("the key file {path}: {why}")]
    KeyFile {
        /// Which file.
        path: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Signing in was refused; a sentence for the person.
    #[error("{0}")]
    SignIn(String),
}

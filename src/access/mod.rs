//! Persons, roles, rights, approvals, and the audit chain.
//!
//! Architecture Invariant: an `Approved` value and a `Right` for a change are made here and nowhere else.

pub use crate::core::person::{Actor, Person, PersonId, Role};

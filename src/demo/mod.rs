//! The demo: a small shop of real processes, watched and healed as in production, with faults that are real.
//!
//! Architecture Invariant: the demo has no way into the other rooms but a configuration and the doors any user has.

pub mod fault;
pub mod panel;
pub mod plan;
pub mod shop;
pub mod town;

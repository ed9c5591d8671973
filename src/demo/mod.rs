//! The demo: a small shop of real processes, watched and healed as in production, with faults that are real.
//!
//! Architecture Invariant: the demo uses the doors any user has; it has no way into the other rooms but the configuration.

pub mod shop;

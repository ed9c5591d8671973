//! Pure analysis: evidence and findings as types, change points, log templates. No I/O, no clock.

pub mod finding;

pub use finding::{Evidence, EvidenceId, FaultKind, Finding, Outcome};

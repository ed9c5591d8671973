//! Pure analysis: evidence and findings as types, change points, log templates. No I/O, no clock.

pub mod change;
pub mod finding;
pub mod templates;

pub use change::{Change, change_point, change_since};
pub use finding::{Evidence, EvidenceId, FaultKind, Finding, Outcome};
pub use templates::{Comparison, Miner, TemplateChange};

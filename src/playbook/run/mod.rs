//! A run as pure data: events, the status folded from them, and what to do next. No I/O, no clock.
//!
//! Architecture Invariant: [`Event`] (what is written down), [`Status`] (what follows from it) and the engine's runtime
//! state ([`Busy`] is all that is seen of it here) are three types.

mod decide;
mod event;
mod outcome;
mod plan;
mod status;
mod values;
mod view;

pub use decide::{Busy, Limits, Next, decide};
pub use event::{Ask, Event, FailureKind, Head, TaskHead};
pub use outcome::{capped, retry_at};
pub use plan::{Frontier, TaskPlan, difference, idempotency_key};
pub use status::{End, Grant, Illegal, Stage, Status, TaskStatus, apply};
pub use values::values;

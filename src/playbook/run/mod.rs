//! A run as pure data: events, the status folded from them, and what to do next. No I/O, no clock.
//!
//! Architecture Invariant: [`Event`] (what is written down), [`Status`] (what follows from it) and the engine's runtime
//! state ([`Busy`] is all that is seen of it here) are three types.

mod before;
mod decide;
mod each;
mod ending;
mod event;
mod grant;
mod outcome;
mod plan;
mod rollback;
mod status;
mod task;
mod unwind;
mod values;
mod view;

pub use before::{Anew, HeldBefore, held_before, verifiers};
pub use decide::{Busy, Limits, Next, decide, risk, stops};
pub use each::{MAX_ITEMS, item_id};
pub use ending::{stale, standing};
pub use event::{Ask, CHILD, Event, FailureKind, Head, Missing, Parent, Part, TaskHead};
pub use grant::{Given, Grant};
pub use outcome::{capped, retry_at};
pub use plan::{Frontier, TaskPlan, difference, idempotency_key};
pub use rollback::Rollback;
pub use status::{End, Illegal, Status, apply};
pub use task::{Done, Stage, TaskStatus};
pub use unwind::{retry, undo_id, undoable};
pub use values::{values, values_before, values_for, values_of_rollback};

//! What every room says: time, ids, text from outside, durations, digests, and the catalogue of messages.
//!
//! Architecture Invariant: nothing here does I/O, and nothing here imports another room.

pub mod clock;
pub mod digest;
pub mod duration;
pub mod id;
pub mod message;
pub mod nearest;
pub mod number;
pub mod person;
pub mod redact;
pub mod stop;
pub mod text;

pub use clock::{Clock, SharedClock, Timestamp};
pub use id::{IncidentId, RunId, Serial};
pub use person::{Actor, Person, PersonId, Role};
pub use text::Tainted;

/// A future on the heap, for the traits that are used as objects.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

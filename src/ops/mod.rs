//! Operations: what keeps Mayday itself going: the delivery of posts, its health part by part, its own telemetry,
//! work at set times, and the auditor that looks afterwards whether all of it happened.

pub mod auditor;
pub mod delivery;
pub mod health;
pub mod schedule;
pub mod telemetry;

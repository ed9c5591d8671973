//! Operations: what keeps Mayday itself going: the delivery of posts, its health part by part, its own telemetry.

pub mod delivery;
pub mod health;
pub mod telemetry;

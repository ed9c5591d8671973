//! Operations: what keeps Mayday itself going. Today: the delivery of posts.

pub mod delivery;

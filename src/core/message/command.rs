//! What the commands answer.

pub mod grammar;

//! Tests.

mod incident;
mod intake;
mod samples;

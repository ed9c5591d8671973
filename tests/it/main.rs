//! Tests through the public door. One binary, because linking is slow; each test starts what it needs on port 0.

mod layering;
mod watch;

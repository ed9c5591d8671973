//! Tests through the public door. One binary, because linking is slow; each test starts what it needs on port 0.

mod cli;
mod layering;
mod shop;
mod power_cut;
mod store_conformance;
mod store_sigkill;

//! Tests through the public door. One binary, because linking is slow; each test starts what it needs on port 0.

mod cli;
mod incident;
mod intake;
mod layering;
mod samples;
mod shop;
mod browser;
mod browser_driver;
mod http;
mod web_world;

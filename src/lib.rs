//! Mayday: an incident bot.
//!
//! Rooms are layers: a room imports only from the layers below it (`ARCHITECTURE.md`, proved by
//! `tests/it/layering.rs`). The order of the declarations below is the order of the layers.

// Layer 1
pub mod core;
// Layer 2
pub mod alert;
pub mod analysis;
pub mod source;
pub mod store;
// Layer 3
pub mod access;
pub mod catalog;
pub mod chat;
pub mod watch;
pub mod work;
// Layer 4
pub mod incident;
pub mod playbook;
// Layer 5
pub mod action;
pub mod diagnose;
// Layer 6
pub mod heal;
pub mod ops;
// Layer 7
pub mod command;
// Layer 8
pub mod http;
// Layer 9
pub mod cli;
pub mod config;
pub mod demo;

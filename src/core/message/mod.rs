//! The one catalogue of what Mayday says to people, English first: one file per room that speaks.
//!
//! Sentences are short, active and concrete; a message that refuses says what to do instead. No room builds such
//! a sentence on its own, so that a translation is one folder.

pub mod access;
pub mod action;
pub mod cli;
pub mod command;
pub mod config;
pub mod demo;
pub mod diagnose;
pub mod heal;
pub mod incident;
pub mod ops;
pub mod playbook;
pub mod playbook_end;
pub mod playbook_notice;
pub mod playbook_undo;
pub mod playbook_versions;
pub mod schedule;
pub mod store;
pub mod watch;
pub mod web;

//! Tests through the public door. One binary, because linking is slow; each test starts what it needs on port 0.

#![allow(clippy::disallowed_methods, reason = "tests against real processes and sockets live in real time")]

mod access;
mod action;
mod audit;
mod auditor;
mod browser;
mod browser_driver;
mod cli;
mod demo;
mod deploy;
mod diagnose;
mod engine;
mod engine_approval;
mod engine_child;
mod engine_crash;
mod engine_each;
mod engine_held;
mod engine_priority;
mod engine_replicas;
mod engine_rollback;
mod engine_shipped;
mod engine_world;
mod heal_loop;
mod http;
mod incident;
mod incident_cost;
mod intake;
mod layering;
mod playbook;
mod postgres;
mod postgres_world;
mod power_cut;
mod replica_world;
mod replicas;
mod replicas_chaos;
mod samples;
mod schedule;
mod shop;
mod soak;
mod soak_world;
mod store_conformance;
mod store_full;
mod store_sigkill;
mod watch;
mod web_world;

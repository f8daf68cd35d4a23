//! The client against servers on loopback: good ones, poor ones and hostile ones.
// Slow servers are what some of these tests are about.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a test's ways")]

mod delta;
mod hostile_data;
mod hostile_metadata;
mod repository;
mod server;
mod transport;

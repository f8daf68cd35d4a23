//! The server as its clients meet it: over a connection on loopback, with an empty store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail")]

mod bad_input;
mod fixture;
mod kubectl;
mod reads;
mod rights;
mod writes;

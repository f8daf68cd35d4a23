//! Boot slots and updates: a payload is written to the spare slot, tried once, and committed or
//! undone. Never writes to the slot that runs.
//!
//! [`machine`] decides, from what the [`ledger`] remembers and the boot medium says. A boot path
//! ([`boot_count`], [`tryboot`], [`two_files`]) turns a change of what boots next into writes. [`payload`] is
//! what an update brings; [`install`] writes it. [`runner`] performs what the machine decides on a
//! [`runner::Platform`]; [`trial`] judges a version that runs for the first time.

#![forbid(unsafe_code)]

pub mod autoboot;
pub mod boot_count;
pub mod boot_path;
pub mod install;
pub mod ledger;
pub mod machine;
pub mod medium;
pub mod payload;
pub mod runner;
pub mod slot;
pub mod state_files;
pub mod store;
pub mod trial;
pub mod tryboot;
pub mod two_files;
pub mod verity;

#[cfg(test)]
mod simulation;

pub use boot_path::{BootPath, BootPathError, Change, RebootFlag, Write};
pub use machine::{Effect, Event, step};
pub use medium::{Medium, MediumError};
pub use slot::{Slot, Slots};

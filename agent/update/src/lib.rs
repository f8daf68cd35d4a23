//! Boot slots. So far one thing: a slot that reached ready is committed, so that the boot loader
//! stops counting its tries. Never writes to anything but the names of boot entries.

#![forbid(unsafe_code)]

pub mod boot_count;
pub mod commit;
pub mod state_files;

pub use boot_count::{BootEntry, Plan, Slot, plan};
pub use commit::{CommitError, Committed, commit};

//! The firmware of Raspberry Pi: the files that it reads, written for it and read as it reads them,
//! so that a card can be checked and booted without the firmware.
//! Source: "config.txt" and "autoboot.txt" in the Raspberry Pi documentation.

mod card;
mod check;
mod config;
mod firmware;

pub use card::{Card, Error as CardError};
pub use check::{Error as CheckError, check};
pub use config::{Config, Problem, config_text};
pub use firmware::{Chosen, Error, Partition, boot};

use crate::uki::Slot;

/// The kernel in a slot, compressed with gzip.
pub const KERNEL: &str = "vmlinuz";
/// The initramfs in a slot.
pub const INITRAMFS: &str = "initramfs";
/// The kernel's command line in a slot.
pub const COMMAND_LINE: &str = "cmdline.txt";
/// Which slot boots; on the first partition.
pub const AUTOBOOT: &str = "autoboot.txt";

/// What [`AUTOBOOT`] says on a fresh card: this slot boots, and there is none to be tried. It fills
/// one sector, so that replacing it is one write.
pub fn autoboot_text(slot: Slot) -> Vec<u8> {
    let number = match slot {
        Slot::A => 2,
        Slot::B => 3,
    };
    let text = format!(
        "[all]\ntryboot_a_b=1\nboot_partition={number}\n[tryboot]\nboot_partition={number}\n"
    );
    let mut bytes = text.into_bytes();
    bytes.resize(512, b'\n');
    bytes
}

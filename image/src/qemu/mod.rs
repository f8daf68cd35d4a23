//! Runs images in QEMU. The command line is a pure function, which the VM tests share.

mod accelerator;
mod arguments;
mod description;
mod firmware;
mod secure_boot;
mod slot;

pub use accelerator::{Accelerator, probe};
pub use arguments::{Boot, Forward, Forwarding, Machine, arguments, program};
pub use description::{Description, Error as DescriptionError, describe};
pub use firmware::{Error as FirmwareError, Firmware, NoUBoot, find, find_u_boot};
pub use secure_boot::{Error as VariablesError, enrol};
pub use slot::{Error as SlotError, lay_out_slot};

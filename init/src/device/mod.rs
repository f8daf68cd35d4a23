//! Devices: the kernel's announcements of them, and the partitions that exist.
//! Never writes to a device.

pub(crate) mod efi;
pub(crate) mod firmware;
pub(crate) mod partition;
pub(crate) mod power_button;
pub(crate) mod uevent;
pub(crate) mod wait;

//! What a board file says about hardware: how the machine boots, and which machine of QEMU stands
//! in for it. Must never know a board by its name.

use serde::{Deserialize, Serialize};

/// How a board's firmware comes to a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootPath {
    /// UEFI firmware, systemd-boot, one unified kernel image for each slot.
    Uefi,
    /// A U-Boot in the board's flash, which runs our script; a folder of files for each slot.
    UBoot,
}

/// The machine of QEMU that a board's image is tried on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Qemu {
    /// Machine type, with its options.
    pub machine: String,
    /// Processor where QEMU translates; with KVM it is the host's.
    pub cpu: String,
    /// MiB of memory, unless a person says otherwise.
    pub memory: u64,
    /// Processors, unless a person says otherwise.
    pub processors: u32,
    /// The device that the disk hangs on.
    pub disk: String,
    /// The device that the network hangs on.
    pub network: String,
    /// More devices.
    pub devices: Vec<String>,
    /// Devices of a machine with a window.
    pub display: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_is_written_as_it_is_read() {
        let text = "machine = 'virt'\ncpu = 'max'\nmemory = 512\nprocessors = 2\ndisk = 'd'\n\
                    network = 'n'\ndevices = ['a', 'b']\ndisplay = []\n";
        let table: toml::Table = text.parse().expect("valid TOML");
        let read = Qemu::deserialize(table).expect("a machine");
        let written = serde_json::to_string(&read).expect("written");
        assert_eq!(serde_json::from_str::<Qemu>(&written).expect("read back"), read);
        assert!(serde_json::from_str::<BootPath>("\"floppy\"").is_err());
    }
}

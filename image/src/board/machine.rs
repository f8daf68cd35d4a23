//! What a board file says about hardware: how the machine boots, and which machine of QEMU stands
//! in for it. Must never know a board by its name.

use serde::{Deserialize, Serialize};

/// How a board's firmware comes to a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootPath {
    /// UEFI firmware, systemd-boot, one unified kernel image for each slot.
    Uefi,
    /// The firmware of a Raspberry Pi, which takes a slot's files from a FAT partition.
    Rpi,
    /// A U-Boot in the board's flash, which runs our script; a folder of files for each slot.
    UBoot,
}

/// A model of a board, as its firmware sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Model {
    /// Its name.
    pub name: String,
    /// The sections of `config.txt` that it reads beside `[all]`, as `pi3+`.
    pub filters: Vec<String>,
    /// Files of the boot loader's package that it loads from the slot, the program first; none where
    /// all of its firmware is in flash.
    #[serde(default)]
    pub firmware: Vec<String>,
    /// Its device tree, by the path in the kernel's package, with `*` as a wildcard.
    pub device_tree: String,
    /// The names by which its firmware asks for that tree, where they are others than Linux's, or
    /// where the path has a wildcard.
    #[serde(default)]
    pub asks_for: Vec<String>,
}

impl Model {
    /// The names by which its firmware asks for its device tree.
    pub fn device_tree_names(&self) -> Vec<&str> {
        if self.asks_for.is_empty() {
            return vec![self.device_tree.rsplit('/').next().unwrap_or_default()];
        }
        self.asks_for.iter().map(String::as_str).collect()
    }
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
    /// The device that the disk hangs on, or `sd` for the machine's own card slot.
    pub disk: String,
    /// The device that the network hangs on.
    pub network: String,
    /// More devices.
    pub devices: Vec<String>,
    /// Devices of a machine with a window.
    pub display: Vec<String>,
    /// The serial line that the kernel's console is on, counted from zero.
    #[serde(default)]
    pub serial_line: usize,
    /// The model that this machine is, where the boot path tells models apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
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

//! Copies what the kernel says of block devices, mounts and swap into plain values.
//! Must never interpret them, nor fail: what cannot be read is not there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What the kernel says, as it says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// `/sys/class/block`: disks and partitions by name.
    pub blocks: BTreeMap<String, Block>,
    /// `mountinfo`, of this process and of the first.
    pub mounts: String,
    /// `/proc/swaps`.
    pub swaps: String,
}

/// One block device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// Its folder below `/sys/devices`, which tells the buses that it hangs on.
    pub path: String,
    /// Attributes by name, such as `size` and `device/model`.
    pub attributes: BTreeMap<String, String>,
    /// The block devices that stand on it.
    pub holders: Vec<String>,
}

const ATTRIBUTES: [&str; 12] = [
    "dev",
    "size",
    "ro",
    "removable",
    "hidden",
    "partition",
    "queue/logical_block_size",
    "device/vendor",
    "device/model",
    "device/name",
    "device/type",
    "loop/backing_file",
];

impl Snapshot {
    /// What is there now.
    pub fn take() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        // A container does not see its host's mounts, the first process may.
        let mounts = text("/proc/self/mountinfo") + &text("/proc/1/mountinfo");
        Self { blocks: blocks(Path::new("/sys/class/block")), mounts, swaps: text("/proc/swaps") }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn blocks(class: &Path) -> BTreeMap<String, Block> {
    let block = |name: String| {
        let folder = class.join(&name);
        let path = folder.canonicalize().unwrap_or_default();
        let attribute = |name: &str| {
            let text = fs::read_to_string(folder.join(name)).ok()?;
            Some((name.to_owned(), text.trim().to_owned()))
        };
        let block = Block {
            path: path.to_string_lossy().into_owned(),
            attributes: ATTRIBUTES.iter().filter_map(|name| attribute(name)).collect(),
            holders: names(&folder.join("holders")),
        };
        (name, block)
    };
    names(class).into_iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn attributes_holders_and_place_are_copied() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let disk = folder.path().join("devices/usb1/sdb");
        fs::create_dir_all(disk.join("holders/dm-0")).expect("made");
        fs::create_dir_all(disk.join("queue")).expect("made");
        fs::write(disk.join("size"), "62333952\n").expect("written");
        fs::write(disk.join("queue/logical_block_size"), "512\n").expect("written");
        let class = folder.path().join("class");
        fs::create_dir(&class).expect("made");
        symlink(&disk, class.join("sdb")).expect("linked");
        let blocks = blocks(&class);
        let found = &blocks["sdb"];
        assert!(found.path.ends_with("devices/usb1/sdb"), "{}", found.path);
        assert_eq!(found.attributes["size"], "62333952");
        assert_eq!(found.attributes["queue/logical_block_size"], "512");
        assert_eq!(found.holders, ["dm-0"]);
        assert!(!found.attributes.contains_key("ro"));
    }

    #[test]
    fn machine_without_block_devices_has_an_empty_snapshot() {
        assert!(blocks(Path::new("/nonexistent")).is_empty());
    }

    #[test]
    fn this_machine_has_mounts() {
        assert!(Snapshot::take().mounts.lines().any(|line| line.contains(" / ")));
    }
}

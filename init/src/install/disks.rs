//! The machine's disks, as sysfs and a look at both ends show them. Reads only.

use super::plan::Disk;
use crate::device::partition::sysfs_number;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// As much of each end is looked at: tables, labels and superblocks lie there.
const END: u64 = 1 << 20;
/// Devices that hold no image: memory, loops, what stands on other disks, media that cannot.
const NO_DISKS: [&str; 8] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"];

/// All disks, by name; `own` is the one that this system runs from.
pub(super) fn present(own: Option<&str>) -> Vec<Disk> {
    let mut found: Vec<Disk> = fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_disk(name))
        .filter_map(|name| look(Path::new("/sys/block"), &name, own))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Boot partitions of an eMMC and its replay-protected memory are disks of their own to Linux.
fn is_disk(name: &str) -> bool {
    let is_part_of_emmc = name.starts_with("mmcblk") && name.contains("boot");
    !is_part_of_emmc && !name.contains("rpmb") && !NO_DISKS.iter().any(|no| name.starts_with(no))
}

fn look(class: &Path, name: &str, own: Option<&str>) -> Option<Disk> {
    let folder = class.join(name);
    let text = |file: &str| {
        fs::read_to_string(folder.join(file)).map_or(String::new(), |text| text.trim().to_owned())
    };
    let size = sysfs_number(name, "size").unwrap_or(0).saturating_mul(512);
    if size == 0 {
        return None;
    }
    let link = fs::canonicalize(&folder).unwrap_or_default();
    let on_usb = link.to_string_lossy().contains("/usb");
    // A card in its slot can be taken out, which the kernel does not count as removable.
    let is_card = text("device/type") == "SD";
    let model = [text("device/vendor"), text("device/model"), text("device/name")];
    // A virtual disk's vendor is a number, which tells nobody anything.
    let model = model.iter().filter(|word| !word.is_empty() && !word.starts_with("0x"));
    let serial = [text("serial"), text("device/serial")].into_iter().find(|one| !one.is_empty());
    Some(Disk {
        size,
        sector: sysfs_number(name, "queue/logical_block_size").unwrap_or(512),
        model: model.cloned().collect::<Vec<_>>().join(" "),
        serial: serial.unwrap_or_default(),
        is_internal: !on_usb && !is_card && text("removable") != "1",
        is_read_only: text("ro") != "0",
        is_own: own == Some(name),
        // What cannot be read may hold anything.
        is_blank: File::open(Path::new("/dev").join(name))
            .and_then(|file| is_blank(&file, size))
            .unwrap_or(false),
        name: name.to_owned(),
    })
}

/// Whether both ends are zeros.
fn is_blank(file: &File, size: u64) -> io::Result<bool> {
    let mut bytes = vec![0; END.min(size) as usize];
    for at in [0, size - END.min(size)] {
        file.read_exact_at(&mut bytes, at)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_disks_are_disks() {
        for name in ["sda", "vdb", "nvme0n1", "mmcblk0", "xvda"] {
            assert!(is_disk(name), "{name}");
        }
        for name in ["loop0", "ram3", "dm-0", "sr0", "zram0", "mmcblk0boot0", "mmcblk0rpmb"] {
            assert!(!is_disk(name), "{name}");
        }
    }

    #[test]
    fn disk_is_blank_when_both_ends_are_zeros() {
        let file = tempfile::tempfile().unwrap();
        let size = 4 << 20;
        file.set_len(size).unwrap();
        assert!(is_blank(&file, size).unwrap());
        file.write_all_at(b"x", 2 << 20).unwrap();
        assert!(is_blank(&file, size).unwrap(), "a table or a file system would be at an end");
        for at in [510, size - 1] {
            file.write_all_at(b"x", at).unwrap();
            assert!(!is_blank(&file, size).unwrap(), "{at}");
            file.write_all_at(b"\0", at).unwrap();
        }
        let small = tempfile::tempfile().unwrap();
        small.set_len(512).unwrap();
        assert!(is_blank(&small, 512).unwrap());
    }
}

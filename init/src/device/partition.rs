//! Partitions as sysfs shows them, and the choice among those of one name.
//! Reads only.

use crate::mbr::{self, table};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The kernel's name, `vda2`.
    pub(crate) device: String,
    /// The name in the partition table, `root-a`, or what its number stands for on
    /// Holm's disks whose table has no names.
    pub(crate) label: String,
    /// Its number in the partition table.
    pub(crate) number: u32,
    /// The disk it is on, `vda`.
    pub(crate) disk: String,
}

impl Partition {
    /// Its device file.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/dev").join(&self.device)
    }
}

/// All partitions that have a name, or a number that stands for one.
pub(crate) fn present() -> Vec<Partition> {
    present_under(Path::new("/sys/class/block"), &mbr::disk::is_marked)
}

fn present_under(class: &Path, is_marked: &dyn Fn(&str) -> bool) -> Vec<Partition> {
    let mut found = Vec::new();
    let mut marked = BTreeMap::new();
    for entry in fs::read_dir(class).into_iter().flatten().flatten() {
        let Ok(text) = fs::read_to_string(entry.path().join("uevent")) else {
            continue;
        };
        let Ok(link) = fs::canonicalize(entry.path()) else {
            continue;
        };
        let disk = link.parent().and_then(Path::file_name).unwrap_or_default();
        let disk = disk.to_string_lossy();
        let mut numbered =
            |disk: &str| *marked.entry(disk.to_owned()).or_insert_with(|| is_marked(disk));
        if let Some(partition) = parse(&text, &disk, &mut numbered) {
            found.push(partition);
        }
    }
    found.sort_by(|a, b| a.device.cmp(&b.device));
    found
}

/// Reads a block device's `uevent` file; whole disks and partitions without a
/// name give nothing. `is_marked` says whether numbers are names on a disk.
fn parse(uevent: &str, disk: &str, is_marked: &mut dyn FnMut(&str) -> bool) -> Option<Partition> {
    let value = |key: &str| {
        let mut lines = uevent.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let number = value("PARTN")?.parse().ok()?;
    let label = match value("PARTNAME") {
        Some(name) => name,
        None => table::label(number).filter(|_| is_marked(disk))?,
    };
    Some(Partition {
        device: value("DEVNAME")?.to_owned(),
        label: label.to_owned(),
        number,
        disk: disk.to_owned(),
    })
}

/// The partition called `label`. On `disk` if that is said, else on the first
/// disk by name that has one: a node with two Holm disks says which it means.
pub(crate) fn choose<'a>(
    partitions: &'a [Partition],
    label: &str,
    disk: Option<&str>,
) -> Option<&'a Partition> {
    let mut candidates = partitions.iter().filter(|p| p.label == label);
    candidates.find(|p| disk.is_none_or(|disk| p.disk == disk))
}

/// Reads a number from a file of the block device in sysfs.
pub(crate) fn sysfs_number(device: &str, file: &str) -> Option<u64> {
    let path = Path::new("/sys/class/block").join(device).join(file);
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(device: &str, label: &str, disk: &str) -> Partition {
        Partition { device: device.into(), label: label.into(), number: 1, disk: disk.into() }
    }

    #[test]
    fn named_partition_is_read() {
        let text =
            "MAJOR=254\nMINOR=2\nDEVNAME=vda2\nDEVTYPE=partition\nPARTN=2\nPARTNAME=root-a\n";
        let found = parse(text, "vda", &mut |_| true).unwrap();
        assert_eq!(found, Partition { number: 2, ..partition("vda2", "root-a", "vda") });
        assert_eq!(found.path(), Path::new("/dev/vda2"));
    }

    #[test]
    fn whole_disk_is_passed_over() {
        assert_eq!(parse("DEVNAME=vda\nDEVTYPE=disk\n", "block", &mut |_| true), None);
    }

    #[test]
    fn number_stands_for_a_name_on_holms_own_disks_alone() {
        let text = "DEVNAME=mmcblk0p5\nDEVTYPE=partition\nPARTN=5\n";
        let found = parse(text, "mmcblk0", &mut |disk| disk == "mmcblk0").unwrap();
        assert_eq!((found.label.as_str(), found.number), ("root-a", 5));
        assert_eq!(parse(text, "mmcblk0", &mut |_| false), None);
        let frame = text.replace("PARTN=5", "PARTN=4");
        assert_eq!(parse(&frame, "mmcblk0", &mut |_| true), None);
    }

    #[test]
    fn the_said_disk_is_taken_even_when_another_comes_first() {
        let all = [partition("sda2", "root-a", "sda"), partition("vda2", "root-a", "vda")];
        assert_eq!(choose(&all, "root-a", Some("vda")).unwrap().device, "vda2");
        assert_eq!(choose(&all, "root-a", None).unwrap().device, "sda2");
        assert_eq!(choose(&all, "root-a", Some("sdb")), None);
        assert_eq!(choose(&all, "data", None), None);
    }

    #[test]
    fn missing_folder_has_no_partitions() {
        assert!(present_under(Path::new("/nonexistent"), &|_| true).is_empty());
    }
}

//! The child of stage one: loads modules, finds the slot's partition, puts
//! dm-verity over it and mounts it. May block; its parent holds the deadline.
//! Never mounts anything that the root hash does not cover.

use super::NEW_ROOT;
use crate::clock::{Moment, now};
use crate::cmdline::Cmdline;
use crate::device::uevent::Listener;
use crate::device::wait::{News, wait_for};
use crate::device::{efi, partition};
use crate::gpt::disk::Disk;
use crate::kmsg::{self, Level};
use crate::modules::load::{self, Loader, folder, read_texts};
use crate::modules::{coldplug, drivers};
use crate::verity::activate;
use rustix::mount::{MountFlags, mount};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The kernel command line lacks something.
    #[error("kernel command line has no {0}: the image must give {1}")]
    Missing(&'static str, &'static str),
    /// The kernel command line has a value of no use.
    #[error("kernel command line has {0}={1:?}: it must be {2}")]
    Value(&'static str, String, &'static str),
    /// The kernel's announcements cannot be heard.
    #[error("cannot listen for devices: {0}")]
    Listen(std::io::Error),
    /// The slot's partition did not show up.
    #[error("no partition is named {0} after {1} s; partitions present: {2}")]
    NoPartition(String, u64, String),
    /// dm-verity could not be set up.
    #[error(transparent)]
    Verity(#[from] activate::Error),
    /// The verified device could not be read.
    #[error("cannot read the verified root: {0}")]
    Read(std::io::Error),
    /// The root is of a kind that Holm does not use.
    #[error("verified root is neither erofs nor squashfs")]
    FileSystem,
    /// The root could not be mounted.
    #[error("cannot mount the verified root as {0}: {1}")]
    Mount(&'static str, rustix::io::Errno),
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    root_hash: &'a str,
    label: String,
    hash_offset: u64,
}

impl<'a> Wanted<'a> {
    fn read(cmdline: &'a Cmdline) -> Result<Self, Error> {
        let need = |key, what| cmdline.value(key).ok_or(Error::Missing(key, what));
        let root_hash = need("roothash", "the verity root hash")?;
        let slot = need("holm.slot", "the boot slot, a or b")?;
        if !matches!(slot, "a" | "b") {
            return Err(Error::Value("holm.slot", slot.to_owned(), "a or b"));
        }
        let offset = need("holm.hash-offset", "where the hash tree begins, in bytes")?;
        let hash_offset = offset.parse().map_err(|_| {
            Error::Value("holm.hash-offset", offset.to_owned(), "a number of bytes")
        })?;
        Ok(Self { root_hash, label: format!("root-{slot}"), hash_offset })
    }
}

/// Does it all, and gives the disk that the root is on. Calls `modules_loaded`
/// when the modules named by the image, the watchdog's among them, are in.
pub(crate) fn prepare(modules_loaded: impl FnOnce()) -> Result<String, Error> {
    let cmdline = Cmdline::read().unwrap_or_default();
    let wanted = Wanted::read(&cmdline)?;
    // Listen before looking, so that no device falls between.
    let listener = Listener::open().map_err(Error::Listen)?;
    let texts = read_texts(&folder());
    let mut loader = Loader::new(&texts, folder(), &cmdline);
    load_named(&mut loader);
    modules_loaded();
    let limit = cmdline.number("holm.root-timeout", 60);
    let found = find_partition(&listener, &wanted.label, limit, &mut loader)?;
    let device = activate::activate("root", &found.path(), wanted.hash_offset, wanted.root_hash)?;
    mount_root(&device)?;
    Ok(found.disk)
}

/// Loads what the image names, but no driver of a device that is not there: to
/// check a module's signature takes longer than anything else here. What is missing
/// or refused is said, not fatal: a board without a watchdog still boots.
fn load_named(loader: &mut Loader<'_>) {
    let list = std::fs::read_to_string(drivers::LIST).unwrap_or_default();
    let mut waiting: Vec<_> = drivers::named(&list).map(str::to_owned).collect();
    if efi::is_present() {
        waiting.push("efivarfs".to_owned());
    }
    loop {
        // One driver makes the device of another, as a chipset's does its watchdog.
        let present = coldplug::aliases();
        let (useful, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|module| loader.is_of_use(module, &present));
        if useful.is_empty() {
            break;
        }
        load(loader, useful);
        waiting = rest;
    }
    if efi::is_present() {
        // Without it the first disk that has the partition is taken.
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let target = "/sys/firmware/efi/efivars";
        let _ = mount("efivarfs", target, "efivarfs", flags | MountFlags::RDONLY, None);
    }
}

/// The present devices' drivers in the order in which to try them: those first that
/// take the fewest modules. Nobody knows yet on which device the root is, and most
/// machines have more controllers than disks.
fn by_cost(
    aliases: impl IntoIterator<Item = String>,
    cost: impl Fn(&str) -> usize,
) -> VecDeque<Vec<String>> {
    let mut groups: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for alias in aliases {
        let cost = cost(&alias);
        if cost > 0 {
            groups.entry(cost).or_default().push(alias);
        }
    }
    groups.into_values().collect()
}

fn load(loader: &mut Loader<'_>, requests: impl IntoIterator<Item = String>) {
    let requests: Vec<_> = requests.into_iter().collect();
    for error in loader.load(requests.iter().map(String::as_str)) {
        let is_alias = matches!(&error, load::Error::Unknown(request) if request.contains(':'));
        if !is_alias {
            kmsg::log(Level::Warning, &error.to_string());
        }
    }
}

fn find_partition(
    listener: &Listener,
    label: &str,
    limit: u64,
    loader: &mut Loader<'_>,
) -> Result<partition::Partition, Error> {
    let loader_partition = efi::loader_partition();
    let start = now();
    let look = |settle: bool| {
        let present = partition::present();
        match &loader_partition {
            Some(id) if !settle => {
                let disks = present.iter().filter(|p| p.label == label).map(|p| p.disk.as_str());
                let disk = disks.into_iter().find(|disk| holds(disk, id))?;
                partition::choose(&present, label, Some(disk)).cloned()
            }
            _ => partition::choose(&present, label, None).cloned(),
        }
    };
    let mut groups = by_cost(coldplug::aliases(), |alias| loader.cost(alias));
    while let Some(group) = groups.pop_front() {
        load(loader, group);
        if let Some(found) = look(false) {
            return Ok(found);
        }
    }
    let mut on_news = |news| match news {
        News::Aliases(aliases) => load(loader, aliases),
        News::Overrun => load(loader, coldplug::aliases()),
    };
    // The boot loader may have come from elsewhere, such as the network: then,
    // when its disk has had some time to show up, any disk will do.
    let end = start + Duration::from_secs(limit);
    let preferred: Moment =
        if loader_partition.is_some() { start + end.since(start) / 6 } else { end };
    let found = wait_for(listener, preferred, || look(false), &mut on_news)
        .or_else(|| wait_for(listener, end, || look(true), &mut on_news));
    found.ok_or_else(|| {
        let present = partition::present().into_iter();
        let names: Vec<_> = present.map(|p| format!("{} ({})", p.label, p.device)).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Error::NoPartition(label.to_owned(), limit, names)
    })
}

/// Whether the table of `disk` has the partition with unique id `id`.
fn holds(disk: &str, id: &str) -> bool {
    let table = Disk::read(disk);
    table.is_ok_and(|table| table.partitions().iter().any(|entry| entry.id == id))
}

fn mount_root(device: &str) -> Result<(), Error> {
    let mut head = [0; 2048];
    let read = File::open(device).and_then(|file| file.read_exact_at(&mut head, 0));
    read.map_err(Error::Read)?;
    let kind = file_system(&head).ok_or(Error::FileSystem)?;
    let refused = |errno| Error::Mount(kind, errno);
    std::fs::create_dir_all(Path::new(NEW_ROOT)).map_err(Error::Read)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV;
    mount(device, NEW_ROOT, kind, flags, None).map_err(refused)
}

/// The file system's name from the magic numbers in its first bytes.
fn file_system(head: &[u8]) -> Option<&'static str> {
    if head.get(1024..1028) == Some(&0xe0f5_e1e2_u32.to_le_bytes()[..]) {
        return Some("erofs");
    }
    (head.get(..4) == Some(b"hsqs")).then_some("squashfs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_take_the_fewest_modules_are_tried_first() {
        let cost = |alias: &str| match alias {
            "pci:ahci" => 5,
            "pci:unknown" => 0,
            _ => 1,
        };
        let aliases = ["pci:ahci", "pci:unknown", "virtio:disk", "virtio:scsi"];
        let groups = by_cost(aliases.map(str::to_owned), cost);
        assert_eq!(groups, [vec!["virtio:disk", "virtio:scsi"], vec!["pci:ahci"]]);
    }

    #[test]
    fn slot_names_the_partition() {
        let cmdline = Cmdline::parse("roothash=ab holm.slot=b holm.hash-offset=4096");
        let wanted = Wanted::read(&cmdline).unwrap();
        assert_eq!(wanted, Wanted { root_hash: "ab", label: "root-b".into(), hash_offset: 4096 });
    }

    #[test]
    fn what_the_command_line_lacks_is_named() {
        let missing = |text| Wanted::read(&Cmdline::parse(text)).unwrap_err().to_string();
        assert!(missing("quiet").contains("roothash"));
        assert!(missing("roothash=1").contains("holm.slot"));
        assert!(missing("roothash=1 holm.slot=c").contains("\"c\""));
        assert!(missing("roothash=1 holm.slot=a").contains("holm.hash-offset"));
        assert!(missing("roothash=1 holm.slot=a holm.hash-offset=4k").contains("4k"));
    }

    #[test]
    fn file_system_is_known_by_its_magic() {
        let mut head = vec![0; 2048];
        assert_eq!(file_system(&head), None);
        head[..4].copy_from_slice(b"hsqs");
        assert_eq!(file_system(&head), Some("squashfs"));
        head[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
        assert_eq!(file_system(&head), Some("erofs"));
        assert_eq!(file_system(&[]), None);
    }
}

//! From the snapshot to disks: what each is, and everything that uses it, however indirectly.
//! Pure. Must never take a disk for unused because a line could not be understood.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::snapshot::{Block, Snapshot};

/// A disk that could be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name, such as `sdb`.
    pub name: String,
    /// Its device file.
    pub path: PathBuf,
    /// Major and minor number, as `8:16`.
    pub number: String,
    /// Bytes; 0 without a medium.
    pub size: u64,
    /// Bytes of a sector, as the disk addresses them.
    pub sector: u64,
    /// Maker and model, as the device calls itself; may be empty.
    pub model: String,
    /// How it is attached.
    pub connection: Connection,
    /// Whether a person can take it out.
    pub is_removable: bool,
    /// Whether the kernel refuses to write to it.
    pub is_read_only: bool,
    /// How many partitions the kernel sees on it.
    pub partitions: usize,
    /// What uses it; empty when it is free.
    pub uses: Vec<Use>,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// On USB: sticks, disks and card readers.
    Usb,
    /// An SD card in a slot of its own.
    SdCard,
    /// Memory soldered to the board.
    Emmc,
    /// On PCI Express.
    Nvme,
    /// A disk of a virtual machine.
    Virtio,
    /// A file that acts as a disk.
    Loop,
    /// SATA, SAS and others.
    Other,
}

/// A reason why a disk is in use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// It carries the running system: what is mounted there.
    System(PathBuf),
    /// Mounted, and where.
    Mounted(PathBuf),
    /// Swap space.
    Swap(String),
    /// Another block device stands on it: device mapper, RAID, loop.
    Held(String),
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usb => "USB",
            Self::SdCard => "SD",
            Self::Emmc => "eMMC",
            Self::Nvme => "NVMe",
            Self::Virtio => "virtio",
            Self::Loop => "loop",
            Self::Other => "internal",
        })
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(at) => write!(f, "carries this system ({})", at.display()),
            Self::Mounted(at) => write!(f, "is mounted at {}", at.display()),
            Self::Swap(name) => write!(f, "has swap space in use ({name})"),
            Self::Held(by) => write!(f, "is in use by {by}"),
        }
    }
}

/// Where a system's own parts are mounted; whoever overwrites one of them loses the machine.
const SYSTEM: [&str; 8] = ["/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/home", "/nix"];

/// All disks, in the order of their names; no partitions, and nothing that stands on other disks.
pub fn parse(snapshot: &Snapshot) -> Vec<Disk> {
    let disks = snapshot.blocks.iter().filter(|(name, block)| is_disk(name, block));
    disks.map(|(name, block)| disk(name, block, snapshot)).collect()
}

fn is_disk(name: &str, block: &Block) -> bool {
    // Built on other devices, memory, optical, floppy; and an eMMC's boot and replay areas.
    let others = ["dm-", "md", "zram", "ram", "sr", "fd", "drbd", "bcache", "mtdblock"];
    let is_area = name.starts_with("mmcblk") && name.contains("boot") || name.contains("rpmb");
    !block.attributes.contains_key("partition")
        && attribute(block, "hidden") != "1"
        && !others.iter().any(|start| name.starts_with(start))
        && !is_area
}

fn attribute<'a>(block: &'a Block, name: &str) -> &'a str {
    block.attributes.get(name).map_or("", String::as_str)
}

fn disk(name: &str, block: &Block, snapshot: &Snapshot) -> Disk {
    let number = |name| attribute(block, name).parse::<u64>().ok();
    let connection = connection(name, block);
    let is_own_part = |(_, part): &(&String, &Block)| is_part_of(block, part);
    Disk {
        name: name.to_owned(),
        path: device_file(name),
        number: attribute(block, "dev").to_owned(),
        // The kernel counts in 512 bytes here, whatever the sectors are.
        size: number("size").unwrap_or(0).saturating_mul(512),
        sector: number("queue/logical_block_size").unwrap_or(512),
        model: model(block),
        connection,
        is_removable: number("removable") == Some(1)
            || matches!(connection, Connection::Usb | Connection::SdCard),
        is_read_only: number("ro") != Some(0),
        partitions: snapshot.blocks.iter().filter(is_own_part).count(),
        uses: uses(name, block, snapshot),
    }
}

/// The kernel writes `!` in names where the device file has a folder.
fn device_file(name: &str) -> PathBuf {
    Path::new("/dev").join(name.replace('!', "/"))
}

fn model(block: &Block) -> String {
    let words = ["device/vendor", "device/model", "device/name"];
    let words = words.map(|name| attribute(block, name)).into_iter();
    // A virtual disk gives a vendor number, which tells nobody anything.
    let words = words.filter(|word| !word.is_empty() && !word.starts_with("0x"));
    words.collect::<Vec<_>>().join(" ")
}

fn connection(name: &str, block: &Block) -> Connection {
    if block.path.contains("/usb") {
        Connection::Usb
    } else if name.starts_with("mmcblk") {
        if attribute(block, "device/type") == "SD" { Connection::SdCard } else { Connection::Emmc }
    } else if name.starts_with("nvme") {
        Connection::Nvme
    } else if name.starts_with("vd") {
        Connection::Virtio
    } else if name.starts_with("loop") || name.starts_with("nbd") {
        Connection::Loop
    } else {
        Connection::Other
    }
}

fn is_part_of(disk: &Block, part: &Block) -> bool {
    let folder = part.path.rsplit_once('/').map(|(folder, _)| folder);
    part.attributes.contains_key("partition") && folder == Some(&disk.path)
}

/// Everything that uses a disk, its partitions, or what stands on them.
fn uses(name: &str, disk: &Block, snapshot: &Snapshot) -> Vec<Use> {
    let blocks = &snapshot.blocks;
    let mut open = vec![name.to_owned()];
    open.extend(blocks.iter().filter(|(_, part)| is_part_of(disk, part)).map(|(n, _)| n.clone()));
    let mut seen = BTreeSet::new();
    let mut uses = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let number = blocks.get(&name).map_or("", |block| attribute(block, "dev"));
        let file = device_file(&name);
        uses.extend(mounts(&snapshot.mounts, number, &file));
        uses.extend(swaps(&snapshot.swaps, &file));
        let holders = blocks.get(&name).map(|block| block.holders.clone()).unwrap_or_default();
        let loops = blocks
            .iter()
            .filter(|(_, block)| Path::new(attribute(block, "loop/backing_file")) == file)
            .map(|(name, _)| name.clone());
        for above in holders.into_iter().chain(loops) {
            uses.insert(Use::Held(above.clone()));
            open.push(above);
        }
    }
    uses.into_iter().collect()
}

/// Mounts of a device by its number, and by its name: some file systems have numbers of their own.
fn mounts(text: &str, number: &str, file: &Path) -> Vec<Use> {
    let mounted = |line: &str| {
        let (place, source) = line.split_once(" - ")?;
        let fields: Vec<&str> = place.split(' ').collect();
        let source = source.split(' ').nth(1)?;
        let is_ours =
            !number.is_empty() && *fields.get(2)? == number || Path::new(&unescape(source)) == file;
        is_ours.then(|| PathBuf::from(unescape(fields.get(4).unwrap_or(&""))))
    };
    let sort = |at: PathBuf| {
        let is_system = SYSTEM.iter().any(|place| at == Path::new(place));
        if is_system { Use::System(at) } else { Use::Mounted(at) }
    };
    text.lines().filter_map(mounted).map(sort).collect()
}

fn swaps(text: &str, file: &Path) -> Option<Use> {
    let mut names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let name = names.find(|name| Path::new(&unescape(name)) == file)?;
    Some(Use::Swap(name.to_owned()))
}

/// `mountinfo` writes blanks and some other characters as a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => plain.extend([char::from(code).to_string().as_str(), &part[3..]]),
            None => plain.extend(["\\", part]),
        }
    }
    plain
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;

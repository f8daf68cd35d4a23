//! The disks of a node: boot, state and data, grown, repaired and mounted. Runs
//! in children of PID 1. Never destroys a file system to get one that works: a
//! disk beyond repair is left for a person, and memory stands in for it.

mod attach;
pub(crate) mod crashes;
mod grow;
mod repair;
pub(crate) mod superblock;
pub(crate) mod unmount;

use crate::clock::{Moment, now};
use crate::device::partition::{Partition, choose, present};
use crate::device::uevent::Listener;
use crate::device::wait::wait_for;
use crate::kmsg;
use crate::modules::drivers;
use attach::{Attach, Outcome, Step};
use rustix::mount::{MountFlags, mount};
use std::ffi::CStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use superblock::Superblock;

/// The disk of the root is there already; its other partitions are too.
const PATIENCE: Duration = Duration::from_secs(20);
/// The modules of the file systems on the disks.
const FILE_SYSTEMS: [&str; 3] = ["ext4", "vfat", "nls_cp437"];
/// The partition with the node document: the one that firmware boots from, or
/// where it learns which slot to boot.
const BOOT: [&str; 2] = ["boot", "select"];
/// What others expect to exist.
const FOLDERS: [&str; 10] = [
    "/state/config",
    "/data/images",
    "/data/preload",
    "/data/containers",
    "/data/pods",
    "/data/var/lib",
    "/data/var/cache",
    "/data/var/log/pods",
    "/data/var/log/containers",
    "/data/var/log/holm",
];

/// One partition of a node that is written to.
struct Disk {
    label: &'static str,
    mount_point: &'static str,
    /// The size of what stands in for it in memory.
    stand_in: &'static CStr,
    options: &'static CStr,
    grows: bool,
}

const DISKS: [Disk; 2] = [
    Disk {
        label: "state",
        mount_point: "/state",
        stand_in: c"mode=0755,size=8m",
        options: c"errors=remount-ro",
        grows: false,
    },
    Disk {
        label: "data",
        mount_point: "/data",
        stand_in: c"mode=0755,size=40%",
        // The reserved blocks are root's unless they are somebody else's: containers run as root
        // too. No user has this number, so CAP_SYS_RESOURCE decides, which pods do not get, and
        // the group, in which the agent's shims make the places for a container's mounts.
        options: c"errors=remount-ro,resuid=4294967294,resgid=4294967294",
        grows: true,
    },
];

/// Does it all. Every disk is tried; what failed is the error.
pub(crate) fn prepare() -> Result<(), String> {
    // Before the mounts ask for them one by one. Where they are missing or built
    // in, the mounts say so or succeed.
    let _ = drivers::load_wished(FILE_SYSTEMS.map(str::to_owned));
    let listener = Listener::open().map_err(|error| format!("cannot hear of disks: {error}"))?;
    let root_disk = std::env::var("HOLM_DISK").ok();
    let root_disk = root_disk.as_deref();
    let deadline = now() + PATIENCE;
    let mut failures = Vec::new();
    for disk in &DISKS {
        let outcome = find(&listener, &[disk.label], root_disk, deadline)
            .and_then(|partition| attach_disk(disk, &partition));
        if let Err(reason) = outcome {
            failures.push(format!("{}: {reason}; it is in memory until the next boot", disk.label));
            stand_in(disk, &mut failures);
        }
    }
    if let Err(reason) = find(&listener, &BOOT, root_disk, deadline).and_then(mount_boot) {
        failures.push(format!("boot: {reason}"));
    }
    for folder in FOLDERS {
        if let Err(error) = std::fs::create_dir_all(folder) {
            failures.push(format!("cannot make {folder}: {error}"));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

fn find(
    listener: &Listener,
    labels: &[&str],
    root_disk: Option<&str>,
    deadline: Moment,
) -> Result<Partition, String> {
    let look = || {
        let present = present();
        labels.iter().find_map(|label| choose(&present, label, root_disk).cloned())
    };
    wait_for(listener, deadline, look, |_| ()).ok_or_else(|| {
        let disk = root_disk.unwrap_or("any disk");
        format!("no partition has this name on {disk}")
    })
}

fn attach_disk(disk: &Disk, partition: &Partition) -> Result<(), String> {
    if disk.grows
        && let Err(error) = grow::partition(partition)
    {
        kmsg::announce(&error.to_string());
    }
    let path = partition.path();
    let mut attach = Attach::default();
    let mut seen = look(partition);
    let mut step = attach.next(Outcome::Looked {
        readable: seen.is_some(),
        has_errors: seen.as_ref().is_some_and(|superblock| superblock.has_errors),
    });
    loop {
        step = match step {
            Step::Repair(depth) => {
                kmsg::announce(&format!("repairing {} ({})", disk.label, partition.device));
                let verdict = repair::run(&path, depth);
                seen = look(partition);
                attach.next(Outcome::Repaired(depth, verdict))
            }
            Step::Mount => {
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
                let options = Some(disk.options);
                let result = mount(&path, disk.mount_point, "ext4", flags, options);
                let result = result.map_err(|errno| format!("cannot be mounted: {errno}"));
                attach.next(Outcome::Mounted(result))
            }
            Step::GiveUp(reason) => return Err(reason),
            Step::Done => break,
        };
    }
    if let Some(superblock) = seen
        && let Err(error) = grow::file_system(partition, &superblock, disk.mount_point)
    {
        kmsg::announce(&error.to_string());
    }
    Ok(())
}

fn look(partition: &Partition) -> Option<Superblock> {
    let mut bytes = [0; superblock::SIZE];
    let file = File::open(partition.path()).ok()?;
    file.read_exact_at(&mut bytes, superblock::OFFSET).ok()?;
    Superblock::decode(&bytes)
}

fn stand_in(disk: &Disk, failures: &mut Vec<String>) {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let done = mount("tmpfs", disk.mount_point, "tmpfs", flags, Some(disk.stand_in));
    if let Err(errno) = done {
        failures.push(format!("{}: nor in memory: {errno}", disk.label));
    }
}

fn mount_boot(partition: Partition) -> Result<(), String> {
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Names are UTF-8; one character table, that of short names, will do.
    let options = Some(c"umask=0077,errors=continue,utf8,iocharset=cp437");
    mount(partition.path(), "/boot", "vfat", flags, options)
        .map_err(|errno| format!("cannot be mounted: {errno}"))
}

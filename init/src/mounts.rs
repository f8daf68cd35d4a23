//! The mounts of the kernel's own file systems, as one table.
//! Never mounts a disk: `storage` does.

use crate::device::efi;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use std::ffi::CStr;

/// One mount.
struct Mount {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: Option<&'static CStr>,
    /// Whether the node cannot do without it.
    needed: bool,
}

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

const fn needed(
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: Option<&'static CStr>,
) -> Mount {
    Mount { kind, target, flags, options, needed: true }
}

const fn wished(kind: &'static str, target: &'static str) -> Mount {
    Mount { kind, target, flags: SAFE, options: None, needed: false }
}

/// What stage one needs; moved into the new root afterwards.
const EARLY: [Mount; 3] = [
    needed("devtmpfs", "/dev", MountFlags::NOSUID, Some(c"mode=0755")),
    needed("proc", "/proc", SAFE, None),
    needed("sysfs", "/sys", SAFE, None),
];

/// What stage two adds, in order.
const LATE: [Mount; 9] = [
    needed(
        "tmpfs",
        "/run",
        MountFlags::NOSUID.union(MountFlags::NODEV),
        Some(c"mode=0755,size=25%"),
    ),
    needed(
        "tmpfs",
        "/tmp",
        MountFlags::NOSUID.union(MountFlags::NODEV),
        Some(c"mode=1777,size=25%"),
    ),
    needed(
        "devpts",
        "/dev/pts",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
        Some(c"mode=0620,gid=5,ptmxmode=0666"),
    ),
    needed("tmpfs", "/dev/shm", MountFlags::NOSUID.union(MountFlags::NODEV), Some(c"mode=1777")),
    needed(
        "cgroup2",
        "/sys/fs/cgroup",
        SAFE,
        Some(c"nsdelegate,memory_recursiveprot,favordynmods"),
    ),
    wished("mqueue", "/dev/mqueue"),
    wished("bpf", "/sys/fs/bpf"),
    wished("pstore", "/sys/fs/pstore"),
    wished("efivarfs", "/sys/firmware/efi/efivars"),
];

/// Whether the kernel shortens its grace periods, at the price of disturbing all
/// processors. Each module that is loaded waits for several; the kernel itself
/// does so until init is started.
pub(crate) fn hurry_grace_periods(hurry: bool) {
    // A kernel without the switch is only slower.
    let _ = std::fs::write("/sys/kernel/rcu_expedited", if hurry { "1" } else { "0" });
}

/// Mounts what stage one needs.
pub(crate) fn early() -> Result<(), (&'static str, Errno)> {
    EARLY.iter().try_for_each(perform)
}

/// Mounts what stage two needs. Goes on after a failure and gives the first.
pub(crate) fn late() -> Result<(), (&'static str, Errno)> {
    // Whoever copies these mounts and asks for it, as a pod with a volume that is
    // HostToContainer does, sees what is mounted later. The kernel makes them private;
    // what is mounted below a shared one is shared too.
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    let mut result = mount_change("/", shared).map_err(|errno| ("/ to be shared", errno));
    for wanted in &LATE {
        result = result.and(perform(wanted));
    }
    result
}

fn perform(wanted: &Mount) -> Result<(), (&'static str, Errno)> {
    if wanted.kind == "efivarfs" && !efi::is_present() {
        return Ok(());
    }
    // Below /dev and /sys the mount points are the kernel's to make, or ours.
    let _ = std::fs::create_dir(wanted.target);
    let done = mount(wanted.kind, wanted.target, wanted.kind, wanted.flags, wanted.options);
    match done {
        // Busy: stage one has mounted it already.
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(_) if !wanted.needed => Ok(()),
        Err(errno) => Err((wanted.target, errno)),
    }
}

//! Leaves the initramfs: frees its memory, makes the new root `/`, becomes its
//! init. Runs in PID 1; every step is in memory, so none blocks.

use super::{MARKER, NEW_ROOT};
use crate::watchdog::Watchdog;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat, statfs, unlinkat};
use rustix::io::Errno;
use rustix::mount::mount_move;
use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const TMPFS_MAGIC: i64 = 0x0102_1994;
const RAMFS_MAGIC: i64 = 0x8584_58f6;
/// The mounts that stage two takes over.
const MOVED: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Why the root could not be switched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A mount could not be moved.
    #[error("cannot move {0} into the new root: {1}")]
    Move(&'static str, Errno),
    /// The new root could not become `/`.
    #[error("cannot make the new root /: {0}")]
    Root(Errno),
    /// The new root has no init.
    #[error("cannot run /sbin/init of the new root: {0}")]
    Exec(std::io::Error),
}

/// Becomes stage two, with the name of the root's disk and the open watchdog.
pub(crate) fn into_new_root(disk: &str, watchdog: Option<Watchdog>) -> Result<Infallible, Error> {
    for mount in MOVED {
        let target = format!("{NEW_ROOT}{mount}");
        mount_move(mount, target.as_str()).map_err(|errno| Error::Move(mount, errno))?;
    }
    free_initramfs();
    rustix::process::chdir(NEW_ROOT).map_err(Error::Root)?;
    mount_move(".", "/").map_err(Error::Root)?;
    rustix::process::chroot(".").map_err(Error::Root)?;
    rustix::process::chdir("/").map_err(Error::Root)?;
    let mut command = Command::new("/sbin/init");
    command.env_clear().env("PATH", "/usr/bin:/usr/sbin").env("HOLM_DISK", disk);
    if let Some(descriptor) = watchdog.and_then(Watchdog::hand_over) {
        command.env("HOLM_WATCHDOG_FD", descriptor.to_string());
    }
    Err(Error::Exec(command.exec()))
}

/// Removes every file of the initramfs, which gives its memory back. Does
/// nothing unless `/` is a file system in memory with the initramfs's marker.
fn free_initramfs() {
    let in_memory = statfs("/").is_ok_and(|s| matches!(s.f_type, TMPFS_MAGIC | RAMFS_MAGIC));
    if !in_memory || !Path::new(MARKER).exists() {
        return;
    }
    let Ok(root) = rustix::fs::open("/", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) else {
        return;
    };
    if let Ok(stat) = rustix::fs::fstat(&root) {
        remove_children(root, stat.st_dev);
    }
}

/// Removes what is in `folder`, staying on the file system `device`. What
/// cannot be removed stays: it only costs memory.
fn remove_children(folder: OwnedFd, device: u64) {
    let Ok(entries) = Dir::read_from(&folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if stat.st_dev != device {
            continue;
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let _ = unlinkat(&folder, name, AtFlags::empty());
            continue;
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(child) = openat(&folder, name, flags, Mode::empty()) {
            remove_children(child, device);
        }
        let _ = unlinkat(&folder, name, AtFlags::REMOVEDIR);
    }
}

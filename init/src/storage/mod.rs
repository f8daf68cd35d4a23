//! The disks of a node: boot, state and data. Run in children of PID 1.

pub(crate) mod unmount;

use crate::clock::now;
use crate::device::partition::{choose, present};
use crate::device::uevent::Listener;
use crate::device::wait::wait_for;
use rustix::mount::{MountFlags, mount};
use std::time::Duration;

/// Finds and mounts them.
pub(crate) fn prepare() -> Result<(), String> {
    let disk = std::env::var("HOLM_DISK").ok();
    let listener = Listener::open().map_err(|error| error.to_string())?;
    let deadline = now() + Duration::from_secs(20);
    for (label, kind, target) in
        [("state", "ext4", "/state"), ("data", "ext4", "/data"), ("boot", "vfat", "/boot")]
    {
        let look = || choose(&present(), label, disk.as_deref()).cloned();
        let found = wait_for(&listener, deadline, look, |_| ());
        let found = found.ok_or_else(|| format!("no partition is named {label}"))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let flags = if label == "boot" { flags | MountFlags::RDONLY } else { flags };
        mount(found.path(), target, kind, flags, None)
            .map_err(|errno| format!("cannot mount {label}: {errno}"))?;
    }
    Ok(())
}

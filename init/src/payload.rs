//! The test machine's payload: a file system, found by its label, whose `run` is
//! run in the agent's place. Exists only with the feature `payload`, which no
//! released image has.

use crate::cmdline::Cmdline;
use crate::device::uevent::Listener;
use crate::device::wait::wait_for;
use crate::service::spec::Spec;
use crate::storage::superblock::{OFFSET, SIZE, Superblock};
use rustix::mount::{MountFlags, mount};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The kernel argument that names the label.
pub(crate) const ARGUMENT: &str = "holm.payload";
const MOUNT_POINT: &str = "/run/payload";
const PATIENCE: Duration = Duration::from_secs(20);

/// How the agent's place is filled when there is a payload.
pub(crate) fn in_place_of(agent: Spec) -> Spec {
    Spec {
        program: "/usr/sbin/holm-init",
        arguments: &["task", "payload"],
        watchdog: None,
        start_limit: None,
        ready_on_start: true,
        ..agent
    }
}

/// Finds and mounts the payload and becomes its `run`.
pub(crate) fn run() -> Result<(), String> {
    let cmdline = Cmdline::read().unwrap_or_default();
    let label = cmdline.value(ARGUMENT).ok_or("the kernel has no argument holm.payload")?;
    let listener = Listener::open().map_err(|error| error.to_string())?;
    let deadline = crate::clock::now() + PATIENCE;
    let device = wait_for(&listener, deadline, || find(label), |_| ());
    let device = device.ok_or_else(|| format!("no ext4 file system has the label {label}"))?;
    std::fs::create_dir_all(MOUNT_POINT).map_err(|error| error.to_string())?;
    mount(&device, MOUNT_POINT, "ext4", MountFlags::empty(), None)
        .map_err(|errno| format!("cannot mount {}: {errno}", device.display()))?;
    let error = Command::new(format!("{MOUNT_POINT}/run")).current_dir(MOUNT_POINT).exec();
    Err(format!("cannot run {MOUNT_POINT}/run: {error}"))
}

fn find(label: &str) -> Option<PathBuf> {
    let devices = std::fs::read_dir("/sys/class/block").ok()?.flatten();
    let mut paths = devices.map(|entry| Path::new("/dev").join(entry.file_name()));
    paths.find(|path| {
        let mut bytes = [0; SIZE];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut bytes, OFFSET));
        read.is_ok() && Superblock::decode(&bytes).is_some_and(|found| found.label == label)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::spec::Name;

    #[test]
    fn payload_is_ready_on_start_and_has_no_watchdog() {
        let spec = in_place_of(Name::Agent.spec());
        assert!(spec.ready_on_start && spec.watchdog.is_none());
        assert_eq!(spec.arguments, ["task", "payload"]);
    }
}

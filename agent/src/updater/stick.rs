//! A repository on a USB stick: found on any disk but the node's own, mounted read-only, and let go
//! of again. What is on it is trusted as little as a web server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// What `--from usb` stands for.
pub(super) const NAME: &str = "usb";
const PLACE: &str = "/run/holm/update-stick";
/// File systems that sticks have.
const KINDS: [&str; 3] = ["vfat", "ext4", "erofs"];
/// Where on a stick a repository may be.
const FOLDERS: [&str; 2] = ["holm-updates", ""];

/// A mounted stick; unmounted when it is dropped.
pub(super) struct Stick {
    /// The repository on it.
    pub(super) repository: PathBuf,
}

impl Stick {
    /// Finds a stick with a repository.
    pub(super) fn find(own_disk: &Path) -> Result<Self, String> {
        fs::create_dir_all(PLACE).map_err(|error| format!("{PLACE}: {error}"))?;
        let mut seen = Vec::new();
        for device in devices(Path::new("/sys/block"), own_disk) {
            if mount_any(&device).is_err() {
                continue;
            }
            if let Some(repository) = repository_in(Path::new(PLACE)) {
                return Ok(Self { repository });
            }
            seen.push(device.display().to_string());
            let_go();
        }
        Err(match seen.as_slice() {
            [] => "there is no stick with a file system of a known kind".to_owned(),
            seen => format!("no update repository is on {}", seen.join(", ")),
        })
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        let_go();
    }
}

fn let_go() {
    if let Err(error) = unmount(PLACE, UnmountFlags::DETACH) {
        tracing::warn!("let go of the stick: {error}");
    }
}

/// A repository has metadata.
fn repository_in(place: &Path) -> Option<PathBuf> {
    let folders = FOLDERS.iter().map(|folder| place.join(folder));
    folders.into_iter().find(|folder| folder.join("metadata").is_dir())
}

fn mount_any(device: &Path) -> io::Result<()> {
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mut last = Err(io::ErrorKind::Unsupported.into());
    for kind in KINDS {
        match mount(device, PLACE, kind, flags, None) {
            Ok(()) => return Ok(()),
            Err(error) => last = Err(error.into()),
        }
    }
    last
}

/// Partitions, and disks that have none, of every disk but `own`.
fn devices(block: &Path, own: &Path) -> Vec<PathBuf> {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    };
    let mut found = Vec::new();
    for disk in names(block) {
        let folder = block.join(&disk);
        // Verity devices, loops and the like hang on no bus.
        let is_own = fs::canonicalize(&folder).ok().as_deref() == Some(own);
        if is_own || !folder.join("device").exists() {
            continue;
        }
        let parts = names(&folder);
        let parts = parts.iter().filter(|name| folder.join(name).join("partition").exists());
        let mut parts: Vec<_> = parts.map(|name| Path::new("/dev").join(name)).collect();
        if parts.is_empty() {
            parts.push(Path::new("/dev").join(&disk));
        }
        found.extend(parts);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_disk_and_devices_without_a_bus_are_no_sticks() {
        let root = tempfile::tempdir().unwrap();
        let block = root.path();
        for folder in
            ["sda/device", "sda/sda1", "sdb/device", "sdb/sdb1", "sdb/queue", "sdc/device", "loop0"]
        {
            fs::create_dir_all(block.join(folder)).unwrap();
        }
        for part in ["sda/sda1", "sdb/sdb1"] {
            fs::write(block.join(part).join("partition"), "1").unwrap();
        }
        let own = fs::canonicalize(block.join("sda")).unwrap();
        assert_eq!(devices(block, &own), [Path::new("/dev/sdb1"), Path::new("/dev/sdc")]);
    }

    #[test]
    fn repository_is_at_the_top_or_in_its_folder() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(repository_in(root.path()), None);
        fs::create_dir_all(root.path().join("metadata")).unwrap();
        assert_eq!(repository_in(root.path()), Some(root.path().join("")));
        fs::create_dir_all(root.path().join("holm-updates/metadata")).unwrap();
        assert_eq!(repository_in(root.path()), Some(root.path().join("holm-updates")));
    }
}

//! Device nodes of the host, described for the specification. Reads the host's `/dev`, makes nothing.

use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType};

use super::ContainerConfig;

/// Mounted or linked by the runtime itself, for each container anew.
const NOT_SHARED: &[&str] = &["console", "core", "fd", "mqueue", "ptmx", "pts", "shm"];
/// `/dev/bus/usb/001/001` is the deepest that there is.
const MAX_DEPTH: usize = 6;

/// The nodes that a container gets beside the default ones.
///
/// # Errors
/// A configured device is absent, or is no device.
pub fn of(config: &ContainerConfig) -> std::io::Result<Vec<LinuxDevice>> {
    let mut devices = Vec::new();
    if config.privileged {
        let root = Path::new("/dev");
        walk(root, root, &mut devices)?;
    }
    for device in &config.devices {
        let node = describe(&device.source, &device.destination)?.ok_or_else(|| {
            let message = format!("{} is not a device", device.source.display());
            Error::new(ErrorKind::InvalidInput, message)
        })?;
        devices.retain(|known| known.path() != node.path());
        devices.push(node);
    }
    Ok(devices)
}

fn walk(folder: &Path, root: &Path, devices: &mut Vec<LinuxDevice>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if folder == root && NOT_SHARED.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let path = entry.path();
        let below = path.strip_prefix(root).unwrap_or(&path);
        // Nodes come and go while this runs: one that is gone is not shared.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && below.components().count() < MAX_DEPTH => {
                walk(&path, root, devices)?;
            }
            Ok(kind) if kind.is_char_device() || kind.is_block_device() => {
                devices.extend(describe(&path, &Path::new("/dev").join(below)).ok().flatten());
            }
            _ => {}
        }
    }
    Ok(())
}

/// `None` when `source` is something else than a device.
fn describe(source: &Path, destination: &Path) -> std::io::Result<Option<LinuxDevice>> {
    let named = |error: Error| Error::new(error.kind(), format!("{}: {error}", source.display()));
    let metadata = std::fs::metadata(source).map_err(named)?;
    let kind = metadata.file_type();
    let typ = match (kind.is_char_device(), kind.is_block_device()) {
        (true, _) => LinuxDeviceType::C,
        (_, true) => LinuxDeviceType::B,
        _ => return Ok(None),
    };
    let device = LinuxDeviceBuilder::default()
        .path(destination)
        .typ(typ)
        .major(i64::from(rustix::fs::major(metadata.rdev())))
        .minor(i64::from(rustix::fs::minor(metadata.rdev())))
        .file_mode(metadata.mode() & 0o7777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build();
    device.map(Some).map_err(Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_described_by_its_numbers() {
        let null = describe(Path::new("/dev/null"), Path::new("/dev/nothing")).unwrap().unwrap();
        assert_eq!(null.path(), Path::new("/dev/nothing"));
        assert_eq!((null.typ(), null.major(), null.minor()), (LinuxDeviceType::C, 1, 3));
    }

    #[test]
    fn what_is_no_device_or_absent_is_not_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(describe(dir.path(), dir.path()).unwrap(), None);
        let error = describe(&dir.path().join("gone"), dir.path()).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }

    #[test]
    fn the_whole_folder_is_walked_without_what_each_container_has_anew() {
        let mut devices = Vec::new();
        walk(Path::new("/dev"), Path::new("/dev"), &mut devices).unwrap();
        let has = |path: &str| devices.iter().any(|device| device.path() == Path::new(path));
        assert!(has("/dev/null"));
        assert!(!has("/dev/ptmx") && !has("/dev/console") && !has("/dev/pts/0"));
    }
}

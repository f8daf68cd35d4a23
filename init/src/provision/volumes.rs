//! Looks for volumes that bring a document: sticks labelled `HOLM`, seeds labelled
//! `CIDATA`. Reads them only, and never leaves one mounted.

use super::kept::{Kept, Source};
use holm_provision::{label, user_data};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

const MOUNT_POINT: &str = "/run/holm/volume";
/// A document has 64 KiB at most; one that is longer is refused when it is read.
const LONGEST: u64 = (64 << 10) + 1;
/// Devices that are no volumes of somebody's.
const OWN: [&str; 6] = ["dm-", "loop", "ram", "zram", "mtd", "nbd"];

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Sticks.
    pub(crate) stick: bool,
    /// Seeds.
    pub(crate) seed: bool,
}

/// Takes the documents of all volumes that are there. Gives what is new, in words,
/// and what is wrong.
pub(crate) fn collect(wanted: Wanted, kept: &Kept) -> (Vec<String>, Vec<String>) {
    let (mut news, mut problems) = (Vec::new(), Vec::new());
    for device in devices(Path::new("/sys/class/block")) {
        let path = Path::new("/dev").join(&device);
        let Some(volume) = volume_on(&path) else {
            continue;
        };
        let source = match volume.label.to_ascii_uppercase().as_str() {
            "HOLM" if wanted.stick => Source::Stick,
            "CIDATA" if wanted.seed => Source::Seed,
            _ => continue,
        };
        match take(source, &path, volume.kind) {
            Ok(None) => {}
            Ok(Some(text)) => match kept.keep(source, &text) {
                Ok(true) => {
                    news.push(format!("{device}, labelled {}, brings a document", volume.label))
                }
                Ok(false) => {}
                Err(error) => {
                    problems.push(format!("{device}: its document cannot be kept: {error}"))
                }
            },
            Err(reason) => problems.push(format!("{device}, labelled {}: {reason}", volume.label)),
        }
    }
    (news, problems)
}

/// The block devices that may be volumes, those with partitions left out.
fn devices(class: &Path) -> Vec<String> {
    let entries = fs::read_dir(class).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .filter(|entry| {
            let uevent = fs::read_to_string(entry.path().join("uevent")).unwrap_or_default();
            // Partitions with a name are those of a Holm disk, or of an installed system.
            !uevent.lines().any(|line| line.starts_with("PARTNAME="))
                && fs::read_to_string(entry.path().join("size"))
                    .is_ok_and(|size| size.trim() != "0")
        })
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !OWN.iter().any(|own| name.starts_with(own)))
        .collect();
    found.sort();
    found
}

fn volume_on(path: &Path) -> Option<holm_provision::Volume> {
    let device = File::open(path).ok()?;
    label(&mut |offset, length| {
        let mut bytes = vec![0; length];
        device.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    })
}

/// The document on the volume, if it has one.
fn take(source: Source, device: &Path, kind: &str) -> Result<Option<String>, String> {
    fs::create_dir_all(MOUNT_POINT).map_err(|error| format!("no place to mount: {error}"))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(device, MOUNT_POINT, kind, flags, None)
        .map_err(|errno| format!("cannot be mounted as {kind}: {errno}"))?;
    let result = read(source, Path::new(MOUNT_POINT));
    // Lazily, should anything still be open: it is read-only.
    let _ = unmount(MOUNT_POINT, UnmountFlags::DETACH);
    result
}

fn read(source: Source, folder: &Path) -> Result<Option<String>, String> {
    let name = if source == Source::Seed { "user-data" } else { "holm.toml" };
    let mut bytes = Vec::new();
    let read = File::open(folder.join(name)).and_then(|f| f.take(LONGEST).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{name} cannot be read: {error}")),
        Ok(_) => {}
    }
    if source == Source::Seed {
        return user_data(&bytes).map_err(|error| error.to_string());
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_volumes_of_others_are_looked_at() {
        let class = tempfile::tempdir().unwrap();
        let device = |name: &str, uevent: &str, size: &str| {
            let folder = class.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("uevent"), uevent).unwrap();
            fs::write(folder.join("size"), size).unwrap();
        };
        device("vda2", "DEVNAME=vda2\nPARTNAME=root-a\n", "131072\n");
        device("sda1", "DEVNAME=sda1\nPARTN=1\n", "1024\n");
        device("sr0", "DEVNAME=sr0\n", "2048\n");
        device("sdb", "DEVNAME=sdb\n", "0\n");
        device("dm-0", "DEVNAME=dm-0\n", "8\n");
        device("loop0", "DEVNAME=loop0\n", "8\n");
        assert_eq!(devices(class.path()), ["sda1", "sr0"]);
    }

    #[test]
    fn file_of_the_volume_is_read_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(Source::Stick, folder.path()), Ok(None));
        fs::write(folder.path().join("holm.toml"), "[node]\n").unwrap();
        fs::write(folder.path().join("user-data"), "#cloud-config\n").unwrap();
        assert_eq!(read(Source::Stick, folder.path()), Ok(Some("[node]\n".into())));
        assert!(read(Source::Seed, folder.path()).unwrap_err().contains("#cloud-config"));
        fs::write(folder.path().join("holm.toml"), [0xff]).unwrap();
        assert_eq!(read(Source::Stick, folder.path()), Err("holm.toml is not UTF-8".into()));
    }

    #[test]
    fn volume_made_by_debians_tools_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stick.img");
        File::create(&path).unwrap().set_len(4 << 20).unwrap();
        let made = std::process::Command::new("mkfs.vfat").args(["-n", "HOLM"]).arg(&path).output();
        assert!(made.expect("ci/setup installs it").status.success());
        let volume = volume_on(&path).unwrap();
        assert_eq!((volume.kind, volume.label.as_str()), ("vfat", "HOLM"));
    }
}

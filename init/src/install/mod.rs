//! An image that installs itself: in the agent's place, the image on the data partition is written
//! to a disk that the node document or a person names. Runs in a child of PID 1 and may block.
//! Thin: which disk may be taken is `plan`'s decision.

mod console;
mod disks;
mod plan;
mod write;

use crate::device::partition::{choose, present};
use crate::device::uevent::Listener;
use crate::device::wait::wait_for;
use crate::kmsg;
use crate::service::spec::Spec;
use crate::syscalls::partition;
use console::Consoles;
use holm_config::{AfterInstall, NodeConfig};
use plan::{Answer, Decision};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

/// The kernel argument of such an image.
pub(crate) const ARGUMENT: &str = "holm.install";
/// The status by which the task asks for a reboot instead of a power-off.
pub(crate) const REBOOT: i32 = 3;

const IMAGE: &str = "/data/install/holm.img";
const IN_FORCE: &str = "/run/holm/holm.toml";
const NEW_BOOT: &str = "/run/holm/installed";
const PATIENCE: Duration = Duration::from_secs(20);
/// What of the boot partition belongs to the image, not to its owner.
const OF_THE_IMAGE: [&str; 2] = ["EFI", "loader"];

/// How the agent's place is filled.
pub(crate) fn in_place_of(agent: Spec) -> Spec {
    Spec {
        program: "/usr/sbin/holm-init",
        arguments: &["task", "install"],
        watchdog: None,
        start_limit: None,
        ready_on_start: true,
        ..agent
    }
}

/// Installs, and says whether a reboot is wanted. An error is shown, and PID 1 tries again.
pub(crate) fn run() -> Result<AfterInstall, String> {
    let done = attempt();
    if let Err(reason) = &done {
        kmsg::announce(&format!("install: failed: {reason}"));
    }
    done
}

fn attempt() -> Result<AfterInstall, String> {
    let text = fs::read_to_string(IN_FORCE).unwrap_or_default();
    // What is in force was accepted before.
    let config: NodeConfig = holm_config::parse(&text, IN_FORCE).unwrap_or_default();
    let image = File::open(IMAGE).map_err(|error| format!("cannot open {IMAGE}: {error}"))?;
    let size = image.metadata().map_err(|error| format!("cannot measure {IMAGE}: {error}"))?.len();
    let own = std::env::var("HOLM_DISK").ok();
    let seen = disks::present(own.as_deref());
    let name = match plan::decide(&seen, &config.install, size) {
        Decision::Write(name) => name,
        Decision::Ask(why) => {
            kmsg::announce(&format!("install: nothing is written yet: {why}"));
            ask(own.as_deref(), size)?
        }
    };
    install(&image, size, &name, &text)?;
    kmsg::announce(&format!("install: done: {name} boots without this medium; take it out"));
    Ok(config.install.after)
}

/// Asks until a disk is named that can be taken.
fn ask(own: Option<&str>, size: u64) -> Result<String, String> {
    let mut consoles =
        Consoles::open().map_err(|error| format!("no console to ask on: {error}"))?;
    loop {
        // Anew each time: a person may plug one in.
        let seen = disks::present(own);
        let menu = plan::menu(&seen, size).join("\n");
        consoles.say(&format!("\nHolm can be installed to:\n{menu}\nName of the disk: "));
        let line = consoles.line().ok_or("no console is left to ask on")?;
        match plan::answer(&line, &disks::present(own), size) {
            Answer::Write(name) => return Ok(name),
            Answer::Say(text) => consoles.say(&format!("\n{text}\n")),
        }
    }
}

fn install(image: &File, size: u64, name: &str, document: &str) -> Result<(), String> {
    let path = Path::new("/dev").join(name);
    let failed = |what: &str, error: io::Error| format!("cannot {what} {name}: {error}");
    let is_disk = fs::metadata(&path).is_ok_and(|found| found.file_type().is_block_device());
    if !is_disk {
        return Err(format!("{} is no disk any more", path.display()));
    }
    // Exclusive: whoever has mounted it, or a part of it, is not written over.
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::EXCL | rustix::fs::OFlags::CLOEXEC;
    let disk = rustix::fs::open(&path, flags, rustix::fs::Mode::empty());
    let disk = File::from(disk.map_err(|error| failed("open", error.into()))?);
    kmsg::announce(&format!("install: writes {name}"));
    let mut shown = 0;
    write::write(image, size, &disk, |percent| {
        if percent >= shown + 10 {
            shown = percent;
            kmsg::announce(&format!("install: {percent}%"));
        }
    })
    .map_err(|error| format!("{name}: {error}"))?;
    let listener = Listener::open().map_err(|error| format!("cannot hear of disks: {error}"))?;
    partition::reread(&disk).map_err(|error| failed("read the partitions of", error))?;
    drop(disk);
    let deadline = crate::clock::now() + PATIENCE;
    let boot =
        wait_for(&listener, deadline, || choose(&present(), "boot", Some(name)).cloned(), |_| ());
    let boot = boot.ok_or_else(|| format!("{name} has no partition boot after it was written"))?;
    hand_over(&boot.path(), document)
        .map_err(|error| format!("cannot put the node document on {name}: {error}"))
}

/// Puts the document that is in force, and what its owner laid beside it, onto the new disk.
fn hand_over(boot: &Path, document: &str) -> io::Result<()> {
    fs::create_dir_all(NEW_BOOT)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(boot, NEW_BOOT, "vfat", flags, None)?;
    let copied = copy_owned(Path::new("/boot"), Path::new(NEW_BOOT), document);
    // Unmounting writes all of it, and says what that came to nowhere else.
    let flushed = File::open(NEW_BOOT).and_then(|folder| Ok(rustix::fs::syncfs(&folder)?));
    let unmounted = unmount(NEW_BOOT, UnmountFlags::empty());
    copied.and(flushed).and(Ok(unmounted?))
}

fn copy_owned(from: &Path, to: &Path, document: &str) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let is_owned =
            OF_THE_IMAGE.iter().all(|name| !entry.file_name().eq_ignore_ascii_case(name));
        if is_owned {
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    if !document.is_empty() {
        fs::write(to.join("holm.toml"), document)?;
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_files_go_along_and_the_images_do_not() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for path in ["EFI/Linux/holm-a+3.efi", "loader/loader.conf", "manifests/web.yaml", "ca.pem"]
        {
            let path = from.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
        }
        fs::write(from.path().join("holm.toml"), "# not in force").unwrap();
        copy_owned(from.path(), to.path(), "[node]\n").unwrap();
        let mut names: Vec<_> =
            fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["ca.pem", "holm.toml", "manifests"]);
        assert_eq!(fs::read_to_string(to.path().join("holm.toml")).unwrap(), "[node]\n");
        assert!(to.path().join("manifests/web.yaml").exists());
    }

    #[test]
    fn installer_is_no_agent_that_could_hang() {
        let spec = in_place_of(crate::service::spec::Name::Agent.spec());
        assert!(spec.ready_on_start && spec.watchdog.is_none());
        assert_eq!(spec.arguments, ["task", "install"]);
    }
}

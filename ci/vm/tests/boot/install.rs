//! An image that installs itself: unattended onto a blank disk, which then boots on its own; and
//! onto one that holds data only when a person at the console says so.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, Scenario, ScenarioError};

const GIB: u64 = 1 << 30;
const INSTALL_WAIT: Duration = Duration::from_secs(8 * 60);

/// The installer that `ci/test --all` builds beside the image.
fn installer() -> PathBuf {
    let image = std::env::var_os("HOLM_IMAGE").map(PathBuf::from);
    let image = image.expect("HOLM_IMAGE is set; 'ci/test boot' builds one and names it");
    image.with_extension("installer.img")
}

fn disk(scenario: &Scenario, size: u64) -> PathBuf {
    let path = scenario.folder().join("internal.raw");
    File::create(&path).and_then(|file| file.set_len(size)).expect("an empty disk");
    path
}

#[test]
fn blank_disk_is_installed_unattended_and_boots_on_its_own() -> Result<(), ScenarioError> {
    let mut stick = Scenario::with_image("install", &installer())?;
    stick.write_document("[node]\nhostname = \"edge-9\"\n\n[install]\ndisk = \"auto\"\n")?;
    stick.disk.write_boot_file("manifests/note.txt", b"goes along")?;
    let internal = disk(&stick, 2 * GIB);
    stick.machine.disks.push(internal.clone());
    let vm = stick.start()?;
    vm.console.expect("install: writes vdb", BOOT_WAIT)?;
    vm.console.expect("install: done: vdb boots", INSTALL_WAIT)?;
    vm.wait_power_off(Duration::from_secs(60))?;

    let node = Scenario::with_image("installed", &internal)?;
    node.add_shell()?;
    let (_vm, mut shell) = node.boot_with_shell()?;
    assert_eq!(shell.succeed("cat /host/proc/sys/kernel/hostname")?, "edge-9");
    assert_eq!(shell.succeed("cat /host/boot/manifests/note.txt")?, "goes along");
    let line = shell.succeed("cat /host/proc/cmdline")?;
    assert!(!line.contains("holm.install"), "a node does not install: {line}");
    Ok(())
}

#[test]
fn disk_with_data_is_left_alone_until_a_person_says_erase() -> Result<(), ScenarioError> {
    let mut stick = Scenario::with_image("install-data", &installer())?;
    stick.write_document("[install]\ndisk = \"auto\"\nafter = \"power-off\"\n")?;
    let internal = disk(&stick, 2 * GIB);
    let held = || File::options().read(true).write(true).open(&internal).expect("the disk");
    held().write_all_at(b"precious", 4096).expect("data on it");
    stick.machine.disks.push(internal.clone());
    let vm = stick.start()?;
    vm.console.expect("install: nothing is written yet: no blank disk is built in", BOOT_WAIT)?;
    vm.console.expect("vdb  2.1 GB", BOOT_WAIT)?;
    vm.type_line("vdb")?;
    vm.console.expect("vdb holds data", BOOT_WAIT)?;
    vm.type_line("erase vda")?;
    vm.console.expect("vda is what this system runs from", BOOT_WAIT)?;
    let mut bytes = [0; 8];
    held().read_exact_at(&mut bytes, 4096).expect("readable");
    assert_eq!(&bytes, b"precious", "nothing was written");

    vm.type_line("erase vdb")?;
    vm.console.expect("install: done: vdb boots", INSTALL_WAIT)?;
    vm.wait_power_off(Duration::from_secs(60))?;
    let node = Scenario::with_image("installed-over", Path::new(&internal))?;
    node.boot()?;
    Ok(())
}

//! Documents from elsewhere: a stick, a seed, and the page for entering one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use holm_vm::http;
use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};

const WAIT: Duration = Duration::from_secs(60);

/// A FAT volume with one file.
fn volume(
    scenario: &Scenario,
    label: &str,
    name: &str,
    text: &str,
) -> Result<PathBuf, ScenarioError> {
    let file = scenario.write_file("content", text.as_bytes())?;
    let path = scenario.folder().join("volume.img");
    File::create(&path).and_then(|file| file.set_len(8 << 20)).expect("the scenario's folder");
    run(Command::new("mkfs.vfat").args(["-n", label]).arg(&path));
    run(Command::new("mcopy").arg("-i").args([&path, &file]).arg(format!("::{name}")));
    Ok(path)
}

fn run(command: &mut Command) {
    let output = command.output().expect("ci/setup installs it");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn as_stick(path: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("-device", "qemu-xhci".to_owned()),
        ("-drive", format!("if=none,id=stick,format=raw,file={}", path.display())),
        ("-device", "usb-storage,drive=stick,removable=on".to_owned()),
    ]
}

#[test]
fn document_of_a_stick_is_taken_and_outlives_it() -> Result<(), ScenarioError> {
    let mut scenario = Scenario::with_shell("stick")?;
    let stick = volume(&scenario, "HOLM", "holm.toml", "[node]\nhostname = \"from-stick\"\n")?;
    scenario.machine.devices = as_stick(&stick);
    let vm = scenario.start()?;
    vm.console.expect("labelled HOLM, brings a document", BOOT_WAIT)?;
    vm.console.expect(READY, BOOT_WAIT)?;
    // Where the stick was slow the node starts again for it.
    let mut shell = vm.shell(BOOT_WAIT)?;
    let name = "cat /host/proc/sys/kernel/hostname";
    if shell.succeed(name)? != "from-stick" {
        vm.console.expect(READY, BOOT_WAIT)?;
        shell = vm.shell(BOOT_WAIT)?;
    }
    assert_eq!(shell.succeed(name)?, "from-stick");
    let log = shell.succeed("chroot /host /usr/sbin/holm-init ctl log 400")?;
    assert!(log.contains("the stick HOLM is taken; /boot/holm.toml is not"), "{log}");
    vm.cut_power();

    scenario.machine.devices.clear();
    let (_vm, mut shell) = scenario.boot_with_shell()?;
    assert_eq!(shell.succeed(name)?, "from-stick");
    Ok(())
}

#[test]
fn seed_of_a_cloud_names_the_node() -> Result<(), ScenarioError> {
    let mut scenario = Scenario::new("seed")?;
    scenario.add_shell()?;
    let seed = volume(&scenario, "CIDATA", "user-data", "[node]\nhostname = \"from-seed\"\n")?;
    scenario.machine.disks.push(seed);
    let (_vm, mut shell) = scenario.boot_with_shell()?;
    shell.wait_until("cat /host/proc/sys/kernel/hostname", WAIT, |shown| {
        shown.text == "from-seed"
    })?;
    Ok(())
}

#[test]
fn document_is_entered_on_the_page_that_the_console_shows() -> Result<(), ScenarioError> {
    let mut scenario = Scenario::new("page-entry")?;
    scenario.add_shell()?;
    scenario.machine.append = "holm.page=on".to_owned();
    scenario.machine.links = vec![holm_vm::machine::Link::User { forwarded_ports: vec![80, 8080] }];
    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    shell.wait_until("cat /host/run/holm/provision.json", WAIT, |shown| shown.status == 0)?;
    vm.type_keys("\r")?;
    let drawn = vm.console.expect_drawn("http://10.0.2.15", WAIT)?;
    let (_, rest) = drawn.split_once("http://10.0.2.15/").expect("the address ends in the code");
    let code: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    let code = code.get(..10).expect("the code has ten letters");

    let address = vm.forwarded(80)?;
    let page = http::fetch(address, &format!("/{code}"), WAIT)?;
    assert!(String::from_utf8_lossy(&page).contains("<textarea"));
    let body = "document=%5Bnode%5D%0D%0Ahostname+%3D+%22from-page%22%0D%0A";
    http::post(address, &format!("/{code}"), body, WAIT)?;
    vm.console.expect("a document was entered on the page", WAIT)?;
    vm.console.expect(READY, BOOT_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    assert_eq!(shell.succeed("cat /host/proc/sys/kernel/hostname")?, "from-page");
    Ok(())
}

//! `holm-image flash` in a machine with USB sticks: it takes the one that is meant and refuses all
//! others, and the stick that it wrote boots as the node that was asked for.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_vm::payload::{Payload, Report};
use holm_vm::scenario::{Scenario, ScenarioError};

const WAIT: Duration = Duration::from_secs(10 * 60);
const GIB: u64 = 1 << 30;

#[test]
fn stick_is_written_in_a_machine_and_boots_as_the_node_asked_for() -> Result<(), ScenarioError> {
    let machine = std::env::var_os("HOLM_PAYLOAD_IMAGE");
    let machine = machine.expect("HOLM_PAYLOAD_IMAGE is set; 'ci/test boot' builds one");
    let image = std::env::var_os("HOLM_IMAGE").map(PathBuf::from);
    let image = image.expect("HOLM_IMAGE is set; 'ci/test boot' builds one");

    let mut scenario = Scenario::with_image("flash", Path::new(&machine))?;
    let stick = empty_disk(&scenario, "stick.raw", 2 * GIB);
    let small = empty_disk(&scenario, "small.raw", 64 << 20);
    scenario.machine.memory_mib = 512;
    scenario.machine.usb_disks = vec![stick.clone(), small];
    let flash = "./holm-image flash --yes";
    let payload = Payload {
        files: vec![
            (holm_image(), "holm-image".to_owned()),
            (image.with_extension("img.zst"), "holm.img.zst".to_owned()),
        ],
        commands: [
            "./holm-image flash --list",
            &format!("{flash} holm.img.zst /dev/vda"),
            &format!("{flash} --internal holm.img.zst /dev/vda"),
            &format!("{flash} holm.img.zst /dev/sdb"),
            &format!("{flash} holm.img.zst /dev/nothing"),
            // The only disk that fits and is blank needs no name.
            &format!("{flash} --hostname edge-7 holm.img.zst"),
            "mkdir -p /tmp/boot; mount -t vfat -o ro /dev/sda1 /tmp/boot && cat /tmp/boot/holm.toml",
            &format!("{flash} holm.img.zst /dev/sda"),
            "umount /tmp/boot",
            &format!("{flash} holm.img.zst /dev/sda1"),
            // Now it holds something, so a person has to name it.
            &format!("{flash} holm.img.zst"),
        ]
        .map(str::to_owned)
        .into(),
    };
    let reports = payload.run(&mut scenario, WAIT)?;
    for report in &reports {
        println!("$ {}\n{}\n= {}", report.command, report.text(), report.status);
    }
    let [list, built_in, system, tiny, nothing, written, document, mounted, unmounted, part, again] =
        &reports[..]
    else {
        panic!("{} of 11 commands ended", reports.len());
    };
    assert!(list.status == 0 && list.text().contains("/dev/sda"), "{}", list.text());
    assert!(!list.text().contains("/dev/vd"), "built-in disks are not listed: {}", list.text());
    refused(built_in, "/dev/vda");
    refused(system, "it is never written");
    refused(tiny, "is too small");
    refused(nothing, "no such device");
    assert_eq!(written.status, 0, "{}", written.text());
    assert!(written.text().contains("/dev/sda: ") && written.text().contains("read back in"));
    assert!(document.text().contains("edge-7"), "{}", document.text());
    refused(mounted, "unmount it first");
    assert_eq!(unmounted.status, 0, "{}", unmounted.text());
    refused(part, "not a whole disk");
    refused(again, "name the target");

    let scenario = Scenario::with_image("flash-boot", &stick)?;
    scenario.add_shell()?;
    let (_vm, mut shell) = scenario.boot_with_shell()?;
    assert_eq!(shell.succeed("cat /host/proc/sys/kernel/hostname")?, "edge-7");
    Ok(())
}

fn refused(report: &Report, reason: &str) {
    let text = report.text();
    assert!(report.status == 1 && text.contains(reason), "{}: {text}", report.command);
}

fn empty_disk(scenario: &Scenario, name: &str, size: u64) -> PathBuf {
    let path = scenario.folder().join(name);
    File::create(&path).and_then(|file| file.set_len(size)).expect("an empty disk");
    path
}

/// The program, linked statically, from the list that nextest makes of what it built.
fn holm_image() -> PathBuf {
    let list = std::env::var_os("HOLM_TEST_BINARIES");
    let list = list.expect("HOLM_TEST_BINARIES names nextest's list; 'ci/test boot' makes it");
    let text = std::fs::read_to_string(list).expect("nextest's list can be read");
    let list: serde_json::Value = serde_json::from_str(&text).expect("nextest's list is JSON");
    let meta = &list["rust-build-meta"];
    let folder = meta["target-directory"].as_str().expect("nextest names its folder");
    let binaries = meta["non-test-binaries"].as_object().expect("nextest lists programs");
    let mut all = binaries.values().filter_map(|list| list.as_array()).flatten();
    let found = all.find(|binary| binary["name"] == "holm-image").expect("holm-image was built");
    Path::new(folder).join(found["path"].as_str().expect("it has a path"))
}

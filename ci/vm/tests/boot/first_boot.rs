//! A fresh image on a bigger disk: it boots, grows, serves a page and commits its slot.

use std::collections::BTreeSet;
use std::time::Duration;

use holm_vm::http;
use holm_vm::phases;
use holm_vm::scenario::{PAGE, Scenario, ScenarioError};

const GIB: u64 = 1 << 30;

#[test]
fn fresh_image_boots_grows_serves_a_page_and_commits_its_slot() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell_and_page("first-boot")?;
    scenario.disk.grow_to(2 * GIB)?;
    let (mut vm, mut shell) = scenario.boot_with_shell()?;

    let lines = vm.console.lines();
    let boot = phases::last_boot(lines.iter().map(|line| line.text.as_str()));
    // As a set: storage runs beside modules, and the services end in any order.
    let names: BTreeSet<_> = boot.phases.iter().map(|phase| phase.name.as_str()).collect();
    let expected = BTreeSet::from([
        "initramfs",
        "root",
        "mounts",
        "cgroups",
        "modules",
        "identity",
        "storage",
        "configuration",
        "network",
        "time",
        "agent",
        "ready",
    ]);
    assert_eq!(names, expected);
    let failed: Vec<_> = boot.phases.iter().filter(|phase| phase.failure.is_some()).collect();
    assert!(failed.is_empty(), "{failed:?}");

    let address = vm.forwarded(8080)?;
    let page = http::fetch(address, "/", Duration::from_secs(60))?;
    assert_eq!(String::from_utf8_lossy(&page), PAGE);

    assert_eq!(shell.succeed("cat /host/proc/sys/kernel/hostname")?, "edge-1");
    let root = shell.succeed("grep ' /host ' /proc/self/mounts")?;
    assert!(root.starts_with("/dev/") && root.contains(" ro,"), "{root}");
    let device = shell.succeed("cat /host/sys/block/dm-0/dm/uuid")?;
    assert!(device.contains("VERITY"), "the root is not verified: {device}");
    let kilobytes: u64 = shell
        .succeed("df -k /host/data | tail -n 1 | sed 's/  */ /g' | cut -d' ' -f2")?
        .parse()
        .expect("df prints numbers");
    assert!(kilobytes > 1_000_000, "data did not grow: {kilobytes} KiB");
    let controllers = shell.succeed("cat /host/sys/fs/cgroup/cgroup.controllers")?;
    for controller in ["cpu", "memory", "pids", "io"] {
        assert!(controllers.split(' ').any(|name| name == controller), "{controllers}");
    }
    let identity = shell.succeed("cat /host/etc/machine-id")?;
    assert!(identity.len() == 32 && identity.bytes().all(|b| b.is_ascii_hexdigit()), "{identity}");

    // The slot is committed after ready: its boot count is gone from its name.
    shell.wait_until("ls /host/boot/EFI/Linux", Duration::from_secs(30), |listed| {
        listed.text == "holm-a.efi"
    })?;
    Ok(())
}

//! A node document with a mistake: the node runs on its last good one and says where the mistake is.

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};

const BROKEN: &str = "[node]\nhostnme = \"edge-2\"\n";

#[test]
fn broken_document_leaves_the_node_on_its_last_good_one() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("broken")?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    // Accepted documents are flushed before ready, so even a cut leaves the last good one.
    assert_eq!(shell.succeed("cat /host/proc/sys/kernel/hostname")?, "edge-1");
    vm.cut_power();

    scenario.write_document(BROKEN)?;
    let vm = scenario.start()?;
    let complaint = vm.console.expect("holm.toml:2", BOOT_WAIT)?.text;
    assert!(complaint.contains("hostnme") && complaint.contains("hostname"), "{complaint}");
    vm.console.expect(READY, BOOT_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    assert_eq!(shell.succeed("cat /host/proc/sys/kernel/hostname")?, "edge-1");
    assert!(shell.succeed("cat /host/run/holm/holm.toml")?.contains("edge-1"));
    // The person who made the mistake finds the file as it was.
    assert_eq!(format!("{}\n", shell.succeed("cat /host/boot/holm.toml")?), BROKEN);
    Ok(())
}

#[test]
fn broken_document_on_a_fresh_node_still_boots() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("broken-fresh")?;
    scenario.write_document("[network\n")?;
    let vm = scenario.start()?;
    vm.console.expect("holm.toml:1", BOOT_WAIT)?;
    vm.console.expect(READY, BOOT_WAIT)?;
    Ok(())
}

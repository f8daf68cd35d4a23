//! A new document that costs the node its connectivity undoes itself; one that does not stays.

use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};

const WAIT: Duration = Duration::from_secs(90);
/// A gateway that nobody is.
const CUT_OFF: &str = "\
[node]
hostname = \"cut-off\"
[provisioning]
confirm-within = \"30s\"
[[network.links]]
name = \"eth0\"
addresses = [\"192.0.2.10/24\"]
gateways = [\"192.0.2.1\"]
";

#[test]
fn document_that_costs_the_connectivity_is_undone() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("trial")?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    shell.wait_until("cat /host/state/config/connected", WAIT, |shown| shown.status == 0)?;
    let link =
        shell.succeed("ls /host/sys/class/net | grep -v -e lo -e holm -e dummy | head -n 1")?;
    vm.cut_power();

    scenario.write_document(&CUT_OFF.replace("eth0", &link))?;
    let vm = scenario.start()?;
    vm.console.expect("the node document is on trial", BOOT_WAIT)?;
    vm.console.expect("is undone; starting again", BOOT_WAIT)?;
    vm.console.expect("cost the node its connectivity", BOOT_WAIT)?;
    vm.console.expect(READY, BOOT_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    assert_eq!(shell.succeed("cat /host/proc/sys/kernel/hostname")?, "edge-1");
    vm.cut_power();

    // One that leaves the network alone proves itself.
    scenario.write_document("[node]\nhostname = \"edge-2\"\n")?;
    let vm = scenario.start()?;
    vm.console.expect("the node document is on trial", BOOT_WAIT)?;
    vm.console.expect("the node document stays (the node is connected)", BOOT_WAIT)?;
    Ok(())
}

//! A node without any network hardware is ready and runs its pods.

use std::time::Duration;

use holm_vm::scenario::{Scenario, ScenarioError};

#[test]
fn node_without_a_network_is_ready_and_runs_its_pods() -> Result<(), ScenarioError> {
    let mut scenario = Scenario::with_shell_and_page("no-network")?;
    scenario.machine.links.clear();
    let (_vm, mut shell) = scenario.boot_with_shell()?;
    let links = shell.succeed("ls /host/sys/class/net")?;
    assert!(!links.contains("eth") && !links.contains("enp"), "{links}");
    // The page is served inside the node all the same.
    shell.wait_until("wget -q -O - http://127.0.0.1:8080/", Duration::from_secs(60), |page| {
        page.text.contains("serves this page")
    })?;
    Ok(())
}

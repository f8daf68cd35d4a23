//! The data partition is full: the node still boots, keeps its running pods and can be cleaned up.

use std::time::Duration;

use holm_vm::http;
use holm_vm::scenario::{PAGE, Scenario, ScenarioError};

const FILL: &str =
    "dd if=/dev/zero of=/host/data/fill bs=1M; dd if=/dev/zero of=/host/data/rest bs=1; sync; true";

#[test]
fn node_with_a_full_data_disk_boots_and_serves() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell_and_page("full")?;
    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    http::fetch(vm.forwarded(8080)?, "/", Duration::from_secs(60))?;
    shell.succeed(FILL)?;
    let refused = shell.run("echo more >/host/data/more && sync -f /host/data/more")?;
    assert_ne!(refused.status, 0, "the disk is not full");
    vm.cut_power();

    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    let page = http::fetch(vm.forwarded(8080)?, "/", Duration::from_secs(60))?;
    assert_eq!(String::from_utf8_lossy(&page), PAGE);
    shell.succeed("rm -f /host/data/fill /host/data/rest && echo room >/host/data/more")?;
    Ok(())
}

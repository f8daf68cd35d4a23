//! PID 1 hangs: the chipset's watchdog, which nobody pets any more, resets the machine.

use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};

/// PID 1 cannot be stopped by a signal, but the freezer of its cgroup stops it.
const FREEZE: &str =
    "cd /host/sys/fs/cgroup && mkdir ice && echo 1 >ice/cgroup.procs && echo 1 >ice/cgroup.freeze";

#[test]
fn machine_whose_init_hangs_is_reset_and_comes_back() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("watchdog")?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    let watchdog = shell.succeed("cat /host/sys/class/watchdog/watchdog0/identity")?;
    assert_eq!(watchdog, "iTCO_wdt");
    shell.succeed(FREEZE)?;
    let reset = vm.qmp.wait_event("RESET", Duration::from_secs(150))?;
    assert_eq!(reset["guest"], true);
    vm.console.expect(READY, BOOT_WAIT)?;
    Ok(())
}

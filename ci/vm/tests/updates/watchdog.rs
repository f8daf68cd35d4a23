//! PID 1 hangs in the trial: the hardware resets the machine into the committed slot.

use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, READY, ScenarioError};

use crate::{apply, staged};

/// PID 1 cannot be stopped by a signal, but the freezer of its cgroup stops it.
const FREEZE: &str =
    "cd /host/sys/fs/cgroup && mkdir ice && echo 1 >ice/cgroup.procs && echo 1 >ice/cgroup.freeze";

#[test]
fn init_that_hangs_is_reset_into_the_committed_slot() -> Result<(), ScenarioError> {
    let (_scenario, vm, mut shell) = staged("update-hang", None)?;
    apply(&vm, &mut shell)?;
    vm.console.expect(READY, BOOT_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    let line = shell.succeed("cat /proc/cmdline")?;
    assert!(line.contains("holm.slot=b"), "{line}");
    shell.succeed(FREEZE)?;
    let reset = vm.qmp.wait_event("RESET", Duration::from_secs(150))?;
    assert_eq!(reset["guest"], true);
    // The chipset keeps no record of why it reset: no verdict, so the trial is armed again.
    vm.console.expect("rebooting", BOOT_WAIT)?;
    vm.console.expect("slot b is good", BOOT_WAIT)?;
    Ok(())
}

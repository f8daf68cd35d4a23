//! The new version has no network: it goes back by itself, and says which check failed.

use holm_vm::scenario::{BOOT_WAIT, READY, ScenarioError};

use crate::{TRIAL_WAIT, apply, fallen_back, staged};

#[test]
fn version_without_a_network_goes_back_and_is_barred() -> Result<(), ScenarioError> {
    let (_scenario, mut vm, mut shell) = staged("update-network", None)?;
    apply(&vm, &mut shell)?;
    vm.set_link(0, false)?;
    vm.console.expect(READY, BOOT_WAIT)?;
    vm.console.expect("failed its trial (network", TRIAL_WAIT)?;
    vm.set_link(0, true)?;
    let status = fallen_back(&vm)?;
    assert!(status.contains("to 9.0.0: check-failed (network: "), "{status}");
    assert!(status.contains("version 9.0.0 is barred"), "{status}");
    Ok(())
}

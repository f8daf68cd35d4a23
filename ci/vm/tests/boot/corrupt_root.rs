//! A block of the verified root is not what was signed: the node must not run on it.

use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};

#[test]
fn corrupt_verity_block_stops_the_boot_and_resets_the_machine() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("corrupt")?;
    // Byte 1024 is the file system's superblock: whatever is read first needs it.
    scenario.disk.flip_byte("root-a", 1024)?;
    let vm = scenario.start()?;
    vm.console.expect("verity", BOOT_WAIT)?;
    let reset = vm.qmp.wait_event("RESET", Duration::from_secs(60))?;
    assert_eq!(reset["guest"], true);
    let ready = vm.console.lines().into_iter().find(|line| line.text.contains(READY));
    assert_eq!(ready, None, "the node ran on a root that nobody signed");
    Ok(())
}

//! A good version is tried, proves itself and stays; a person may go back from it.

use holm_vm::scenario::{BOOT_WAIT, READY, ScenarioError};

use crate::{STATUS, TRIAL_WAIT, apply, staged};

#[test]
fn good_version_is_committed_and_can_be_gone_back_from() -> Result<(), ScenarioError> {
    let (_scenario, vm, mut shell) = staged("update-good", None)?;
    apply(&vm, &mut shell)?;
    vm.console.expect(READY, BOOT_WAIT)?;
    vm.console.expect("slot b is good", TRIAL_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    let names = shell.succeed("ls /host/boot/EFI/Linux")?;
    assert_eq!(names.split_whitespace().collect::<Vec<_>>(), ["holm-1-b.efi", "holm-a.efi"]);
    let seen = shell.wait_until(STATUS, BOOT_WAIT, |s| s.text.contains("slot b, committed"))?;
    assert!(seen.text.contains("to 9.0.0: committed"), "{}", seen.text);

    shell.start("chroot /host /usr/bin/holm update rollback")?;
    vm.console.expect("rebooting", BOOT_WAIT)?;
    vm.console.expect("slot a is good", TRIAL_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    let seen = shell.wait_until(STATUS, BOOT_WAIT, |s| s.text.contains("slot a, committed"))?;
    assert!(seen.text.contains("version 9.0.0 is barred"), "{}", seen.text);
    Ok(())
}

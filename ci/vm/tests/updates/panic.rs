//! Versions whose kernel panics: late, early, and because PID 1 of the initramfs gives up. The node
//! is back by itself and knows why.

use holm_vm::scenario::{BOOT_WAIT, READY, ScenarioError};

use crate::{apply, fallen_back, staged};

#[test]
fn kernel_that_panics_is_undone_and_barred_with_its_last_words() -> Result<(), ScenarioError> {
    let (_scenario, vm, mut shell) = staged("update-panic", None)?;
    apply(&vm, &mut shell)?;
    vm.console.expect(READY, BOOT_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    shell.start("echo c >/host/proc/sysrq-trigger")?;
    let status = fallen_back(&vm)?;
    assert!(status.contains("to 9.0.0: panic (kernel: sysrq"), "{status}");
    assert!(status.contains("version 9.0.0 is barred"), "{status}");
    Ok(())
}

#[test]
fn init_that_gives_up_is_undone_and_barred() -> Result<(), ScenarioError> {
    let spoil = ("holm.hash-offset=", "holm.hash-nowhere");
    let (_scenario, vm, mut shell) = staged("update-init", Some(spoil))?;
    apply(&vm, &mut shell)?;
    vm.console.expect("stage one cannot go on", BOOT_WAIT)?;
    let status = fallen_back(&vm)?;
    assert!(status.contains("to 9.0.0: panic (kernel: "), "{status}");
    assert!(status.contains("version 9.0.0 is barred"), "{status}");
    Ok(())
}

#[test]
fn kernel_that_dies_before_it_can_keep_a_record_is_given_up_after_three_trials()
-> Result<(), ScenarioError> {
    // No such init, no root: the kernel has nothing to run.
    let spoil = ("quiet loglevel=4", "rdinit=/nowhere ");
    let (_scenario, vm, mut shell) = staged("update-early", Some(spoil))?;
    apply(&vm, &mut shell)?;
    for _ in 0..2 {
        vm.console.expect(READY, BOOT_WAIT)?;
        vm.console.expect("rebooting", BOOT_WAIT)?;
    }
    let status = fallen_back(&vm)?;
    assert!(status.contains("to 9.0.0: no-verdict"), "{status}");
    assert!(!status.contains("barred"), "{status}");
    Ok(())
}

//! Firmware that enforces Secure Boot with the owner's keys: it boots what the owner signed, and
//! nothing else.

use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};

const UKI: &str = "EFI/Linux/holm-a+3.efi";

#[test]
fn signed_kernel_boots_under_secure_boot() -> Result<(), ScenarioError> {
    let mut scenario = Scenario::with_shell("signed")?;
    scenario.enforce_secure_boot()?;
    let (_vm, mut shell) = scenario.boot_with_shell()?;
    let enforced = "od -An -tu1 /host/sys/firmware/efi/efivars/SecureBoot-*";
    assert_eq!(shell.succeed(enforced)?.split_whitespace().last(), Some("1"));
    Ok(())
}

#[test]
fn changed_kernel_is_refused_under_secure_boot() -> Result<(), ScenarioError> {
    let mut scenario = Scenario::with_shell("changed")?;
    scenario.enforce_secure_boot()?;
    let mut uki = scenario.disk.read_boot_file(UKI)?;
    let middle = uki.len() / 2;
    uki[middle] ^= 1;
    scenario.disk.write_boot_file(UKI, &uki)?;
    let vm = scenario.start()?;
    // The boot loader is signed and unchanged, so it runs, and reports the refusal.
    vm.console.expect("Access denied", BOOT_WAIT)?;
    assert!(vm.console.expect(READY, Duration::from_secs(15)).is_err());
    let kernel = vm.console.lines().into_iter().find(|line| line.text.contains("holm: "));
    assert_eq!(kernel, None, "a kernel that nobody signed ran");
    Ok(())
}

//! The factory reset: by command, and by cutting the power early several times.

use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};

const LEFT: &str = "/host/data/var/left-behind";

#[test]
fn reset_by_command_forgets_data_and_identity() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("reset-command")?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    let before = shell.succeed("cat /host/etc/machine-id")?;
    shell.succeed(&format!("mkdir -p /host/data/var && echo x > {LEFT} && sync"))?;
    shell.start("chroot /host /usr/sbin/holm-init ctl factory-reset --drop-identity")?;
    vm.console.expect("factory reset done: by command", BOOT_WAIT)?;
    vm.console.expect(READY, BOOT_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    assert!(shell.run(&format!("test -e {LEFT}"))?.status != 0);
    assert_ne!(shell.succeed("cat /host/etc/machine-id")?, before);
    // The boot partition has it still.
    assert_eq!(shell.succeed("cat /host/proc/sys/kernel/hostname")?, "edge-1");
    Ok(())
}

#[test]
fn power_cut_early_several_times_resets_and_keeps_the_identity() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("reset-power")?;
    scenario.write_document(
        "[node]\nhostname = \"edge-1\"\n[reset]\npower-cycles = 3\nearly = \"5m\"\n",
    )?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    let before = shell.succeed("cat /host/etc/machine-id")?;
    shell.succeed(&format!("mkdir -p /host/data/var && echo x > {LEFT} && sync"))?;
    vm.cut_power();
    for _ in 0..2 {
        let vm = scenario.start()?;
        vm.console.expect("phase configuration took", BOOT_WAIT)?;
        vm.cut_power();
    }
    let vm = scenario.start()?;
    vm.console.expect("factory reset done: 3 starts in a row ended early", BOOT_WAIT)?;
    vm.console.expect(READY, BOOT_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    assert!(shell.run(&format!("test -e {LEFT}"))?.status != 0);
    assert_eq!(shell.succeed("cat /host/etc/machine-id")?, before);
    Ok(())
}

#[test]
fn power_cut_during_a_reset_only_makes_it_begin_anew() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("reset-cut")?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    shell.succeed(&format!(
        "mkdir -p {LEFT} && cd {LEFT} && i=0; while [ $i -lt 3000 ]; do : > $i; i=$((i+1)); done; sync"
    ))?;
    shell.start("chroot /host /usr/sbin/holm-init ctl factory-reset")?;
    vm.qmp.wait_event("RESET", Duration::from_secs(60))?;
    vm.console.expect("phase cgroups took", BOOT_WAIT)?;
    vm.cut_power();
    let vm = scenario.boot()?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    assert!(shell.run(&format!("test -e {LEFT}"))?.status != 0, "it was forgotten");
    assert!(shell.run("test -e /host/state/reset/wanted")?.status != 0);
    Ok(())
}

//! A reboot on request: in order, by the machine's own reset, and with clean file systems.

use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};

#[test]
fn reboot_on_request_is_orderly_and_leads_to_a_ready_node() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell_and_page("reboot")?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    let before = shell.succeed("cat /host/proc/sys/kernel/random/boot_id")?;
    let mark = vm.console.mark();
    shell.start("chroot /host /usr/sbin/holm-init ctl reboot")?;
    let reset = vm.qmp.wait_event("RESET", Duration::from_secs(60))?;
    assert_eq!(reset["reason"], "guest-reset");
    vm.console.expect(READY, BOOT_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    assert_ne!(shell.succeed("cat /host/proc/sys/kernel/random/boot_id")?, before);
    // Only a file system that was not unmounted replays its journal.
    let replayed: Vec<_> = vm
        .console
        .lines_since(mark)
        .into_iter()
        .filter(|line| line.text.contains("recovering journal"))
        .collect();
    assert!(replayed.is_empty(), "{replayed:?}");
    let log = shell.succeed("chroot /host /usr/sbin/holm-init ctl log")?;
    assert!(!log.contains("recovery complete"), "{log}");
    Ok(())
}

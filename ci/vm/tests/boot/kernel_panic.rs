//! The kernel panics: the machine starts again by itself, and the panic's last words are kept.

use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};

#[test]
fn node_comes_back_from_a_kernel_panic_and_keeps_its_last_words() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("panic")?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    shell.start("echo c >/host/proc/sysrq-trigger")?;
    let reset = vm.qmp.wait_event("RESET", Duration::from_secs(60))?;
    assert_eq!(reset["guest"], true);
    vm.console.expect(READY, BOOT_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    let kept = "cat /host/data/var/log/holm/crash/* 2>/dev/null";
    shell.wait_until(kept, Duration::from_secs(20), |words| words.text.contains("sysrq"))?;
    Ok(())
}

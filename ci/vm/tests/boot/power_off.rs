//! Power-off, asked for by the socket and by the power button, leaves clean file systems.

use std::process::Command;
use std::time::Duration;

use holm_vm::scenario::{Scenario, ScenarioError};

const OFF_WAIT: Duration = Duration::from_secs(60);

#[test]
fn power_off_on_request_leaves_clean_file_systems() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell_and_page("power-off")?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    shell.start("chroot /host /usr/sbin/holm-init ctl poweroff")?;
    let status = vm.wait_power_off(OFF_WAIT)?;
    assert!(status.success(), "{status}");
    assert_clean(&scenario)
}

#[test]
fn power_button_shuts_the_node_down_in_order() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("power-button")?;
    let (mut vm, _shell) = scenario.boot_with_shell()?;
    vm.press_power_button()?;
    vm.wait_power_off(OFF_WAIT)?;
    assert_clean(&scenario)
}

fn assert_clean(scenario: &Scenario) -> Result<(), ScenarioError> {
    for name in ["state", "data"] {
        let start = scenario.disk.partition(name)?.start;
        let device = format!("{}?offset={start}", scenario.disk.path().display());
        let shown = Command::new("debugfs").args(["-R", "stats -h", &device]).output();
        let shown = shown.expect("debugfs is there, since the disk was prepared with it");
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(text.contains("Filesystem state:         clean"), "{name}: {text}");
        assert!(!text.contains("needs_recovery"), "{name} was not unmounted: {text}");
    }
    Ok(())
}

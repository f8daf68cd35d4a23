//! The dashboard: on the screen once the node is ready, on the serial line at a key, and neither
//! hides what the kernel says.

use std::time::Duration;

use holm_vm::scenario::{Scenario, ScenarioError};

const WAIT: Duration = Duration::from_secs(60);

#[test]
fn dashboard_appears_on_screen_when_ready_and_on_serial_at_a_key() -> Result<(), ScenarioError> {
    let mut scenario = Scenario::with_shell("dashboard")?;
    scenario.machine.devices = vec![("-device", "VGA".to_owned())];
    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    // The kernel's own picture of the first virtual terminal.
    let shown = shell.wait_until("cat /host/dev/vcs1", WAIT, |shown| {
        shown.text.contains("[1 Overview]") && shown.text.contains("agent ready")
    })?;
    assert!(shown.text.contains("edge-1") && shown.text.contains("slot a"), "{}", shown.text);
    let lines = vm.console.lines();
    let drawn: Vec<_> = lines.iter().filter(|line| line.text.contains("Overview")).collect();
    assert!(drawn.is_empty(), "nobody has asked for it on the serial line: {drawn:?}");

    vm.type_keys("\r")?;
    let drawn = vm.console.expect_drawn("[1 Overview]", WAIT)?;
    assert!(drawn.contains("10.0.2.15/24"), "{drawn}");
    vm.type_keys("3")?;
    vm.console.expect_drawn("[messages]", WAIT)?;
    // What the kernel says goes over it.
    shell.succeed("echo '<2>somebody must see this' > /host/dev/kmsg")?;
    vm.console.expect("somebody must see this", WAIT)?;
    vm.console.expect_drawn("[messages]", WAIT)?;

    let memory = shell.succeed(
        "for p in /host/proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep -q 'holm-init console' \
         && grep -E '^(Pss|Private_Dirty|Rss):' $p/smaps_rollup; done",
    )?;
    println!("the dashboard on a screen and a serial line: {memory}");
    shell.start("chroot /host /usr/sbin/holm-init ctl poweroff")?;
    vm.console.expect("powering off", WAIT)?;
    Ok(())
}

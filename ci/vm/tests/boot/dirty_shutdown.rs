//! Power goes while the node writes: what was flushed is there afterwards, and the node is ready.

use holm_vm::scenario::{Scenario, ScenarioError};

#[test]
fn power_cut_while_writing_keeps_what_was_flushed() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("dirty")?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    for file in ["/host/data/flushed", "/host/state/flushed"] {
        shell.succeed(&format!("echo acknowledged >{file} && sync -f {file}"))?;
    }
    shell.start(
        "while true; do dd if=/dev/urandom of=/host/data/torn bs=64k count=32; done 2>/dev/null &",
    )?;
    shell.start(
        "while true; do date >/host/state/torn; mv /host/state/torn /host/state/t2; done &",
    )?;
    shell
        .wait_until("ls /host/data/torn /host/state/t2", BUSY_WAIT, |listed| listed.status == 0)?;
    vm.cut_power();

    let (_vm, mut shell) = scenario.boot_with_shell()?;
    for file in ["/host/data/flushed", "/host/state/flushed"] {
        assert_eq!(shell.succeed(&format!("cat {file}"))?, "acknowledged");
    }
    for mount in ["/host/data", "/host/state"] {
        shell.succeed(&format!("touch {mount}/writable && rm {mount}/writable"))?;
    }
    Ok(())
}

const BUSY_WAIT: std::time::Duration = std::time::Duration::from_secs(20);

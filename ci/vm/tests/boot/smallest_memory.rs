//! The least memory that Holm promises to run in: it boots and serves a page.

use std::time::Duration;

use holm_vm::http;
use holm_vm::scenario::{PAGE, Scenario, ScenarioError};

#[test]
fn node_with_128_mib_serves_its_page() -> Result<(), ScenarioError> {
    let mut scenario = Scenario::with_shell_and_page("memory")?;
    // OVMF cannot place Debian's kernel in so little; a small machine's own loader can.
    scenario.boot_without_firmware()?;
    scenario.machine.memory_mib = 128;
    let mut vm = scenario.boot()?;
    let address = vm.forwarded(8080)?;
    let page = http::fetch(address, "/", Duration::from_secs(120))?;
    assert_eq!(String::from_utf8_lossy(&page), PAGE);
    let killed = vm.console.lines().into_iter().find(|line| line.text.contains("Out of memory"));
    assert_eq!(killed, None);
    Ok(())
}

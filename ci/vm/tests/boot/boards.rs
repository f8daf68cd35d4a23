//! Images of other boards than x86-64, built with the demo's pod: each reaches ready on the machine
//! of QEMU that its board file names, and serves the page.

use std::time::Duration;

use holm_vm::board::BoardScenario;
use holm_vm::http;
use holm_vm::phases;
use holm_vm::scenario::{PAGE, READY, ScenarioError};

/// Another processor is translated, and its firmware too.
const WAIT: Duration = Duration::from_secs(400);

fn page_is_served(name: &str, variable: &'static str) -> Result<(), ScenarioError> {
    let scenario = BoardScenario::new(name, variable, &[8080])?;
    let mut vm = scenario.start()?;
    vm.console.expect(READY, WAIT)?;

    let lines = vm.console.lines();
    let boot = phases::last_boot(lines.iter().map(|line| line.text.as_str()));
    let failed: Vec<_> = boot.phases.iter().filter(|phase| phase.failure.is_some()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(
        lines.iter().any(|line| line.text.contains("partition data grows to ")),
        "data did not grow to the end of the disk"
    );

    let address = vm.forwarded(8080)?;
    let page = http::fetch(address, "/", WAIT)?;
    assert_eq!(String::from_utf8_lossy(&page), PAGE);
    Ok(())
}

#[test]
fn raspberry_pi_3_boots_its_card_and_serves_the_page() -> Result<(), ScenarioError> {
    page_is_served("rpi", "HOLM_IMAGE_RPI")
}

#[test]
fn arm64_machine_with_uefi_boots_and_serves_the_page() -> Result<(), ScenarioError> {
    page_is_served("arm64-uefi", "HOLM_IMAGE_ARM64_UEFI")
}

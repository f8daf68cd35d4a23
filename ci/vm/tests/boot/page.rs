//! The vertical slice: a fresh image boots without a failed phase, and its pod answers HTTP.

use std::time::Duration;

use holm_vm::http;
use holm_vm::phases;
use holm_vm::scenario::{PAGE, Scenario, ScenarioError};

#[test]
fn pod_of_a_fresh_node_answers_http() -> Result<(), ScenarioError> {
    let scenario = Scenario::new("page")?;
    scenario.add_page()?;
    let mut vm = scenario.boot()?;

    let lines = vm.console.lines();
    let boot = phases::last_boot(lines.iter().map(|line| line.text.as_str()));
    let failed: Vec<_> = boot.phases.iter().filter(|phase| phase.failure.is_some()).collect();
    assert!(failed.is_empty(), "{failed:?}");

    let address = vm.forwarded(8080)?;
    let page = http::fetch(address, "/", Duration::from_secs(60))?;
    assert_eq!(String::from_utf8_lossy(&page), PAGE);
    Ok(())
}

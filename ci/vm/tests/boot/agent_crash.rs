//! The agent dies: it is started again, and finds its containers running as if nothing had been.

use std::time::Duration;

use holm_vm::http;
use holm_vm::scenario::{Scenario, ScenarioError};

const AGENT: &str = "/usr/bin/holm agent";
const PAGE_SERVER: &str = "httpd -f";

#[test]
fn containers_outlive_a_crash_of_the_agent() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell_and_page("crash")?;
    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    let address = vm.forwarded(8080)?;
    http::fetch(address, "/", Duration::from_secs(60))?;
    let agent = shell.process(AGENT)?;
    let server = shell.process(PAGE_SERVER)?;

    shell.succeed(&format!("kill -9 {agent}"))?;
    let restarted = shell.wait_for_other_process(AGENT, &agent, Duration::from_secs(30))?;
    assert_ne!(restarted, agent);
    http::fetch(address, "/", Duration::from_secs(5))?;
    assert_eq!(shell.process(PAGE_SERVER)?, server, "the container was started again");

    // The new agent owns the old container: when that ends, a new one follows.
    shell.succeed(&format!("kill -9 {server}"))?;
    shell.wait_for_other_process(PAGE_SERVER, &server, Duration::from_secs(60))?;
    http::fetch(address, "/", Duration::from_secs(30))?;
    Ok(())
}

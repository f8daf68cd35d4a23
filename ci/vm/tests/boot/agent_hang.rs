//! The agent hangs: init notices by its missing sign of life, ends it and starts it again.

use std::time::Duration;

use holm_vm::http;
use holm_vm::scenario::{Scenario, ScenarioError};

const AGENT: &str = "/usr/bin/holm agent";

#[test]
fn hung_agent_is_replaced_while_its_containers_run_on() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell_and_page("hang")?;
    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    let address = vm.forwarded(8080)?;
    http::fetch(address, "/", Duration::from_secs(60))?;
    let agent = shell.process(AGENT)?;
    let server = shell.process("httpd -f")?;

    shell.succeed(&format!("kill -STOP {agent}"))?;
    shell.wait_for_other_process(AGENT, &agent, Duration::from_secs(120))?;
    assert_eq!(shell.process("httpd -f")?, server, "the container was started again");
    http::fetch(address, "/", Duration::from_secs(5))?;
    let gone = shell.run(&format!("kill -0 {agent}"))?;
    assert_ne!(gone.status, 0, "the hung agent is still there");
    Ok(())
}

//! A DHCP server that answers late: nobody waits for it, and its address is used when it comes.

use std::time::Duration;

use holm_vm::dhcp::Server;
use holm_vm::machine::{self, Link};
use holm_vm::scenario::{Scenario, ScenarioError};

#[test]
fn node_is_ready_before_dhcp_answers_and_takes_the_late_address() -> Result<(), ScenarioError> {
    let mut scenario = Scenario::with_shell("slow-dhcp")?;
    let server = Server::listen(machine::mac(0)).expect("loopback has free ports");
    scenario.machine.links =
        vec![Link::Frames { machine_port: server.machine_port(), scenario_port: server.port() }];
    let (_vm, mut shell) = scenario.boot_with_shell()?;
    let asked = server.wait_for_discover(Duration::from_secs(60));
    assert!(asked, "the node never asked for an address");
    let addresses = shell.succeed("ip -4 -o addr show")?;
    assert!(!addresses.contains("192.0.2.77"), "{addresses}");

    server.answer_from_now_on();
    shell.wait_until("ip -4 -o addr show", Duration::from_secs(120), |addresses| {
        addresses.text.contains("192.0.2.77/24")
    })?;
    shell.wait_until("ip -4 route show", Duration::from_secs(10), |routes| {
        routes.text.contains("default via 192.0.2.1")
    })?;
    let resolver = shell.succeed("cat /host/run/holm/resolv.conf")?;
    assert!(resolver.contains("nameserver 192.0.2.53"), "{resolver}");
    Ok(())
}

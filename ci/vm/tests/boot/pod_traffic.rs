//! Packets of pods: from outside to a host port, from a pod to outside and to another pod, over
//! IPv4 and IPv6, TCP and UDP. "Outside" is a network namespace behind a veth of the node.

use std::time::Duration;

use holm_vm::scenario::{Scenario, ScenarioError};
use holm_vm::shell::Shell;

const WAIT: Duration = Duration::from_secs(60);
const DOCUMENT: &str = "[node]\nhostname = \"edge-1\"\n[pods]\ncidr6 = \"fd42::/64\"\n\
                        [kernel.sysctls]\n\"net.ipv6.conf.all.forwarding\" = \"1\"\n";

/// A page over TCP; nobody listens on the UDP port, so the pod's kernel itself answers there.
const SERVER: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: server
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: localhost/busybox:1
      command: [httpd, -f, -p, "80", -h, /etc]
      ports:
        - { containerPort: 80, hostPort: 8081 }
        - { containerPort: 53, hostPort: 5353, protocol: UDP }
"#;

/// A pod whose namespace the shell enters to speak from.
const CLIENT: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: client
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: localhost/busybox:1
      command: [sleep, "1000002"]
"#;

/// A link to a namespace with nothing but an address of each family and the node as its router.
/// The kernel names the far end itself.
const OUTSIDE: &str = "ip link add outside type veth && \
    far=$(cd /sys/class/net && ls -d veth[0-9]) && ip link set $far netns PID && \
    ip addr add 192.0.2.1/24 dev outside && ip link set outside up && \
    ip -6 addr add 2001:db8::1/64 dev outside && \
    nsenter -t PID -n ip addr add 192.0.2.2/24 dev $far && \
    nsenter -t PID -n ip link set $far up && nsenter -t PID -n ip link set lo up && \
    nsenter -t PID -n ip -6 addr add 2001:db8::2/64 dev $far";

/// Asks `address` for the server's name over TCP, in the namespace of process `from`.
fn page(from: &str, address: &str, port: u16) -> String {
    format!(
        "printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' | \
         nsenter -t {from} -n nc -w 5 {address} {port} | tail -n 1"
    )
}

/// Sends datagrams; the answer is that nobody listens.
fn refused(from: &str, address: &str, port: u16) -> String {
    format!("nsenter -t {from} -n nslookup -port={port} x {address} 2>&1 | grep -m 1 -o refused")
}

/// How many datagrams came to the server's namespace, by its kernel's count.
const DATAGRAMS: &str = "nsenter -t PID -n sh -c 'cat /proc/self/net/snmp /proc/self/net/snmp6' | \
    awk '/^Udp: [0-9]/ { n += $3 } /^Udp6NoPorts/ { n += $2 } END { print n }'";

fn expect(shell: &mut Shell, command: &str, answer: &str) -> Result<(), ScenarioError> {
    shell.wait_until(command, WAIT, |output| output.text == answer)?;
    Ok(())
}

#[test]
fn pods_are_reached_and_reach_out() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("traffic")?;
    scenario.write_document(DOCUMENT)?;
    scenario.add_manifest("server", SERVER)?;
    scenario.add_manifest("client", CLIENT)?;
    let (_vm, mut shell) = scenario.boot_with_shell()?;
    let client = shell.wait_for_other_process("sleep 1000002", "", WAIT)?;
    let server = shell.wait_for_other_process("httpd -f -p 80 -h /etc", "", WAIT)?;
    shell.succeed("unshare -n sleep 1000003 >/dev/null 2>&1 </dev/null &")?;
    let outside = shell.wait_for_other_process("sleep 1000003", "", WAIT)?;
    shell.succeed(&OUTSIDE.replace("PID", &outside))?;
    let address = |process: &str, family: &str, marks: &str| {
        format!(
            "nsenter -t {process} -n ip {family} addr show scope global | \
             sed -n 's/.*{marks} \\([0-9a-f.:]*\\).*/\\1/p' | head -n 1"
        )
    };
    let server4 = shell.succeed(&address(&server, "-4", "inet"))?;
    let server6 = shell.succeed(&address(&server, "-6", "inet6"))?;
    let client4 = shell.succeed(&address(&client, "-4", "inet"))?;
    assert!(
        server4.starts_with("10.42.0.") && server6.starts_with("fd42::"),
        "{server4} {server6}"
    );

    let datagrams = DATAGRAMS.replace("PID", &server);
    let count = |shell: &mut Shell| -> Result<u64, ScenarioError> {
        Ok(shell.succeed(&datagrams)?.parse().unwrap_or(0))
    };

    // From outside to the host ports.
    for node in ["192.0.2.1", "2001:db8::1"] {
        expect(&mut shell, &page(&outside, node, 8081), "server-edge-1")?;
        let before = count(&mut shell)?;
        expect(&mut shell, &refused(&outside, node, 5353), "refused")?;
        assert!(count(&mut shell)? > before, "no datagram reached the pod");
    }
    // From the node itself, from another pod, and from the pod to itself by the node's address.
    expect(&mut shell, &page("1", "127.0.0.1", 8081), "server-edge-1")?;
    for from in [&client, &server] {
        expect(&mut shell, &page(from, "192.0.2.1", 8081), "server-edge-1")?;
        expect(&mut shell, &page(from, "2001:db8::1", 8081), "server-edge-1")?;
    }
    // From pod to pod, by its own addresses.
    for to in [&server4, &server6] {
        expect(&mut shell, &page(&client, to, 80), "server-edge-1")?;
        expect(&mut shell, &refused(&client, to, 53), "refused")?;
    }

    // Who is it that calls? Among pods the pod itself, outside the node alone.
    let calls = [
        (&server, server4.as_str(), client4.as_str()),
        (&outside, "192.0.2.2", "192.0.2.1"),
        (&outside, "2001:db8::2", "2001:db8::1"),
    ];
    for (to, address, caller) in calls {
        shell.succeed(&format!(
            "nsenter -t {to} -n nc -l -p 99 -e sh -c 'netstat -tn | grep :99' \
             >/dev/null 2>&1 </dev/null &"
        ))?;
        let call = format!("sleep 1 | nsenter -t {client} -n nc -w 5 {address} 99");
        let seen = shell.wait_until(&call, WAIT, |output| output.text.contains("ESTABLISHED"))?;
        // Calls that are over may still be listed.
        let call = seen.text.lines().find(|line| line.contains("ESTABLISHED")).unwrap_or("");
        let words: Vec<&str> = call.split_whitespace().collect();
        let from = words.get(4).and_then(|peer| peer.rsplit_once(':')).map_or("", |(ip, _)| ip);
        assert_eq!(from.trim_start_matches("::ffff:"), caller, "{}", seen.text);
    }
    Ok(())
}

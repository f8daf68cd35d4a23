//! The agent is replaced and the node starts again: containers live on through the first, and
//! begin anew, without a trace of the old ones, after the second.

use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};
use holm_vm::shell::Shell;
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(60);
const AGENT: &str = "/usr/bin/holm agent";
/// Resident memory that an idle agent may take, in KiB.
const AGENT_MOST: u64 = 12 * 1024;

const LONG: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: long
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: localhost/busybox:1
      command: [sleep, "1000004"]
"#;

/// Ends with status 5 as soon as a file is there.
const SHORT: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: short
spec:
  restartPolicy: Never
  containers:
    - name: main
      image: localhost/busybox:1
      command: [sh, -c, "until [ -e /go/now ]; do sleep 0.2; done; exit 5"]
      volumeMounts:
        - { name: go, mountPath: /go }
  volumes:
    - name: go
      hostPath: { path: /data/go }
"#;

/// The pod's status once `accept` takes it.
fn status(
    shell: &mut Shell,
    pod: &str,
    accept: impl Fn(&Value) -> bool,
) -> Result<Value, ScenarioError> {
    let find = |text: &str| -> Option<Value> {
        let list: Value = serde_json::from_str(text).ok()?;
        let items = list["items"].as_array()?;
        let found = items.iter().find(|item| item["metadata"]["name"] == format!("{pod}-edge-1"));
        found.map(|item| item["status"].clone())
    };
    let list = "chroot /host /usr/bin/holm pods --json";
    let found =
        shell.wait_until(list, WAIT, |list| find(&list.text).is_some_and(|s| accept(&s)))?;
    Ok(find(&found.text).unwrap_or_default())
}

fn memory(shell: &mut Shell, process: &str) -> Result<u64, ScenarioError> {
    let kibibytes = "sed -n 's/^VmRSS:[[:space:]]*\\([0-9]*\\) kB/\\1/p'";
    let text = shell.succeed(&format!("{kibibytes} /proc/{process}/status"))?;
    println!("{}", shell.succeed(&format!("grep -E '^(VmRSS|Rss)' /proc/{process}/status"))?);
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// One folder for each container that runs, and nothing else.
fn expect_only(shell: &mut Shell, pods: &[&str]) -> Result<(), ScenarioError> {
    for folder in ["/host/data/containers", "/host/run/holm/shims"] {
        let list = format!("ls {folder} | grep -v lock | wc -l");
        shell.wait_until(&list, WAIT, |list| list.text == pods.len().to_string())?;
    }
    let netns = "ls /host/run/holm/netns | wc -l";
    // The shell is on the node's own network.
    shell.wait_until(netns, WAIT, |list| list.text == (pods.len() - 1).to_string())?;
    Ok(())
}

#[test]
fn containers_outlive_the_agent_and_begin_anew_after_a_boot() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("restart")?;
    scenario.add_manifest("long", LONG)?;
    scenario.add_manifest("short", SHORT)?;
    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    let long = shell.wait_for_other_process("sleep 1000004", "", WAIT)?;
    status(&mut shell, "short", |status| status["phase"] == "Running")?;
    let agent = shell.process(AGENT)?;
    let resident = memory(&mut shell, &agent)?;
    assert!(resident <= AGENT_MOST, "the agent takes {resident} KiB");

    // Replaced on request.
    shell.succeed_on_host("/usr/sbin/holm-init ctl restart agent")?;
    let second = shell.wait_for_other_process(AGENT, &agent, WAIT)?;
    status(&mut shell, "long", |status| status["containerStatuses"][0]["restartCount"] == 0)?;
    assert_eq!(shell.process("sleep 1000004")?, long);

    // What ends while no agent looks is found by the next one.
    shell.succeed(&format!("kill -STOP {second} && touch /host/data/go/now"))?;
    shell.wait_until("ls /host/run/holm/shims/*/exit.json", WAIT, |found| found.status == 0)?;
    shell.succeed(&format!("kill -9 {second}"))?;
    let third = shell.wait_for_other_process(AGENT, &second, WAIT)?;
    let short = status(&mut shell, "short", |status| status["phase"] == "Failed")?;
    let end = &short["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&5.into(), &"Error".into()), "{end}");
    assert_eq!(shell.process("sleep 1000004")?, long);
    let resident = memory(&mut shell, &third)?;
    assert!(resident <= AGENT_MOST, "the agent takes {resident} KiB");
    expect_only(&mut shell, &["shell", "long"])?;

    // In order, then by the reset button, when nothing is written any more.
    for orderly in [true, false] {
        if orderly {
            shell.start("chroot /host /usr/sbin/holm-init ctl reboot")?;
            vm.qmp.wait_event("RESET", WAIT)?;
        } else {
            shell.succeed("sync")?;
            vm.reset()?;
        }
        vm.console.expect(READY, BOOT_WAIT)?;
        shell = vm.shell(BOOT_WAIT)?;
        shell.wait_for_other_process("sleep 1000004", "", WAIT)?;
        let long =
            status(&mut shell, "long", |status| status["containerStatuses"][0]["ready"] == true)?;
        println!("after a boot: {}", long["containerStatuses"][0]);
        // A pod that was not to be started again was not.
        let short = status(&mut shell, "short", |status| status["phase"] == "Failed")?;
        let end = &short["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(end["exitCode"], 5, "{end}");
        expect_only(&mut shell, &["shell", "long"])?;
    }
    Ok(())
}

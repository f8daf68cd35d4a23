//! A pod fills the data partition: the node still boots, serves, keeps its log and can be cleaned up.

use std::time::Duration;

use holm_vm::http;
use holm_vm::scenario::{PAGE, Scenario, ScenarioError};
use holm_vm::shell::Output;

/// Fills what it may: its volume, which stays over a boot, then its own root.
const FILLER: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: filler
  namespace: default
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: filler
      image: localhost/busybox:1
      imagePullPolicy: Never
      command:
        - sh
        - -c
        - |
          trap 'exit 0' TERM
          for folder in /volume /; do
            dd if=/dev/zero of=$folder/large bs=1M
            dd if=/dev/zero of=$folder/small bs=4096
            sync
          done
          while true; do sleep 1; done
      volumeMounts:
        - name: volume
          mountPath: /volume
  volumes:
    - name: volume
      emptyDir: {}
"#;

/// KiB that others than the node itself still get.
const LEFT: &str = "df -k /host/data | tail -n 1 | awk '{print $4}'";

#[test]
fn node_with_a_full_data_disk_boots_and_serves() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell_and_page("full")?;
    scenario.add_manifest("filler", FILLER)?;
    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    http::fetch(vm.forwarded(8080)?, "/", Duration::from_secs(60))?;
    shell.wait_until(LEFT, Duration::from_secs(60), is_nothing)?;
    shell.succeed("sync")?;
    vm.cut_power();

    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    shell.wait_until(LEFT, Duration::from_secs(60), is_nothing)?;
    let page = http::fetch(vm.forwarded(8080)?, "/", Duration::from_secs(60))?;
    assert_eq!(String::from_utf8_lossy(&page), PAGE);
    // The node's own log goes on.
    let log = shell.succeed("tail -n 20 /host/data/var/log/holm/agent.log")?;
    assert!(log.contains("started container") && !log.contains("No space left"), "{log}");
    shell.succeed("rm /host/data/pods/*/volumes/volume/large && echo room >/host/data/room")?;
    Ok(())
}

/// The file system counts on each processor by itself: the last few blocks are hard to get.
fn is_nothing(left: &Output) -> bool {
    left.text.parse::<u32>().is_ok_and(|kib| kib < 256)
}

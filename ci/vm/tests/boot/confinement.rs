//! What a container may do and use, seen from inside: limits, system calls, capabilities, users,
//! volumes; and how its end is told.

use std::time::Duration;

use holm_vm::scenario::{Scenario, ScenarioError};
use holm_vm::shell::Shell;
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(60);

/// Prints what a process is and may do; every line is `name=value`.
const PROBE: &str = r#"
          for key in Seccomp NoNewPrivs CapEff CapBnd Groups; do
            echo $key=$(sed -n "s/^$key:[[:space:]]*//p" /proc/self/status)
          done
          echo uid=$(id -u) gid=$(id -g)
          echo cwd=$PWD HOME=$HOME IMAGE=$FROM_IMAGE TEXT=$TEXT NODE=$NODE
          echo oom=$(cat /proc/self/oom_score_adj)
          for file in memory.max cpu.max pids.max memory.oom.group; do
            echo $file=$(cat /sys/fs/cgroup/$file)
          done
          echo hostname=$(hostname)
          touch /bin/x 2>/dev/null && echo root=written || echo root=kept
          touch /disk/x 2>/dev/null && echo disk=written || echo disk=kept
          touch /fixed/x 2>/dev/null && echo fixed=written || echo fixed=kept
          echo disk-owner=$(stat -c %g:%a /disk)
          mount -t tmpfs none /tmp 2>/dev/null && echo mount=made || echo mount=refused
          echo x 2>/dev/null >/proc/sys/kernel/hostname && echo sys=written || echo sys=kept
          echo kcore=$(head -c 4 /proc/kcore 2>/dev/null | wc -c)
          echo done"#;

const GUARANTEED: &str = "
      resources:
        limits: { memory: 24Mi, cpu: 500m }
      securityContext:
        runAsUser: 1000
        runAsGroup: 1001
        runAsNonRoot: true
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: { drop: [ALL], add: [NET_BIND_SERVICE] }
      workingDir: /tmp
      env:
        - { name: TEXT, value: \"$(NODE)-text\" }
        - { name: NODE, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }";
const BURSTABLE: &str = "
      resources:
        requests: { memory: 64Mi }
      securityContext:
        seccompProfile: { type: Unconfined }";

fn probe(name: &str, pod: &str, container: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  terminationGracePeriodSeconds: 1
{pod}
  containers:
    - name: main
      image: localhost/probe:1
      imagePullPolicy: Never{container}
      command:
        - sh
        - -c
        - |{PROBE}
          exec sleep 1000000
      volumeMounts:
        - {{ name: disk, mountPath: /disk }}
        - {{ name: disk, mountPath: /fixed, readOnly: true }}
  volumes:
    - name: disk
      emptyDir: {{}}
"#
    )
}

/// A pod that ends by `command`.
fn ends(name: &str, policy: &str, command: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  restartPolicy: {policy}
  containers:
    - name: main
      image: localhost/probe:1
      imagePullPolicy: Never
      resources:
        limits: {{ memory: 16Mi }}
      command: [sh, -c, "{command}"]
"#
    )
}

const PROPAGATION: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: mounts
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: localhost/probe:1
      imagePullPolicy: Never
      command: [sleep, "1000001"]
      volumeMounts:
        - { name: host, mountPath: /slave, mountPropagation: HostToContainer }
        - { name: host, mountPath: /private }
  volumes:
    - name: host
      hostPath: { path: /data/mounts }
"#;

fn log(shell: &mut Shell, pod: &str) -> Result<Vec<String>, ScenarioError> {
    let command = format!("chroot /host /usr/bin/holm logs {pod}-edge-1");
    let log = shell.wait_until(&command, WAIT, |log| log.text.ends_with("done"))?;
    Ok(log.text.lines().map(str::to_owned).collect())
}

fn assert_lines(pod: &str, log: &[String], expected: &[&str]) {
    for line in expected {
        assert!(log.iter().any(|got| got == line), "{pod}: {line:?} is not in {log:#?}");
    }
}

/// The pod's status once `accept` takes it.
fn status(
    shell: &mut Shell,
    pod: &str,
    accept: impl Fn(&Value) -> bool,
) -> Result<Value, ScenarioError> {
    let find = |text: &str| -> Option<Value> {
        let list: Value = serde_json::from_str(text).ok()?;
        let items = list["items"].as_array()?.clone();
        let named = |item: &&Value| item["metadata"]["name"] == format!("{pod}-edge-1");
        items.iter().find(named).map(|item| item["status"].clone())
    };
    let list = "chroot /host /usr/bin/holm pods --json";
    let found =
        shell.wait_until(list, WAIT, |list| find(&list.text).is_some_and(|s| accept(&s)))?;
    Ok(find(&found.text).unwrap_or_default())
}

#[test]
fn containers_have_what_they_were_given_and_no_more() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("confinement")?;
    let busybox = holm_vm::scenario::static_busybox()?;
    let mut image = holm_vm::archive::busybox("localhost/probe:1", busybox, &[]);
    image.environment.push("FROM_IMAGE=yes".to_owned());
    image.working_directory = "/etc".to_owned();
    scenario.preload("probe", &image)?;
    let pod = "  securityContext: { fsGroup: 2000, supplementalGroups: [3000] }";
    scenario.add_manifest("guaranteed", &probe("guaranteed", pod, GUARANTEED))?;
    scenario.add_manifest("burstable", &probe("burstable", "", BURSTABLE))?;
    scenario.add_manifest("besteffort", &probe("besteffort", "", ""))?;
    scenario.add_manifest("crash", &ends("crash", "Always", "exit 3"))?;
    scenario.add_manifest("job", &ends("job", "OnFailure", "exit 0"))?;
    scenario.add_manifest("once", &ends("once", "Never", "exit 7"))?;
    let greedy = "dd if=/dev/zero of=/dev/null bs=64M count=1";
    scenario.add_manifest("greedy", &ends("greedy", "Never", greedy))?;
    scenario.add_manifest("mounts", PROPAGATION)?;
    let refused = PROPAGATION.replace("HostToContainer", "Bidirectional");
    scenario.add_manifest("refused", &refused.replace("name: mounts", "name: refused"))?;
    let (_vm, mut shell) = scenario.boot_with_shell()?;

    let guaranteed = log(&mut shell, "guaranteed")?;
    assert_lines(
        "guaranteed",
        &guaranteed,
        &[
            "Seccomp=2",
            "NoNewPrivs=1",
            // A user other than root keeps nothing, unless a file gives it.
            "CapEff=0000000000000000",
            "CapBnd=0000000000000400",
            "Groups=2000 3000",
            "uid=1000 gid=1001",
            "cwd=/tmp HOME=/ IMAGE=yes TEXT=$(NODE)-text NODE=edge-1",
            "oom=-997",
            "memory.max=25165824",
            "cpu.max=50000 100000",
            "memory.oom.group=1",
            "hostname=guaranteed-edge-1",
            "root=kept",
            "disk=written",
            "fixed=kept",
            "disk-owner=2000:2777",
            "mount=refused",
            "sys=kept",
            "kcore=0",
        ],
    );
    let burstable = log(&mut shell, "burstable")?;
    assert_lines("burstable", &burstable, &["Seccomp=0", "NoNewPrivs=0", "memory.max=max"]);
    let oom = burstable.iter().find_map(|line| line.strip_prefix("oom=")?.parse::<i32>().ok());
    // 64 MiB of what the kernel leaves of 256 MiB.
    assert!(oom.is_some_and(|oom| (600..760).contains(&oom)), "{oom:?}");
    let besteffort = log(&mut shell, "besteffort")?;
    assert_lines(
        "besteffort",
        &besteffort,
        &[
            "Seccomp=2",
            "NoNewPrivs=0",
            "CapEff=00000000a00425fb",
            "uid=0 gid=0",
            "cwd=/etc HOME=/ IMAGE=yes TEXT= NODE=",
            "oom=1000",
            "memory.max=max",
            "cpu.max=max 100000",
            "root=written",
            "disk=written",
            "fixed=kept",
            "mount=refused",
            "sys=kept",
            "kcore=0",
        ],
    );
    let pids = besteffort.iter().find_map(|line| line.strip_prefix("pids.max="));
    assert!(pids.is_some_and(|pids| pids.parse::<u32>().is_ok()), "no bound: {pids:?}");

    // Ends.
    let job = status(&mut shell, "job", |status| status["phase"] == "Succeeded")?;
    assert_eq!(job["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    let once = status(&mut shell, "once", |status| status["phase"] == "Failed")?;
    let end = &once["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&7.into(), &"Error".into()), "{end}");
    let greedy = status(&mut shell, "greedy", |status| status["phase"] == "Failed")?;
    let end = &greedy["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&137.into(), &"OOMKilled".into()), "{end}");
    let crash = status(&mut shell, "crash", |status| {
        let container = &status["containerStatuses"][0];
        container["restartCount"] == 1
            && container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    })?;
    let end = &crash["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&3.into(), &"Error".into()), "{end}");

    // What the node mounts later is seen where that was asked for, and there alone.
    let mounts = shell.wait_until("pidof sleep", WAIT, |found| found.status == 0)?;
    drop(mounts);
    let main = shell.process("sleep 1000001")?;
    shell.succeed(
        "cp /bin/busybox /host/run/busybox && nsenter -t 1 -m /run/busybox mkdir -p /data/mounts/x \
         && nsenter -t 1 -m /run/busybox mount -t tmpfs late /data/mounts/x",
    )?;
    let seen = shell.succeed(&format!("grep late /proc/{main}/mountinfo"))?;
    assert!(seen.contains("/slave/x") && !seen.contains("/private"), "{seen}");
    let words = shell.succeed("grep -i propagation /host/data/var/log/holm/agent.log")?;
    assert!(words.contains("refused.yaml") && words.contains("HostToContainer"), "{words}");
    Ok(())
}

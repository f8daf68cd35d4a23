//! Manifests come, change and go while the node runs: pods follow, and nothing of an old one stays.

use std::time::Duration;

use holm_vm::scenario::{Scenario, ScenarioError};
use holm_vm::shell::Shell;

const WAIT: Duration = Duration::from_secs(60);
const DOCUMENT: &str =
    "[node]\nhostname = \"edge-1\"\n[pods]\nmanifests = [\"manifests\", \"/data/manifests\"]\n";
const AGENT: &str = "/usr/bin/holm agent";

/// A pod with a link, a host port, a volume of each kind and a process that ends when asked to.
fn manifest(version: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Pod
metadata:
  name: changing
spec:
  containers:
    - name: main
      image: localhost/busybox:1
      command: [httpd, -f, -p, "80", -h, /etc]
      env:
        - name: VERSION
          value: "{version}"
      ports:
        - containerPort: 80
          hostPort: 8081
      volumeMounts:
        - {{ name: disk, mountPath: /disk }}
        - {{ name: memory, mountPath: /memory, subPath: part }}
  volumes:
    - name: disk
      emptyDir: {{}}
    - name: memory
      emptyDir:
        medium: Memory
        sizeLimit: 1Mi
"#
    )
}

/// What `holm pods` says of the pod: its UID once `ready` of its containers are ready.
fn pod_uid(shell: &mut Shell, ready: &str) -> Result<String, ScenarioError> {
    let list = "chroot /host /usr/bin/holm pods";
    shell.wait_until(list, WAIT, |list| {
        list.text.lines().any(|line| line.contains(" changing-edge-1 ") && line.contains(ready))
    })?;
    let uids = "cd /host/data/pods && grep -l changing */pod.json | cut -d / -f 1";
    Ok(shell.succeed(uids)?)
}

/// Everything on the node that names a pod's UID, and how many links the node has.
fn traces(uid: &str) -> String {
    format!(
        "find /host/sys/fs/cgroup/pods /host/run/holm/netns /host/run/holm/shims /host/data/pods \
         /host/data/containers /host/data/var/log/pods -maxdepth 1 -name '*{uid}*'; \
         grep -l {uid} /host/run/holm/*.json; grep {uid} /host/proc/1/mountinfo; true"
    )
}

fn write(shell: &mut Shell, name: &str, text: &str) -> Result<(), ScenarioError> {
    // Written beside its place and moved there, as careful tools do.
    shell.succeed(&format!(
        "mkdir -p /host/data/manifests && cat >/host/data/.new <<'END'\n{text}\nEND\n\
         mv /host/data/.new /host/data/manifests/{name}"
    ))?;
    Ok(())
}

#[test]
fn pods_follow_their_manifests() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("manifests")?;
    scenario.write_document(DOCUMENT)?;
    let (_vm, mut shell) = scenario.boot_with_shell()?;
    let links = "ls /sys/class/net | wc -l";
    let before = shell.succeed(links)?;
    // Debian's static busybox has no wget that works without shared libraries.
    let get = "address=$(ip -4 addr show scope global | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p' | \
               head -n 1); printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' | \
               nc -w 5 $address 8081 | tail -n 1 | grep .";

    // Added.
    write(&mut shell, "changing.yaml", &manifest("one"))?;
    let first = pod_uid(&mut shell, "1/1")?;
    let process = shell.process("httpd -f -p 80 -h /etc")?;
    let environment = format!("tr '\\0' '\\n' </proc/{process}/environ | grep VERSION");
    assert_eq!(shell.succeed(&environment)?, "VERSION=one");
    assert_eq!(shell.succeed(get)?, "changing-edge-1");
    assert_ne!(shell.succeed(links)?, before);
    let seen = shell.succeed(&traces(&first))?;
    for place in ["cgroup/pods", "netns", "data/pods", "log/pods", "pod-network.json", "memory"] {
        assert!(seen.contains(place), "{place} is not among {seen}");
    }

    // Nonsense, or half of it, changes nothing.
    write(&mut shell, "changing.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: changing}")?;
    shell.wait_until("cat /host/data/var/log/holm/agent.log", WAIT, |log| {
        log.text.contains("changing.yaml") && log.text.contains("spec")
    })?;
    assert_eq!(shell.process("httpd -f -p 80 -h /etc")?, process);

    // Changed: another pod in the old one's place.
    write(&mut shell, "changing.yaml", &manifest("two"))?;
    let second_process = shell.wait_for_other_process("httpd -f -p 80 -h /etc", &process, WAIT)?;
    let second = pod_uid(&mut shell, "1/1")?;
    assert_ne!(first, second);
    let environment = format!("tr '\\0' '\\n' </proc/{second_process}/environ | grep VERSION");
    assert_eq!(shell.succeed(&environment)?, "VERSION=two");
    assert_eq!(shell.succeed(get)?, "changing-edge-1");
    shell.wait_until(&traces(&first), WAIT, |left| left.text.is_empty())?;

    // Removed.
    shell.succeed("rm /host/data/manifests/changing.yaml")?;
    shell.wait_until(&traces(&second), WAIT, |left| left.text.is_empty())?;
    assert_eq!(shell.succeed(links)?, before);
    assert_ne!(shell.run(get)?.status, 0, "somebody answers for a pod that is gone");
    assert!(shell.process("httpd -f").is_err());
    let list = shell.succeed_on_host("/usr/bin/holm pods")?;
    assert!(!list.contains("changing"), "{list}");

    // Another folder, by a document that is read again.
    let agent = shell.process(AGENT)?;
    let other = DOCUMENT.replace("/data/manifests", "/data/other");
    shell.succeed(&format!(
        "mkdir -p /host/data/other && cat >/host/run/holm/holm.toml <<'END'\n{other}\nEND\n\
         kill -HUP {agent}"
    ))?;
    write(&mut shell, "../other/changing.yaml", &manifest("three"))?;
    pod_uid(&mut shell, "1/1")?;
    assert_eq!(shell.process(AGENT)?, agent);
    Ok(())
}

//! Looks at the node for the checks of a trial: files that the services keep, and the kernel.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holm_update::trial::Observed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use super::node::Init;
use crate::places;

/// How long an own check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(30);
const DISKS: [&str; 2] = ["/state", "/data"];

/// How the node is now. `server` says why the update server does not answer.
pub(super) fn now(init: &Init, server: Option<String>, commands: &[Vec<String>]) -> Observed {
    let network = json(places::NETWORK);
    let pods = json(places::PODS);
    let failed = commands.iter().filter_map(|command| Some((command.join(" "), run(command)?)));
    Observed {
        not_ready: init.not_ready(),
        pods: running(&pods),
        links: links(&network),
        gateway: network["gateways"].as_array().is_some_and(|list| !list.is_empty()),
        server,
        free: DISKS.iter().filter_map(|disk| Some(((*disk).to_owned(), free(disk)?))).collect(),
        memory: memory(),
        failed_checks: failed.collect(),
    }
}

/// What was kept; nothing when there is nothing readable.
pub(super) fn read(path: &str) -> Observed {
    let text = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Keeps it through a reboot.
pub(super) fn write(path: &str, observed: &Observed) -> io::Result<()> {
    let new = format!("{path}.new");
    let file = fs::File::create(&new)?;
    io::Write::write_all(&mut &file, &serde_json::to_vec(observed)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn json(path: &str) -> Value {
    let text = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Pods of which every container is ready.
fn running(list: &Value) -> Vec<String> {
    let ready = |pod: &&Value| {
        let containers = pod["status"]["containerStatuses"].as_array();
        pod["status"]["phase"] == "Running"
            && containers.is_some_and(|all| all.iter().all(|one| one["ready"] == true))
    };
    let pods = list["items"].as_array().into_iter().flatten().filter(ready);
    let text = |value: &Value| value.as_str().unwrap_or("default").to_owned();
    pods.map(|pod| {
        let metadata = &pod["metadata"];
        format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"]))
    })
    .collect()
}

fn links(network: &Value) -> Vec<String> {
    let has_address = |link: &&Value| {
        let addresses = link["addresses"].as_array().into_iter().flatten();
        // Every link gives itself one of these.
        addresses.filter_map(Value::as_str).any(|address| !address.starts_with("fe80:"))
    };
    let links = network["links"].as_array().into_iter().flatten().filter(has_address);
    links.filter_map(|link| Some(link["name"].as_str()?.to_owned())).collect()
}

fn free(place: &str) -> Option<u64> {
    let free = rustix::fs::statvfs(place).ok()?;
    Some(free.f_bavail * free.f_frsize)
}

fn memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.map_or(u64::MAX, |kibibytes| kibibytes << 10)
}

/// How an own check failed.
fn run(command: &[String]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Some(format!("cannot be started: {error}")),
    };
    let ended = wait(&child, CHECK_LIMIT);
    if !ended {
        let _ = child.kill();
    }
    match child.wait() {
        _ if !ended => Some(format!("not done within {} s", CHECK_LIMIT.as_secs())),
        Ok(status) if status.success() => None,
        Ok(status) => Some(status.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// Whether the child ends in time.
fn wait(child: &Child, limit: Duration) -> bool {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(Ok(process)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
        return false;
    };
    let limit = Timespec::try_from(limit).ok();
    let mut fds = [PollFd::new(&process, PollFlags::IN)];
    poll(&mut fds, limit.as_ref()).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_pods_whose_containers_are_all_ready_count() {
        let pod = |name: &str, phase: &str, ready: bool| {
            json!({ "metadata": { "name": name, "namespace": "x" },
                "status": { "phase": phase, "containerStatuses": [{ "ready": ready }] } })
        };
        let list = json!({ "items": [pod("a", "Running", true), pod("b", "Running", false),
            pod("c", "Pending", true)] });
        assert_eq!(running(&list), ["x/a"]);
        assert!(running(&Value::Null).is_empty());
    }

    #[test]
    fn link_local_addresses_are_no_network() {
        let link = |name: &str, address: &str| json!({ "name": name, "addresses": [address] });
        let network = json!({ "links": [link("eth0", "10.0.0.2/24"), link("eth1", "fe80::1/64")] });
        assert_eq!(links(&network), ["eth0"]);
    }

    #[test]
    fn own_check_succeeds_fails_or_is_not_there() {
        let command = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(run(&command("/bin/true")), None);
        assert_eq!(run(&command("/bin/false")).as_deref(), Some("exit status: 1"));
        assert!(run(&command("/nowhere")).is_some_and(|how| how.starts_with("cannot be started")));
    }

    #[test]
    fn observation_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("before.json");
        let path = path.to_str().unwrap();
        assert_eq!(read(path), Observed::default());
        let seen = Observed { links: vec!["eth0".into()], gateway: true, ..Observed::default() };
        write(path, &seen).unwrap();
        assert_eq!(read(path), seen);
    }
}

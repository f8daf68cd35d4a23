//! The same container as an OCI bundle's `config.json`, for runtimes that have no other way. Pure.
//!
//! It asks for no more than Holm's does, and for one thing less: no system call filter.

use std::path::Path;

use holm_node::container::DEFAULT_CAPABILITIES;
use serde_json::{Value, json};

use crate::container::{COMMAND, MEMORY, PROCESSES, PROCESSOR};

/// Microseconds.
const PERIOD: u64 = 100_000;

/// The configuration, by the OCI's runtime specification.
pub fn config(id: &str, rootfs: &Path) -> Value {
    let capabilities = DEFAULT_CAPABILITIES;
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.0.2",
        "hostname": "bench",
        "root": {"path": rootfs, "readonly": false},
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": COMMAND,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "noNewPrivileges": true,
        },
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "cgroupsPath": format!("/bench/{id}"),
            "resources": {
                "memory": {"limit": MEMORY},
                "cpu": {"quota": PERIOD * PROCESSOR / 1000, "period": PERIOD},
                "pids": {"limit": PROCESSES},
            },
            "namespaces": namespaces.map(|kind| json!({"type": kind})),
            "maskedPaths": [
                "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container;

    #[test]
    fn limits_and_program_are_those_of_holms_container() {
        let bundle = config("runc-0", Path::new("/bench/rootfs"));
        let holm = container::config("holm-0", Path::new("/bench"));
        let resources = &bundle["linux"]["resources"];
        assert_eq!(resources["memory"]["limit"].as_u64(), holm.resources.memory_max);
        assert_eq!(resources["pids"]["limit"].as_u64(), holm.resources.pids_max);
        assert_eq!(resources["cpu"]["quota"], resources["cpu"]["period"], "one core");
        assert_eq!(holm.resources.cpu_limit_millis, Some(1000), "one core");
        assert_eq!(bundle["process"]["args"], json!(holm.process.args));
        assert_eq!(bundle["process"]["capabilities"]["bounding"], json!(holm.process.capabilities));
        assert_eq!(bundle["root"]["path"], json!(holm.layers[0]));
        assert_eq!(bundle["hostname"].as_str(), holm.hostname.as_deref());
    }
}

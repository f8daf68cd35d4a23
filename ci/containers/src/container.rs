//! The one container that every runtime makes. Pure.

use std::path::Path;

use holm_node::container::{ContainerConfig, DEFAULT_CAPABILITIES, Namespaces, Process, Resources};

/// What it runs: nothing that takes time or ends by itself.
pub const COMMAND: [&str; 3] = ["/bin/busybox", "sleep", "1000"];
/// Bytes.
pub const MEMORY: u64 = 64 << 20;
/// Processes.
pub const PROCESSES: u64 = 64;
/// Thousandths of a core.
pub const PROCESSOR: u64 = 1000;

/// The container as Holm's agent describes one: as a pod's, with the default system call filter.
pub fn config(id: &str, folder: &Path) -> ContainerConfig {
    ContainerConfig {
        id: id.to_owned(),
        labels: [("name".to_owned(), id.to_owned())].into(),
        layers: vec![folder.join("rootfs")],
        dir: folder.join("containers").join(id),
        process: Process {
            args: COMMAND.map(str::to_owned).to_vec(),
            capabilities: DEFAULT_CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
            no_new_privileges: true,
            ..Process::default()
        },
        mounts: Vec::new(),
        devices: Vec::new(),
        namespaces: Namespaces::default(),
        resources: Resources {
            memory_max: Some(MEMORY),
            cpu_limit_millis: Some(PROCESSOR),
            cpu_request_millis: None,
            pids_max: Some(PROCESSES),
        },
        cgroup: Path::new("/bench").join(id),
        log_path: folder.join("logs").join(format!("{id}.log")),
        log_max_bytes: 1 << 20,
        log_max_files: 2,
        hostname: Some("bench".to_owned()),
        readonly_rootfs: false,
        privileged: false,
        seccomp: true,
        sysctls: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_lies_where_the_runtime_wants_it() {
        let config = config("holm-0", Path::new("/bench"));
        assert_eq!(config.dir, Path::new("/bench/containers/holm-0"));
        assert_eq!(config.cgroup, Path::new("/bench/holm-0"));
        assert!(config.seccomp && !config.privileged);
    }
}

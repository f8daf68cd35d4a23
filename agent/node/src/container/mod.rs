//! Containers: what one is ([`ContainerConfig`]) and what can be done with it ([`Runtime`]).
//!
//! The agent never creates a container itself: libcontainer forks and must not run in a threaded
//! process. A single-threaded child of the same binary (the shim) creates, reaps and logs each one,
//! and outlives the agent.

use std::path::PathBuf;

/// Everything that one container needs, resolved: no image, pod or Kubernetes notion is left.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContainerConfig {
    /// Unique on the node, at most 64 characters of `[a-z0-9-]`.
    pub id: String,
    /// Pod UID, pod namespace, pod name, container name: kept so that a restarted agent finds them.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Unpacked layers, lowest first (overlayfs `lowerdir`, reversed).
    pub layers: Vec<PathBuf>,
    /// The container's own folder: the overlay's upper and work folders, the bundle.
    pub dir: PathBuf,
    pub process: Process,
    pub mounts: Vec<Mount>,
    pub namespaces: Namespaces,
    pub resources: Resources,
    /// cgroup v2 path from the hierarchy's root, such as `/pods/<uid>/<container>`.
    pub cgroup: PathBuf,
    /// CRI-format log file.
    pub log_path: PathBuf,
    /// Rotation: bytes in one file, and how many files are kept.
    pub log_max_bytes: u64,
    pub log_max_files: u32,
    pub hostname: Option<String>,
    pub readonly_rootfs: bool,
    /// All devices, capabilities and an unmasked /proc and /sys; no seccomp.
    pub privileged: bool,
    /// Default seccomp profile on (`RuntimeDefault`) or off (`Unconfined`).
    pub seccomp: bool,
    pub sysctls: std::collections::BTreeMap<String, String>,
}

/// The first process of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    pub args: Vec<String>,
    /// `KEY=value`, in order; a later one wins.
    pub env: Vec<String>,
    pub cwd: String,
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
    /// `CAP_…` names; the whole set, not a change to a default.
    pub capabilities: Vec<String>,
    pub no_new_privileges: bool,
    pub oom_score_adj: i32,
    pub terminal: bool,
}

/// A bind mount or a special file system in the container.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mount {
    pub source: PathBuf,
    pub destination: PathBuf,
    pub readonly: bool,
    /// `None`: bind mount of `source`; otherwise a file system type such as `tmpfs`.
    pub fs_type: Option<String>,
    /// Further mount options in OCI words (`size=64m`, `rshared`).
    pub options: Vec<String>,
}

/// Namespaces to join. `None` is a new one, `Some(path)` joins, and `host` flags share the node's.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Namespaces {
    pub network: Option<PathBuf>,
    pub ipc: Option<PathBuf>,
    pub uts: Option<PathBuf>,
    pub host_network: bool,
    pub host_pid: bool,
    pub host_ipc: bool,
}

/// cgroup v2 limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resources {
    /// `memory.max`, bytes.
    pub memory_max: Option<u64>,
    /// CPU limit in thousandths of a core (`cpu.max` over a 100 ms period).
    pub cpu_limit_millis: Option<u64>,
    /// CPU request in thousandths of a core (`cpu.weight`).
    pub cpu_request_millis: Option<u64>,
    /// `pids.max`.
    pub pids_max: Option<u64>,
}

/// What the node knows of one container. Survives a restart of the agent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ContainerState {
    /// Made, not started.
    Created {
        pid: i32,
    },
    Running {
        pid: i32,
        started_at: jiff::Timestamp,
    },
    Exited(Exit),
    /// The shim is gone and left no exit record (a power cut): what happened is not known.
    Unknown,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Exit {
    /// Exit status, or 128 + signal.
    pub code: i32,
    pub signal: Option<i32>,
    pub oom_killed: bool,
    pub started_at: Option<jiff::Timestamp>,
    pub finished_at: jiff::Timestamp,
}

/// What can be done with containers. The real one spawns shims; tests have a fake.
pub trait Runtime {
    /// Spawns the shim and returns when the container is created (not started).
    fn create(&self, config: &ContainerConfig) -> Result<(), RuntimeError>;
    /// Starts a created container.
    fn start(&self, id: &str) -> Result<(), RuntimeError>;
    /// Sends `signal` to the first process; to every process when `all`.
    fn signal(&self, id: &str, signal: i32, all: bool) -> Result<(), RuntimeError>;
    /// Removes what an ended container left: cgroup, mounts, its folder. Twice is harmless.
    fn delete(&self, id: &str) -> Result<(), RuntimeError>;
    /// All containers that the node has, those of an earlier agent included.
    fn list(&self) -> Result<Vec<(ContainerConfig, ContainerState)>, RuntimeError>;
}

/// A failed operation of the runtime; the source says why.
#[derive(Debug, thiserror::Error)]
#[error("{operation} container {id}")]
pub struct RuntimeError {
    pub operation: &'static str,
    pub id: String,
    #[source]
    pub source: std::io::Error,
}

//! Containers: what one is ([`ContainerConfig`]) and what can be done with it ([`Runtime`]).
//!
//! The agent never creates a container itself: libcontainer forks and must not run in a threaded
//! process. A single-threaded child of the same binary (the shim) creates, reaps and logs each one,
//! and outlives the agent.

mod capabilities;
mod cgroup;
mod complaints;
mod control;
mod create;
mod deadline;
mod devices;
mod lines;
mod liveness;
mod log_file;
mod mounts;
mod payload;
mod record;
mod rootfs;
mod runtime;
mod seccomp;
pub mod shim;
mod signals;
mod spec;
mod streams;
mod user;

pub use runtime::ShimRuntime;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Everything that one container needs, resolved: no image, pod or Kubernetes notion is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// Unique on the node, 1 to 64 characters of `[a-z0-9-]`. Never used twice: a restarted
    /// container is a new one.
    pub id: String,
    /// Pod UID, pod namespace, pod name, container name: kept so that a restarted agent finds them.
    pub labels: BTreeMap<String, String>,
    /// Unpacked layers, lowest first (overlayfs `lowerdir`, reversed).
    pub layers: Vec<PathBuf>,
    /// The container's own folder, `<containers>/<id>` of the runtime, on a disk that overlayfs
    /// accepts as upper folder. `create` makes it, `delete` removes it.
    pub dir: PathBuf,
    /// The first process.
    pub process: Process,
    /// Beside the defaults (`/proc`, `/sys`, `/sys/fs/cgroup`, `/dev`, `/dev/pts`, `/dev/shm`,
    /// `/dev/mqueue`); one with the same destination replaces the default.
    pub mounts: Vec<Mount>,
    /// Devices beside the default ones (`null`, `zero`, `full`, `random`, `urandom`, `tty`).
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Namespaces that are shared.
    pub namespaces: Namespaces,
    /// cgroup limits.
    pub resources: Resources,
    /// cgroup v2 path from the hierarchy's root, such as `/pods/<uid>/<container>`. The last folder
    /// belongs to this container alone; those above it are made when they are missing, and stay.
    pub cgroup: PathBuf,
    /// CRI-format log file. Its folder is made; `delete` leaves the log alone.
    pub log_path: PathBuf,
    /// Bytes in one log file. A full one is renamed to `<log_path>.1`, `.1` to `.2` and so on.
    pub log_max_bytes: u64,
    /// How many log files are kept, the current one included.
    pub log_max_files: u32,
    /// Set in a new UTS namespace only.
    pub hostname: Option<String>,
    /// Mount the root read-only.
    pub readonly_rootfs: bool,
    /// All devices, capabilities and an unmasked /proc and /sys; no seccomp.
    pub privileged: bool,
    /// Default seccomp profile on (`RuntimeDefault`) or off (`Unconfined`).
    pub seccomp: bool,
    /// Kernel parameters of the container's own namespaces, by dotted name.
    pub sysctls: BTreeMap<String, String>,
}

/// The first process of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The program and its arguments. The program is searched in the container's `PATH`.
    pub args: Vec<String>,
    /// `KEY=value`, in order; a later one wins. `PATH` and `HOME` get a default when missing.
    pub env: Vec<String>,
    /// Working directory; empty is `/`. Made when it is missing.
    pub cwd: String,
    /// Who it runs as.
    pub user: User,
    /// `CAP_…` names; the whole set, not a change to a default ([`DEFAULT_CAPABILITIES`]).
    pub capabilities: Vec<String>,
    /// Set-user-ID programs give nothing (`allowPrivilegeEscalation: false`).
    pub no_new_privileges: bool,
    /// -1000 to 1000.
    pub oom_score_adj: i32,
    /// A pseudo-terminal as standard streams; its output is logged as `stdout`.
    pub terminal: bool,
    /// Beside the default of `RLIMIT_NOFILE`.
    #[serde(default)]
    pub rlimits: Vec<Rlimit>,
}

/// Who a process runs as. Names are looked up by the shim, in the container's own `/etc/passwd`
/// and `/etc/group`, so that the agent need not read a root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The image's `USER`: `name`, `uid`, `name:group` or `uid:gid`; empty is root.
    pub image: String,
    /// `runAsUser`: wins over the image's user.
    pub uid: Option<u32>,
    /// `runAsGroup`: wins over the group of the image and of `/etc/passwd`.
    pub gid: Option<u32>,
    /// `fsGroup` and `supplementalGroups`, beside those that `/etc/group` gives the user.
    pub additional_gids: Vec<u32>,
    /// `runAsNonRoot`: `create` fails when the user turns out to be 0.
    pub must_not_be_root: bool,
}

/// A resource limit of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_…` name.
    pub name: String,
    /// Effective limit.
    pub soft: u64,
    /// Ceiling for the soft limit.
    pub hard: u64,
}

/// A device node of the host that a container gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Node on the host.
    pub source: PathBuf,
    /// Node in the container, below `/dev`.
    pub destination: PathBuf,
}

/// A bind mount or a special file system in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Folder or file on the host; a word such as `tmpfs` for a special file system.
    pub source: PathBuf,
    /// Absolute path in the container; made when it is missing.
    pub destination: PathBuf,
    /// Mount it read-only.
    pub readonly: bool,
    /// `None`: bind mount of `source`; otherwise a file system type such as `tmpfs`.
    pub fs_type: Option<String>,
    /// Further mount options in OCI words (`size=64m`, `noexec`).
    pub options: Vec<String>,
}

/// Namespaces to join. `None` is a new one, `Some(path)` joins, and `host` flags share the node's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Network namespace of the pod, a bind-mounted namespace file.
    pub network: Option<PathBuf>,
    /// IPC namespace of the pod.
    pub ipc: Option<PathBuf>,
    /// UTS namespace of the pod.
    pub uts: Option<PathBuf>,
    /// Share the node's network and UTS namespaces.
    pub host_network: bool,
    /// Share the node's PID namespace.
    pub host_pid: bool,
    /// Share the node's IPC namespace.
    pub host_ipc: bool,
}

/// cgroup v2 limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Made, not started.
    Created {
        /// The waiting process, as the node numbers it.
        pid: i32,
    },
    /// Started, not ended.
    Running {
        /// The first process, as the node numbers it.
        pid: i32,
        /// When `start` was carried out.
        started_at: jiff::Timestamp,
    },
    /// Ended; every line it wrote is in the log.
    Exited(Exit),
    /// The shim is gone and left no exit record (a power cut): what happened is not known.
    Unknown,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status, or 128 + signal.
    pub code: i32,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The kernel killed a process of it for want of memory.
    pub oom_killed: bool,
    /// `None` when it was never started.
    pub started_at: Option<jiff::Timestamp>,
    /// When the first process ended.
    pub finished_at: jiff::Timestamp,
}

/// What can be done with containers. The real one spawns shims; tests have a fake.
///
/// Every call blocks for as long as the kernel takes, with a deadline: from async code call it by
/// `spawn_blocking`. The `kind` of an error's source says more: `InvalidInput` is a configuration
/// that can never work, `AlreadyExists` an id that is in use, `NotFound` an unknown container,
/// `TimedOut` a shim that does not answer; any other is what the kernel or the runtime said.
pub trait Runtime: Send + Sync {
    /// Spawns the shim and returns when the container is created (not started). A failed create
    /// leaves nothing behind. A missing or forbidden program fails here, not in `start`.
    fn create(&self, config: &ContainerConfig) -> Result<(), RuntimeError>;
    /// Starts a created container.
    fn start(&self, id: &str) -> Result<(), RuntimeError>;
    /// Sends `signal` to the first process; to every process when `all`. An ended container is no
    /// error.
    fn signal(&self, id: &str, signal: i32, all: bool) -> Result<(), RuntimeError>;
    /// Kills what still runs of it and removes what is left: processes, cgroup, mounts, its folder.
    /// The log stays. Twice is harmless.
    fn delete(&self, id: &str) -> Result<(), RuntimeError>;
    /// Removes a cgroup that held containers, with what is left in it. Absent is fine.
    fn remove_cgroup(&self, cgroup: &Path) -> Result<(), RuntimeError>;
    /// All containers that the node has, those of an earlier agent and an earlier boot included;
    /// not those that another thread is just creating.
    fn list(&self) -> Result<Vec<(ContainerConfig, ContainerState)>, RuntimeError>;
    /// A non-blocking descriptor that becomes readable after the state of any container may have
    /// changed. Read it empty (a buffer of 4 KiB, until `EAGAIN`; the bytes mean nothing), then
    /// look with `list`. Take it before the first `list`, and no change is missed. With tokio:
    /// `AsyncFd::with_interest(fd, Interest::READABLE)`.
    fn events(&self) -> Result<OwnedFd, RuntimeError>;
}

/// A failed operation of the runtime; the source says why.
#[derive(Debug, thiserror::Error)]
#[error("{operation} container {id}")]
pub struct RuntimeError {
    /// `create`, `start`, `signal`, `delete`, `list`, `watch` or `remove the cgroup of`.
    pub operation: &'static str,
    /// The container, or the cgroup; empty for `list` and `watch`.
    pub id: String,
    /// What went wrong.
    #[source]
    pub source: std::io::Error,
}

/// What a container may do when nothing else is asked for. The engines' default less `CAP_MKNOD`:
/// cgroup v2 enforces device rules by a BPF program only, and without this capability (and with
/// `nodev` on everything but `/dev`) no process can make or open a device that it was not given.
pub const DEFAULT_CAPABILITIES: &[&str] = &[
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

//! A pod as the node runs it: checked, defaulted, and free of everything that Holm does not do.
//! Made only by `admit`; the state machine and the container plan read it. Pure data.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::network::HostPort;

/// One pod of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Identity: another one for every change of source or content.
    pub uid: String,
    /// `default` when the manifest names none.
    pub namespace: String,
    /// The manifest's name with the node's name appended, as the kubelet does for static pods.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// Host name inside the pod.
    pub hostname: String,
    /// When ended containers start again.
    pub restart_policy: RestartPolicy,
    /// Time between `SIGTERM` and `SIGKILL`.
    pub grace: Duration,
    /// Ends last when the node shuts down.
    pub critical: bool,
    /// Shares the node's network.
    pub host_network: bool,
    /// Shares the node's process ids.
    pub host_pid: bool,
    /// Shares the node's System V and POSIX IPC.
    pub host_ipc: bool,
    /// Further lines of `/etc/hosts`.
    pub host_aliases: Vec<HostAlias>,
    /// How `/etc/resolv.conf` is made.
    pub dns: Dns,
    /// Owner of volumes, and a further group of every process.
    pub fs_group: Option<u32>,
    /// Further groups of every process.
    pub supplemental_groups: Vec<u32>,
    /// Kernel parameters of the pod's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Volumes by name.
    pub volumes: BTreeMap<String, Volume>,
    /// Run one after the other, to success, before the others start.
    pub init_containers: Vec<ContainerSpec>,
    /// Run side by side.
    pub containers: Vec<ContainerSpec>,
}

/// `spec.restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever the exit status.
    Always,
    /// Only after a status other than 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// One entry of `spec.hostAliases`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAlias {
    /// The address.
    pub ip: IpAddr,
    /// Its names.
    pub hostnames: Vec<String>,
}

/// `spec.dnsPolicy` and `spec.dnsConfig`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// Start from the node's resolver (every policy but `None`).
    pub from_node: bool,
    /// Further servers.
    pub nameservers: Vec<String>,
    /// Further search domains.
    pub searches: Vec<String>,
    /// Further options, `name` or `name:value`.
    pub options: Vec<String>,
}

/// Where a volume's files live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// A path of the node.
    HostPath {
        /// Absolute.
        path: PathBuf,
        /// What has to be there, or is made.
        kind: HostPathType,
    },
    /// A folder that lives as long as the pod.
    EmptyDir {
        /// On a tmpfs instead of the disk.
        memory: bool,
        /// Most bytes it may hold; enforced for a tmpfs.
        size_limit: Option<u64>,
    },
}

/// `hostPath.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPathType {
    /// No check.
    Unset,
    /// A folder, made when missing.
    DirectoryOrCreate,
    /// A folder.
    Directory,
    /// A file, made when missing.
    FileOrCreate,
    /// A file.
    File,
    /// A UNIX socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Unique in the pod.
    pub name: String,
    /// Image reference as written.
    pub image: String,
    /// When to pull it.
    pub pull_policy: PullPolicy,
    /// Replaces the image's entry point when not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments when not empty.
    pub args: Vec<String>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// In order.
    pub env: Vec<EnvVar>,
    /// Only those with a host port.
    pub host_ports: Vec<HostPort>,
    /// `resources.limits.memory`, bytes.
    pub memory_limit: Option<u64>,
    /// `resources.requests.memory`, bytes.
    pub memory_request: Option<u64>,
    /// `resources.limits.cpu`, thousandths of a core.
    pub cpu_limit_millis: Option<u64>,
    /// `resources.requests.cpu`, thousandths of a core.
    pub cpu_request_millis: Option<u64>,
    /// In order.
    pub mounts: Vec<VolumeMount>,
    /// Pod and container security contexts, merged.
    pub security: Security,
    /// Absolute path of the termination message file.
    pub termination_message_path: String,
    /// Allocate a terminal.
    pub tty: bool,
}

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Before every start.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Not at all.
    Never,
}

/// One environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Where its value comes from.
    pub value: EnvValue,
}

/// Where the value of an environment variable comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// Text with `$(VAR)` references.
    Text(String),
    /// `fieldRef` to something known before the pod has addresses.
    Field(String),
    /// `status.podIP`.
    PodIp,
    /// `status.podIPs`, joined by commas.
    PodIps,
    /// `status.hostIP`.
    HostIp,
    /// `spec.nodeName`.
    NodeName,
}

/// One entry of `volumeMounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// Name of the volume.
    pub volume: String,
    /// Absolute path in the container.
    pub path: PathBuf,
    /// No writing through this mount.
    pub readonly: bool,
    /// Path below the volume's root. Never absolute and without `..`.
    pub sub_path: Option<PathBuf>,
    /// `rprivate` or `rslave`.
    pub propagation: &'static str,
}

/// What a container's process may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// Instead of the image's user.
    pub run_as_user: Option<u32>,
    /// Instead of the image's group.
    pub run_as_group: Option<u32>,
    /// Refuse to start as user 0.
    pub run_as_non_root: bool,
    /// `CAP_…` names to add to the default set; `ALL` for every one.
    pub capabilities_add: Vec<String>,
    /// `CAP_…` names to remove; `ALL` for every one.
    pub capabilities_drop: Vec<String>,
    /// Everything allowed.
    pub privileged: bool,
    /// The root file system cannot be written.
    pub readonly_rootfs: bool,
    /// `allowPrivilegeEscalation: false`.
    pub no_new_privileges: bool,
    /// `seccompProfile: RuntimeDefault`.
    pub seccomp: bool,
}

impl Pod {
    /// Every container, init containers first.
    pub fn all_containers(&self) -> impl Iterator<Item = &ContainerSpec> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// Every host port of the pod.
    pub fn host_ports(&self) -> Vec<HostPort> {
        self.all_containers().flat_map(|c| c.host_ports.iter().cloned()).collect()
    }

    /// `namespace/name`, for messages.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A container with nothing special, of the image `image`.
    pub(crate) fn container(name: &str) -> ContainerSpec {
        ContainerSpec {
            name: name.to_owned(),
            image: "image".to_owned(),
            pull_policy: PullPolicy::IfNotPresent,
            command: Vec::new(),
            args: Vec::new(),
            working_dir: None,
            env: Vec::new(),
            host_ports: Vec::new(),
            memory_limit: None,
            memory_request: None,
            cpu_limit_millis: None,
            cpu_request_millis: None,
            mounts: Vec::new(),
            security: Security::default(),
            termination_message_path: "/dev/termination-log".to_owned(),
            tty: false,
        }
    }

    /// A pod with nothing special.
    pub(crate) fn pod(inits: &[&str], containers: &[&str]) -> Pod {
        Pod {
            uid: "0123456789abcdef0123456789abcdef".to_owned(),
            namespace: "default".to_owned(),
            name: "web-node".to_owned(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            hostname: "web-node".to_owned(),
            restart_policy: RestartPolicy::Always,
            grace: Duration::from_secs(30),
            critical: false,
            host_network: false,
            host_pid: false,
            host_ipc: false,
            host_aliases: Vec::new(),
            dns: Dns { from_node: true, ..Dns::default() },
            fs_group: None,
            supplemental_groups: Vec::new(),
            sysctls: BTreeMap::new(),
            volumes: BTreeMap::new(),
            init_containers: inits.iter().map(|name| container(name)).collect(),
            containers: containers.iter().map(|name| container(name)).collect(),
        }
    }

    #[test]
    fn host_ports_of_all_containers_are_the_ports_of_the_pod() {
        let port = |host_port| HostPort {
            host_ip: None,
            host_port,
            container_port: 80,
            protocol: "TCP".to_owned(),
        };
        let mut pod = pod(&["setup"], &["web", "log"]);
        pod.init_containers[0].host_ports.push(port(1));
        pod.containers[1].host_ports.push(port(2));
        let ports: Vec<u16> = pod.host_ports().iter().map(|port| port.host_port).collect();
        assert_eq!(ports, [1, 2]);
    }
}

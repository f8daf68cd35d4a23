//! What a pod asks of the network, and the trait that gives it. Implemented by the agent over
//! `holm-network`; nothing here may talk to the kernel.

use std::net::IpAddr;
use std::path::PathBuf;

/// Links a pod to the network. The agent implements it over `holm-network`.
pub trait PodNetwork: Send + Sync {
    /// Makes (or finds again) the pod's network namespace, link, addresses and host ports.
    fn attach(&self, pod: &PodLink) -> Result<PodAddresses, PodNetworkError>;
    /// Removes all of it. Goes on after an error and reports the first. Twice is harmless.
    fn detach(&self, pod_uid: &str) -> Result<(), PodNetworkError>;
    /// UIDs of pods that are attached, for finding leftovers after a restart.
    fn attached(&self) -> Result<Vec<String>, PodNetworkError>;
}

/// What a pod wants of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodLink {
    /// UID of the pod.
    pub pod_uid: String,
    /// Ports of the node that lead to it.
    pub host_ports: Vec<HostPort>,
}

/// One `hostPort` of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Only this address of the node; `None` is every one.
    pub host_ip: Option<IpAddr>,
    /// Port of the node.
    pub host_port: u16,
    /// Port of the pod.
    pub container_port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// What a pod got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodAddresses {
    /// Bind-mounted network namespace, such as `/run/holm/netns/<uid>`.
    pub netns: PathBuf,
    /// IPv4 first.
    pub addresses: Vec<IpAddr>,
}

/// A failed operation on a pod's network.
#[derive(Debug, thiserror::Error)]
#[error("{operation} network of pod {pod_uid}")]
pub struct PodNetworkError {
    /// `attach`, `detach` or `list`.
    pub operation: &'static str,
    /// UID of the pod; empty for `list`.
    pub pod_uid: String,
    /// What went wrong.
    #[source]
    pub source: std::io::Error,
}

//! Pods: from a manifest to running containers, and back after any restart.

use std::net::IpAddr;
use std::path::PathBuf;

/// Links a pod to the network. The agent implements it over `holm-network`.
pub trait PodNetwork {
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
    pub pod_uid: String,
    pub host_ports: Vec<HostPort>,
}

/// One `hostPort` of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
    pub container_port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// What a pod got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodAddresses {
    /// Bind-mounted network namespace, such as `/run/holm/netns/<uid>`.
    pub netns: PathBuf,
    pub addresses: Vec<IpAddr>,
}

/// A failed operation on a pod's network.
#[derive(Debug, thiserror::Error)]
#[error("{operation} network of pod {pod_uid}")]
pub struct PodNetworkError {
    pub operation: &'static str,
    pub pod_uid: String,
    #[source]
    pub source: std::io::Error,
}

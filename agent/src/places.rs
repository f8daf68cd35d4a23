//! Where things are on a node. Data only.

use std::path::PathBuf;

use holm_node::pod::files::Paths;

/// The image store.
pub const IMAGES: &str = "/data/images";
/// Folders of containers.
pub const CONTAINERS: &str = "/data/containers";
/// Shims of this boot.
pub const SHIMS: &str = "/run/holm/shims";
/// The program that shims are started from. A deleted or replaced file still works by this name.
pub const PROGRAM: &str = "/proc/self/exe";
/// Mounted network namespaces.
pub const NETNS: &str = "/run/holm/netns";
/// Addresses and ports in use.
pub const POD_NETWORK: &str = "/run/holm/pod-network.json";
/// Written by the network service whenever an address comes or goes.
pub const NETWORK: &str = "/run/holm/network.json";
/// The list of pods.
pub const PODS: &str = "/run/holm/pods.json";
/// The node's resolver configuration.
pub const RESOLVER: &str = "/run/holm/resolv.conf";
/// The state partition.
pub const STATE: &str = "/state";
/// The boot partition.
pub const BOOT: &str = "/boot";
/// The node document that init accepted, unless the environment names another.
pub const DOCUMENT: &str = "/run/holm/holm.toml";
/// The folder that the document came from, unless the environment names another.
pub const DOCUMENT_FOLDER: &str = "/boot";

/// What pods need.
pub fn pods() -> Paths {
    Paths {
        pods: PathBuf::from("/data/pods"),
        logs: PathBuf::from("/data/var/log/pods"),
        containers: PathBuf::from(CONTAINERS),
        list: PathBuf::from(PODS),
        resolv_conf: PathBuf::from(RESOLVER),
    }
}

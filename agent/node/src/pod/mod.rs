//! Pods: from a manifest to running containers, and back after any restart.
//!
//! `manifest` → `admit` → [`Pod`] is what is wanted; `machine` decides, `worker` performs.

pub mod admit;
pub mod backoff;
pub mod capabilities;
pub mod clock;
pub mod configure;
pub mod document;
pub mod expand;
pub mod fields;
pub mod files;
pub mod images;
pub mod machine;
pub mod manifests;
pub mod memory;
mod network;
pub mod quantity;
pub mod records;
pub mod spec;
pub mod status;
pub mod volumes;
pub mod watch;

pub use network::{HostPort, PodAddresses, PodLink, PodNetwork, PodNetworkError};
pub use spec::Pod;

//! Pods: from a manifest to running containers, and back after any restart.
//!
//! `manifest` → `admit` → [`Pod`] is what is wanted; `machine` decides, `worker` performs.

pub mod backoff;
pub mod clock;
pub mod machine;
pub mod memory;
mod network;
pub mod spec;

pub use network::{HostPort, PodAddresses, PodLink, PodNetwork, PodNetworkError};
pub use spec::Pod;

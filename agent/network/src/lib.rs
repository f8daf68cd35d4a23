//! Pod networking: a routed veth for each pod, addresses, masquerade and host ports.
//!
//! There is no bridge. A pod's only link is one end of a veth; the node routes the pod's `/32` to
//! the other end, and the pod's default route leads to the node's own pod address, which sits on
//! the loopback link. Neighbour entries are permanent on both ends, so no pod link ever carries
//! ARP. The plan ([`plan`], [`addresses`], [`ports`], [`ruleset`]) is pure; the executors
//! ([`namespace`], [`links`], [`nftables`]) never decide.

pub mod addresses;
pub mod links;
pub mod namespace;
mod netlink;
pub mod nftables;
pub mod plan;
pub mod pods;
pub mod ports;
pub mod ruleset;

pub use addresses::Ranges;
pub use pods::{PodNetwork, PodNetworkError};
pub use ports::{PortMapping, Protocol};

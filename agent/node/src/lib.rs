//! The kubelet's role on one node: images, containers, pods and their logs.
//!
//! Each part decides in pure code and acts in thin code. Pod networking is reached through
//! [`pod::PodNetwork`]; this crate must never talk to the store or to netlink itself.

pub mod container;
pub mod image;
pub mod pod;

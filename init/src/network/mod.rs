//! `holm-init network`: the links, addresses and routes of the node.

mod clock;
mod dhcp;
mod files;
mod syscalls;

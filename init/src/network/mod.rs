//! `holm-init network`: links, addresses, routes, DHCPv4, router advertisements and DNS servers of
//! the node, kept as the node document says. A supervised child of init; must never be waited for
//! because of a server that is silent or a cable that is not there.
//!
//! `assign` and `wanted` say what should be there, `netlink::observe` what is, `plan` what to do
//! about it, `netlink::perform` does it, `report` tells. `service` is the loop around them, and
//! `client` runs the DHCP machine of a link.

mod action;
mod advertisements;
mod arp;
mod client;
mod conflicts;
mod dhcp;
mod files;
mod netlink;
mod observed;
mod orders;
mod outputs;
mod plan;
mod report;
mod service;
mod syscalls;
mod sysctls;
#[cfg(test)]
mod vm;
mod wanted;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use netlink::NetlinkError;
use orders::Orders;
use service::{Places, Service};

/// Runs the service until it is told to leave.
pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("network: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), NetlinkError> {
    let orders = Orders::hear()?;
    let document = env::var_os("HOLM_CONFIG").map(PathBuf::from);
    let places = Places {
        document: document.unwrap_or_else(|| "/run/holm/holm.toml".into()),
        run: "/run/holm".into(),
        state: "/state/network".into(),
    };
    Service::new(places, orders)?.run()
}

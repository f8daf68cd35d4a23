//! `[network]`: name servers and links.

use std::net::IpAddr;

use crate::Link;

/// `[network]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Name servers, at most three. When empty, those that DHCP and router advertisements offer.
    pub dns: Vec<IpAddr>,
    /// Search domains. When empty, those that DHCP and router advertisements offer.
    pub search: Vec<String>,
    /// Take the host name that DHCP offers when `node.hostname` is unset.
    pub hostname_from_dhcp: bool,
    /// `[[network.links]]` in the document's order. A physical Ethernet link that no entry
    /// speaks of, and that is no port of another, behaves as an entry that says nothing:
    /// up, DHCPv4, router advertisements.
    pub links: Vec<Link>,
}

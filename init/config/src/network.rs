//! `[network]`: name servers and links.

use std::net::IpAddr;

use crate::document::{or_default, values};
use crate::links::{self, Placed};
use crate::reader::Table;
use crate::{Link, LinkKind, schema, syntax};

/// Resolvers read no more than this (MAXNS of glibc and musl).
const MOST_DNS: usize = 3;

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

/// The section, and where its links stand, for the checks across links.
pub(crate) fn read(root: &Table<'_>) -> (Network, Vec<Placed>) {
    let Some(table) = root.table("network", &schema::NETWORK) else {
        return (Network::default(), Vec::new());
    };
    let dns = values(table.list("dns", syntax::address));
    if let (Some(at), true) = (table.place("dns"), dns.len() > MOST_DNS) {
        let what = format!("{} name servers are given", dns.len());
        table.problem(at, what, "keep three: resolvers read no more");
    }
    let (mut links, placed): (Vec<Link>, Vec<Placed>) =
        table.tables("links", &schema::LINK).iter().map(links::read).unzip();
    silence_ports(&mut links);
    let network = Network {
        dns,
        search: values(table.list("search", syntax::domain)),
        hostname_from_dhcp: or_default(table.bool("hostname-from-dhcp"), false),
        links,
    };
    (network, placed)
}

/// A port's addresses are its bridge's or bond's business; one that says otherwise is refused
/// by the checks across links.
fn silence_ports(links: &mut [Link]) {
    let ports: Vec<String> = links
        .iter()
        .filter(|link| matches!(link.kind, LinkKind::Bridge(_) | LinkKind::Bond(_)))
        .flat_map(|link| link.lower_links().to_vec())
        .collect();
    let is_port = |link: &&mut Link| link.name.as_ref().is_some_and(|name| ports.contains(name));
    for link in links.iter_mut().filter(is_port) {
        link.dhcp4 = false;
        link.accept_ra = false;
    }
}

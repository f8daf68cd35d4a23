//! What the rest of the node reads about the network: `network.json`, `resolv.conf`, and the line
//! for people. Pure: from what is there and what servers said to texts.

use std::fmt::Write;
use std::net::IpAddr;

use holm_config::{IpNet, Network};
use serde::Serialize;

use super::action::Problem;
use super::advertisements::Advertisements;
use super::dhcp::Lease;
use super::observed::{Kind, Link, Observed};

/// The C library reads no more.
const NAME_SERVERS: usize = 3;

/// A link that this service looks after, with what DHCP is about there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client<'a> {
    /// The link's name.
    pub(crate) link: &'a str,
    /// The DHCP client's state; none where none runs.
    pub(crate) dhcp4: Option<&'static str>,
    /// The lease in use.
    pub(crate) lease: Option<&'a Lease>,
}

/// `network.json`. Lists are in order of preference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// The links that this service looks after, `lo` apart.
    links: Vec<LinkReport>,
    /// The node's own usable addresses, link-local and loopback ones left out.
    addresses: Vec<IpAddr>,
    /// Default gateways.
    gateways: Vec<Gateway>,
    /// DNS servers; link-local ones with their link after `%`.
    dns: Vec<String>,
    /// Search domains.
    search: Vec<String>,
    /// NTP servers from DHCP.
    ntp: Vec<IpAddr>,
    /// The host name from DHCP, when the document allows it.
    hostname: Option<String>,
    /// The URL of a node document from DHCP.
    provisioning: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LinkReport {
    name: String,
    index: u32,
    mac: Option<String>,
    mtu: u32,
    up: bool,
    carrier: bool,
    addresses: Vec<String>,
    dhcp4: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Gateway {
    address: IpAddr,
    link: String,
    metric: u32,
}

/// Puts the report together. `clients` are the links that this service looks after.
pub(crate) fn report(
    network: &Network,
    clients: &[Client<'_>],
    observed: &Observed,
    advertisements: &Advertisements,
    allow_hostname: bool,
) -> Report {
    let mut links: Vec<(&Link, &Client<'_>)> =
        clients.iter().filter_map(|c| Some((observed.link(c.link)?, c))).collect();
    // What a link without carrier says comes last: its servers cannot be reached through it.
    links.sort_by_key(|(link, _)| (!link.carrier, link.index));
    let leases = || links.iter().filter_map(|(_, client)| client.lease);
    let (mut dns, mut search): (Vec<String>, Vec<String>) = Default::default();
    if network.dns.is_empty() {
        extend(&mut dns, leases().flat_map(|lease| lease.dns.iter().map(ToString::to_string)));
        for (link, _) in &links {
            let scoped = advertisements.dns(link.index).into_iter().map(|address| {
                match address.is_unicast_link_local() {
                    true => format!("{address}%{}", link.name),
                    false => address.to_string(),
                }
            });
            extend(&mut dns, scoped);
        }
    } else {
        extend(&mut dns, network.dns.iter().map(ToString::to_string));
    }
    if network.search.is_empty() {
        extend(&mut search, leases().flat_map(|lease| lease.search.iter().cloned()));
        extend(&mut search, links.iter().flat_map(|(link, _)| advertisements.search(link.index)));
    } else {
        extend(&mut search, network.search.iter().cloned());
    }
    let mut ntp = Vec::new();
    extend(&mut ntp, leases().flat_map(|lease| lease.ntp.iter().map(|&address| address.into())));
    let mut addresses = Vec::new();
    for (link, _) in &links {
        let usable = observed.addresses.iter().filter(|a| a.index == link.index && !a.is_tentative);
        extend(&mut addresses, usable.map(|a| a.net.addr()).filter(|a| !is_link_local(*a)));
    }
    Report {
        gateways: gateways(&links, observed),
        hostname: leases().find_map(|lease| lease.hostname.clone()).filter(|_| allow_hostname),
        provisioning: leases().find_map(|lease| lease.provisioning.clone()),
        links: links.iter().map(|(link, client)| link_report(link, client, observed)).collect(),
        addresses,
        dns,
        search,
        ntp,
    }
}

impl Report {
    /// The host name from DHCP, when the document allows it.
    pub(crate) fn hostname(&self) -> Option<&str> {
        self.hostname.as_deref()
    }

    /// `resolv.conf`.
    pub(crate) fn resolv_conf(&self) -> String {
        let mut text = "# Written by holm-init network; changes are lost.\n".to_owned();
        for server in self.dns.iter().take(NAME_SERVERS) {
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.search.is_empty() {
            let _ = writeln!(text, "search {}", self.search.join(" "));
        }
        text
    }

    /// One line for people: each link with its addresses, then what is wrong.
    pub(crate) fn status(&self, problems: &[Problem], failures: &[String]) -> String {
        let mut parts: Vec<String> = self.links.iter().map(LinkReport::status).collect();
        if parts.is_empty() {
            parts.push("no link to look after".to_owned());
        }
        parts.extend(problems.iter().map(ToString::to_string));
        parts.extend(failures.iter().cloned());
        parts.join("; ")
    }
}

impl LinkReport {
    fn status(&self) -> String {
        let mut text = format!("{}:", self.name);
        if !self.carrier {
            text.push_str(if self.up { " no carrier" } else { " down" });
        }
        for address in self.addresses.iter().filter(|address| !address.starts_with("fe80:")) {
            let _ = write!(text, " {address}");
        }
        match self.dhcp4 {
            Some(phase) if phase != "bound" && self.carrier => {
                let _ = write!(text, " (DHCP: {phase})");
            }
            _ => {}
        }
        if text.ends_with(':') {
            text.push_str(" up");
        }
        text
    }
}

fn link_report(link: &Link, client: &Client<'_>, observed: &Observed) -> LinkReport {
    let addresses = observed.addresses.iter().filter(|address| address.index == link.index);
    LinkReport {
        name: link.name.clone(),
        index: link.index,
        mac: link.mac.filter(|_| link.kind != Kind::Loopback).map(|mac| mac.to_string()),
        mtu: link.mtu,
        up: link.up,
        carrier: link.carrier,
        addresses: addresses.map(|address| address.net.to_string()).collect(),
        dhcp4: client.dhcp4,
    }
}

fn gateways(links: &[(&Link, &Client<'_>)], observed: &Observed) -> Vec<Gateway> {
    let default = |net: IpNet| net.prefix_len() == 0;
    let mut gateways: Vec<Gateway> = observed
        .routes
        .iter()
        .filter(|route| default(route.to))
        .filter_map(|route| {
            let (link, _) = links.iter().find(|(link, _)| link.index == route.index)?;
            Some(Gateway { address: route.via?, link: link.name.clone(), metric: route.metric })
        })
        .collect();
    gateways.sort_by_key(|gateway| (gateway.metric, gateway.address));
    gateways
}

/// Adds what is not there yet.
fn extend<T: PartialEq>(list: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_loopback(),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;

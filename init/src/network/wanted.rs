//! What the node should have: the node document, applied to the links that are there, and the
//! leases in use. Pure: (document, links, leases) → wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use holm_config::{Bond, IpNet, Ipv4Net, Link as Entry, LinkKind, LinkMatch, Mac, Network};

use super::dhcp::Lease;
use super::observed::{Link, Observed, Setting};
use crate::clock::Moment;

/// The default metric of a link's default routes is this plus its number.
const FIRST_METRIC: u32 = 100;
/// What Linux gives an IPv6 route without a metric.
const IPV6_METRIC: u32 = 1024;

/// Everything that should be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Links in an order in which each comes after those that it is built upon.
    pub(crate) links: Vec<WantedLink>,
}

/// A link that should be there and up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedLink {
    /// Its name.
    pub(crate) name: String,
    /// What it is, and how to make it.
    pub(crate) kind: WantedKind,
    /// Largest packet, when one is asked for.
    pub(crate) mtu: Option<u32>,
    /// Hardware address, when one is asked for.
    pub(crate) mac: Option<Mac>,
    /// The bridge or bond that it is a port of.
    pub(crate) master: Option<String>,
    /// Addresses.
    pub(crate) addresses: Vec<WantedAddress>,
    /// Routes, those that others need first.
    pub(crate) routes: Vec<WantedRoute>,
    /// Settings.
    pub(crate) settings: BTreeMap<Setting, String>,
}

/// What a wanted link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WantedKind {
    /// The kernel or somebody else makes it.
    Existing,
    /// A VLAN: the link below, its id.
    Vlan(String, u16),
    /// A bridge; whether it speaks the spanning tree protocol.
    Bridge(bool),
    /// A bond.
    Bond(Bond),
}

/// An address that should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WantedAddress {
    /// The address with its prefix length.
    pub(crate) net: IpNet,
    /// When the kernel removes it should this service be gone; none for ever.
    pub(crate) valid_until: Option<Moment>,
}

/// A route that should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WantedRoute {
    /// Destination.
    pub(crate) to: IpNet,
    /// Next hop.
    pub(crate) via: Option<IpAddr>,
    /// Metric.
    pub(crate) metric: u32,
    /// Preferred source address.
    pub(crate) source: Option<IpAddr>,
    /// The next hop is on the link although no address says so.
    pub(crate) onlink: bool,
}

/// One entry of the document and the link that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The link's name; it need not be there yet.
    pub(crate) name: String,
    /// The entry; an implied one for links that the document does not mention.
    pub(crate) entry: Entry,
    /// The bridge or bond that names it as a port.
    pub(crate) master: Option<String>,
}

/// A lease in use on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseInUse {
    /// The lease.
    pub(crate) lease: Lease,
    /// Whether its routes lead anywhere: false some time after the cable was pulled.
    pub(crate) has_carrier: bool,
}

/// Decides which entry speaks of which link. Links that are ports, or that no entry takes, get an
/// implied entry; pods' links are never considered.
pub(crate) fn assign(network: &Network, observed: &Observed) -> Vec<Assignment> {
    let masters = masters(network);
    let mut taken: BTreeSet<String> =
        network.links.iter().filter_map(|entry| entry.name.clone()).collect();
    let mut assigned = Vec::new();
    let mut assign = |name: &str, entry: &Entry| {
        let master = masters.get(name).cloned();
        assigned.push(Assignment { name: name.to_owned(), entry: entry.clone(), master });
    };
    for entry in &network.links {
        match (&entry.name, &entry.matches) {
            (Some(name), _) => assign(name, entry),
            (None, Some(pattern)) => {
                let fits = |l: &&Link| is_free(l, &taken) && matches(pattern, l);
                if let Some(link) = observed.links.iter().find(fits) {
                    taken.insert(link.name.clone());
                    assign(&link.name, entry);
                }
            }
            (None, None) => {}
        }
    }
    let implied = observed.links.iter().filter(|link| is_free(link, &taken));
    let ports = masters.keys().filter(|name| observed.link(name).is_some_and(|l| !l.is_physical()));
    let implied: BTreeSet<&str> = implied.map(|l| l.name.as_str()).collect();
    let ports = ports.filter(|name| !taken.contains(*name)).map(String::as_str);
    for name in implied.iter().copied().chain(ports) {
        let is_port = masters.contains_key(name);
        assign(name, &silent_entry(name, !is_port));
    }
    assigned
}

/// What each assignment asks for, with the leases in use.
pub(crate) fn wanted(
    assignments: &[Assignment],
    leases: &BTreeMap<String, LeaseInUse>,
    observed: &Observed,
) -> Wanted {
    let mut links: Vec<WantedLink> = vec![loopback()];
    links.extend(assignments.iter().map(|assignment| {
        let there = observed.link(&assignment.name);
        let own_metric = FIRST_METRIC.saturating_add(there.map_or(0, |link| link.index));
        let mut link = wanted_link(assignment, leases.get(&assignment.name), own_metric);
        if there.is_none() {
            // Its metric is not known before it is made; its routes follow then.
            link.routes.clear();
            link.settings.remove(&Setting::RaMetric);
        }
        link
    }));
    Wanted { links: in_order(links) }
}

fn wanted_link(
    Assignment { name, entry, master }: &Assignment,
    lease: Option<&LeaseInUse>,
    own_metric: u32,
) -> WantedLink {
    let metric = entry.metric.unwrap_or(own_metric);
    let on_link = |via: IpAddr| entry.addresses.iter().any(|net| net.contains(&via));
    let mut addresses: Vec<WantedAddress> =
        entry.addresses.iter().map(|&net| WantedAddress { net, valid_until: None }).collect();
    let mut routes: Vec<WantedRoute> = Vec::new();
    for route in &entry.routes {
        let default = if route.to.addr().is_ipv6() { IPV6_METRIC } else { 0 };
        routes.push(WantedRoute {
            to: route.to.trunc(),
            via: route.via,
            metric: route.metric.unwrap_or(default),
            source: None,
            onlink: route.via.is_some_and(|via| !on_link(via) && !is_link_local(via)),
        });
    }
    for &via in &entry.gateways {
        let onlink = !on_link(via) && !is_link_local(via);
        routes.push(WantedRoute {
            to: everywhere(via),
            via: Some(via),
            metric,
            source: None,
            onlink,
        });
    }
    if let Some(LeaseInUse { lease, has_carrier }) = lease.filter(|_| entry.dhcp4) {
        let own = Ipv4Net::new(lease.address, lease.prefix).unwrap_or(lease.address.into());
        // A static address wins over the same one from a server.
        if !addresses.iter().any(|address| address.net.addr() == own.addr()) {
            let valid_until = lease.times.map(|times| times.expire);
            addresses.push(WantedAddress { net: own.into(), valid_until });
        }
        for &(to, length, via) in lease.routes.iter().filter(|_| *has_carrier) {
            let to = Ipv4Net::new(to, length).unwrap_or(to.into()).trunc();
            let onlink = via.is_some_and(|via| !own.contains(&via));
            let source = Some(lease.address.into());
            routes.push(WantedRoute {
                to: to.into(),
                via: via.map(Into::into),
                metric,
                source,
                onlink,
            });
        }
    }
    // A second route with the same key would push out the first, for ever in turns.
    let mut keys = BTreeSet::new();
    routes.retain(|route| keys.insert((route.to, route.metric)));
    routes.sort_by_key(|route| (route.via.is_some(), route.onlink));
    WantedLink {
        name: name.clone(),
        kind: match &entry.kind {
            LinkKind::Physical => WantedKind::Existing,
            LinkKind::Vlan(vlan) => WantedKind::Vlan(vlan.link.clone(), vlan.id),
            LinkKind::Bridge(bridge) => WantedKind::Bridge(bridge.stp),
            LinkKind::Bond(bond) => WantedKind::Bond(bond.clone()),
        },
        mtu: entry.mtu.or(lease.and_then(|lease| lease.lease.mtu).map(u32::from)),
        mac: entry.mac,
        master: master.clone(),
        addresses,
        routes,
        settings: settings(entry, master.is_some(), metric),
    }
}

fn settings(entry: &Entry, is_port: bool, metric: u32) -> BTreeMap<Setting, String> {
    let number = |yes: bool| u8::from(yes).to_string();
    let mut settings = BTreeMap::from([
        (Setting::DisableIpv6, number(is_port)),
        // 2: also when the node forwards for its pods.
        (Setting::AcceptRa, if entry.accept_ra { 2 } else { 0 }.to_string()),
        (Setting::IgnoreLinkdown4, number(true)),
        (Setting::IgnoreLinkdown6, number(true)),
        (Setting::PromoteSecondaries, number(true)),
    ]);
    if entry.accept_ra && metric > 0 {
        settings.insert(Setting::RaMetric, metric.to_string());
    }
    settings
}

fn loopback() -> WantedLink {
    WantedLink {
        name: "lo".to_owned(),
        kind: WantedKind::Existing,
        mtu: None,
        mac: None,
        master: None,
        addresses: Vec::new(),
        routes: Vec::new(),
        settings: BTreeMap::new(),
    }
}

/// Sorts so that ports and links below come first; cycles cannot be built and stay at the end.
fn in_order(mut rest: Vec<WantedLink>) -> Vec<WantedLink> {
    let mut sorted: Vec<WantedLink> = Vec::new();
    while !rest.is_empty() {
        let waits_for = |link: &WantedLink, name: &str| match &link.kind {
            WantedKind::Vlan(below, _) => below == name,
            // A port needs its master to exist before it can join.
            _ => link.master.as_deref() == Some(name),
        };
        let is_ready = |link: &WantedLink| !rest.iter().any(|other| waits_for(link, &other.name));
        let (ready, waiting): (Vec<_>, Vec<_>) = {
            let flags: Vec<bool> = rest.iter().map(is_ready).collect();
            let mut flags = flags.into_iter();
            rest.into_iter().partition(|_| flags.next().unwrap_or(true))
        };
        if ready.is_empty() {
            sorted.extend(waiting);
            break;
        }
        sorted.extend(ready);
        rest = waiting;
    }
    sorted
}

fn masters(network: &Network) -> BTreeMap<String, String> {
    let mut masters = BTreeMap::new();
    for entry in &network.links {
        let ports = match &entry.kind {
            LinkKind::Bridge(bridge) => &bridge.ports,
            LinkKind::Bond(bond) => &bond.ports,
            LinkKind::Physical | LinkKind::Vlan(_) => continue,
        };
        if let Some(name) = &entry.name {
            masters.extend(ports.iter().map(|port| (port.clone(), name.clone())));
        }
    }
    masters
}

/// The entry of a link that the document does not mention.
fn silent_entry(name: &str, alone: bool) -> Entry {
    Entry {
        name: Some(name.to_owned()),
        matches: None,
        kind: LinkKind::Physical,
        dhcp4: alone,
        accept_ra: alone,
        addresses: Vec::new(),
        gateways: Vec::new(),
        routes: Vec::new(),
        metric: None,
        mtu: None,
        mac: None,
    }
}

fn is_free(link: &Link, taken: &BTreeSet<String>) -> bool {
    link.is_physical() && !link.is_of_a_pod() && !taken.contains(&link.name)
}

fn matches(pattern: &LinkMatch, link: &Link) -> bool {
    let device = link.device.clone().unwrap_or_default();
    let glob = |pattern: &Option<String>, text: Option<&str>| {
        pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| fits(pattern, text)))
    };
    pattern.mac.is_none_or(|mac| link.permanent_mac.or(link.mac) == Some(mac))
        && glob(&pattern.name, Some(&link.name))
        && glob(&pattern.driver, device.driver.as_deref())
        && glob(&pattern.path, device.path.as_deref())
}

/// `*` stands for any text, `?` for one character.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when the text after the last star turns out not to fit.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, eaten)) => {
                    star = Some((at, eaten + 1));
                    (p, t) = (at + 1, eaten + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn everywhere(family: IpAddr) -> IpNet {
    match family {
        IpAddr::V4(_) => IpNet::V4(Ipv4Net::default()),
        IpAddr::V6(_) => IpNet::V6(holm_config::Ipv6Net::default()),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
#[path = "wanted_tests.rs"]
mod tests;

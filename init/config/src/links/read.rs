//! Reads one entry of `[[network.links]]` and checks what can be seen in it alone.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{
    Bond, BondMode, Bridge, LacpRate, Link, LinkKind, LinkMatch, Route, TransmitHash, Vlan,
};
use crate::document::{or_default, values};
use crate::problem::Refusal;
use crate::reader::{At, Table};
use crate::{schema, syntax};

/// Where the parts of a link stand, for the checks across links.
#[derive(Debug)]
pub(crate) struct Placed {
    /// The name, else the entry.
    pub(crate) at: usize,
    /// The table of the VLAN, bridge or bond.
    pub(crate) kind: usize,
    /// Addresses that were accepted, in order.
    pub(crate) addresses: Vec<usize>,
    /// Routes that were accepted, in order.
    pub(crate) routes: Vec<usize>,
    /// Keys that a port of a bridge or bond must not have, with their places.
    pub(crate) layer3: Vec<At<&'static str>>,
    pub(crate) mtu: Option<usize>,
}

pub(crate) fn read(table: &Table<'_>) -> (Link, Placed) {
    let name = table.parsed("name", syntax::link_name);
    let matches = table.table("match", &schema::LINK_MATCH).map(|table| read_match(&table));
    let kind = read_kind(table);
    check_selection(table, &kind.value);
    let addresses = table.list("addresses", syntax::link_address).unwrap_or_default();
    check_addresses(table, &addresses);
    let gateways = table.list("gateways", syntax::address).unwrap_or_default();
    check_gateways(table, &gateways, &addresses);
    let dhcp4 = table.bool("dhcp4");
    let accept_ra = table.bool("accept-ra");
    let has_ipv4 = addresses.iter().any(|net| net.value.addr().is_ipv4());
    let gives_ipv4 = or_default(dhcp4, !has_ipv4);
    let gives_ipv6 = or_default(accept_ra, true);
    let routes = table.tables("routes", &schema::ROUTE);
    let routes = routes.iter().filter_map(|route| {
        read_route(route, |hop| {
            // Whether a next hop is on a network that is yet to be given cannot be known here.
            let unknown = if hop.value.is_ipv4() { gives_ipv4 } else { gives_ipv6 };
            check_next_hop(route, hop, &addresses, unknown);
        })
    });
    let routes: Vec<At<Route>> = routes.collect();
    let mtu = table.integer("mtu", 68..=65535);
    let has_ipv6 = addresses.iter().any(|net| net.value.addr().is_ipv6());
    if let Some(mtu) = mtu.filter(|mtu| has_ipv6 && mtu.value < 1280) {
        let right = "write 1280 or more, or remove the IPv6 addresses";
        table.problem(mtu.at, "IPv6 needs an mtu of at least 1280", right);
    }
    let placed = Placed {
        at: table.place("name").unwrap_or(table.at),
        kind: kind.at,
        addresses: addresses.iter().map(|net| net.at).collect(),
        routes: routes.iter().map(|route| route.at).collect(),
        layer3: layer3_keys(table, [("dhcp4", dhcp4), ("accept-ra", accept_ra)]),
        mtu: mtu.map(|mtu| mtu.at),
    };
    let number = |n: At<i64>| u32::try_from(n.value).ok();
    let link = Link {
        name: name.map(|name| name.value),
        matches,
        kind: kind.value,
        dhcp4: gives_ipv4,
        accept_ra: or_default(accept_ra, true),
        addresses: values(Some(addresses)),
        gateways: values(Some(gateways)),
        routes: values(Some(routes)),
        metric: table.integer("metric", 0..=u32::MAX.into()).and_then(number),
        mtu: mtu.and_then(number),
        mac: table.parsed("mac", syntax::unicast_mac).map(|mac| mac.value),
    };
    (link, placed)
}

fn read_match(table: &Table<'_>) -> LinkMatch {
    let keys = schema::LINK_MATCH.keys;
    if keys.iter().all(|key| table.place(key).is_none()) {
        let right = format!("give at least one of {}", keys.join(", "));
        table.problem(table.at, "this match fits no link", right);
    }
    let glob = |key| table.parsed(key, syntax::glob).map(|glob| glob.value);
    LinkMatch {
        mac: table.parsed("mac", syntax::mac).map(|mac| mac.value),
        name: glob("name"),
        driver: glob("driver"),
        path: glob("path"),
    }
}

fn read_kind(table: &Table<'_>) -> At<LinkKind> {
    let given: Vec<&str> =
        ["vlan", "bridge", "bond"].into_iter().filter(|key| table.place(key).is_some()).collect();
    if let [first, second, ..] = given[..] {
        let what = format!("a link cannot be a {first} and a {second} at once");
        let right = "make an entry for each, and name one in the other";
        table.problem(table.place(second).unwrap_or(table.at), what, right);
    }
    // Every one is read, so that all their problems are told; the first decides.
    let vlan = table.table("vlan", &schema::VLAN);
    let vlan = vlan.map(|table| (table.at, read_vlan(&table).map(LinkKind::Vlan)));
    let bridge = table.table("bridge", &schema::BRIDGE);
    let bridge = bridge.map(|table| (table.at, Some(LinkKind::Bridge(read_bridge(&table)))));
    let bond = table.table("bond", &schema::BOND);
    let bond = bond.map(|table| (table.at, Some(LinkKind::Bond(read_bond(&table)))));
    match vlan.or(bridge).or(bond) {
        Some((at, Some(kind))) => At::new(kind, at),
        Some((at, None)) => At::new(LinkKind::Physical, at),
        None => At::new(LinkKind::Physical, table.at),
    }
}

fn read_vlan(table: &Table<'_>) -> Option<Vlan> {
    require(table, "link", "name the link that carries the tagged frames: link = \"eth0\"");
    require(table, "id", "add the VLAN's id: id = 100");
    let link = table.parsed("link", syntax::link_name);
    let id = table.integer("id", 1..=4094);
    Some(Vlan { link: link?.value, id: id?.value.try_into().ok()? })
}

fn read_bridge(table: &Table<'_>) -> Bridge {
    Bridge { ports: read_ports(table), stp: or_default(table.bool("stp"), false) }
}

fn read_bond(table: &Table<'_>) -> Bond {
    require(table, "ports", "name its ports: ports = [\"eth0\", \"eth1\"]");
    let ports = read_ports(table);
    if let (Some(at), true) = (table.place("ports"), ports.is_empty()) {
        table.problem(at, "a bond without ports carries nothing", "name at least one port");
    }
    let mode = or_default(table.parsed("mode", bond_mode), BondMode::ActiveBackup);
    let only_with = |key: &str, modes: &[BondMode], right: &str| {
        if let (Some(at), false) = (table.place(key), modes.contains(&mode)) {
            table.problem(at, format!("\"{key}\" has no effect in this mode"), right);
        }
    };
    use BondMode::{ActiveBackup, BalanceAlb, BalanceTlb, BalanceXor, Lacp};
    only_with("lacp-rate", &[Lacp], "remove it, or write mode = \"802.3ad\"");
    let hashed = [BalanceXor, Lacp, BalanceTlb];
    only_with("transmit-hash", &hashed, "remove it, or use balance-xor, 802.3ad or balance-tlb");
    let backed = [ActiveBackup, BalanceTlb, BalanceAlb];
    only_with("primary", &backed, "remove it, or use active-backup, balance-tlb or balance-alb");
    let primary = table.parsed("primary", syntax::link_name);
    if let Some(primary) = primary.as_ref().filter(|primary| !ports.contains(&primary.value)) {
        let what = format!("the primary {:?} is no port of this bond", primary.value);
        table.problem(primary.at, what, format!("name one of its ports: {}", ports.join(", ")));
    }
    let miimon = table.parsed("miimon", syntax::duration);
    let sane = Duration::from_millis(10)..=Duration::from_secs(10);
    if let Some(miimon) = miimon.filter(|miimon| !sane.contains(&miimon.value)) {
        table.problem(miimon.at, "\"miimon\" is out of range", "write a time from 10ms to 10s");
    }
    Bond {
        ports,
        mode,
        miimon: or_default(miimon, Duration::from_millis(100)),
        primary: primary.map(|primary| primary.value),
        lacp_rate: or_default(table.parsed("lacp-rate", lacp_rate), LacpRate::Slow),
        transmit_hash: or_default(
            table.parsed("transmit-hash", transmit_hash),
            TransmitHash::Layer2,
        ),
    }
}

fn read_ports(table: &Table<'_>) -> Vec<String> {
    let ports = table.list("ports", syntax::link_name).unwrap_or_default();
    for (n, port) in ports.iter().enumerate() {
        if ports.iter().take(n).any(|other| other.value == port.value) {
            table.problem(port.at, format!("port {:?} is named twice", port.value), "name it once");
        }
    }
    values(Some(ports))
}

fn require(table: &Table<'_>, key: &str, right: &str) {
    if table.place(key).is_none() {
        table.problem(table.at, format!("\"{key}\" is missing"), right);
    }
}

fn check_selection(table: &Table<'_>, kind: &LinkKind) {
    let virtual_link = !matches!(kind, LinkKind::Physical);
    match (table.place("name"), table.place("match")) {
        (None, Some(at)) if virtual_link => {
            let right = "write name = \"…\" instead of match";
            table.problem(at, "a VLAN, bridge or bond is made, not found", right);
        }
        (None, None) => {
            let right = "add name = \"eth0\", or match = { driver = \"…\" }";
            table.problem(table.at, "this entry does not say which link it means", right);
        }
        (Some(_), Some(at)) => {
            table.problem(at, "a link has either a name or a match", "remove one of the two");
        }
        _ => {}
    }
}

fn check_addresses(table: &Table<'_>, addresses: &[At<IpNet>]) {
    for (n, net) in addresses.iter().enumerate() {
        if addresses.iter().take(n).any(|other| other.value.addr() == net.value.addr()) {
            let what = format!("address {} is given twice", net.value.addr());
            table.problem(net.at, what, "give it once");
        }
    }
}

fn check_gateways(table: &Table<'_>, gateways: &[At<IpAddr>], addresses: &[At<IpNet>]) {
    for (n, gateway) in gateways.iter().enumerate() {
        if gateways.iter().take(n).any(|g| g.value.is_ipv4() == gateway.value.is_ipv4()) {
            let what = "a link has one default gateway for each address family";
            table.problem(gateway.at, what, "keep one; put others into routes with a metric");
        }
        check_next_hop(table, gateway, addresses, false);
    }
}

/// The kernel refuses a next hop that it cannot reach on the link itself.
fn check_next_hop(table: &Table<'_>, hop: &At<IpAddr>, addresses: &[At<IpNet>], unknown: bool) {
    let addr = hop.value;
    if addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() {
        table.problem(hop.at, format!("{addr} is no gateway"), "write the address of a router");
    } else if addresses.iter().any(|net| net.value.addr() == addr) {
        let what = format!("{addr} is this link's own address");
        table.problem(hop.at, what, "write the address of the router");
    } else if matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        // Every link has a link-local network.
    } else if !unknown && !addresses.iter().any(|net| net.value.contains(&addr)) {
        let own: Vec<String> = addresses.iter().map(|net| net.value.trunc().to_string()).collect();
        let right = if own.is_empty() {
            "add the link's own address to \"addresses\"; with DHCP the gateway comes by itself"
                .to_owned()
        } else {
            format!("write an address within {}", own.join(" or "))
        };
        table.problem(hop.at, format!("gateway {addr} is not on this link"), right);
    }
}

fn read_route(table: &Table<'_>, check_via: impl Fn(&At<IpAddr>)) -> Option<At<Route>> {
    require(table, "to", "add the destination: to = \"192.0.2.0/24\"");
    let to = table.parsed("to", syntax::destination);
    let via = table.parsed("via", syntax::address);
    let metric = table.integer("metric", 0..=u32::MAX.into());
    if let Some(via) = &via {
        check_via(via);
    }
    let to = to?;
    if let Some(via) = via.as_ref().filter(|via| via.value.is_ipv4() != to.value.addr().is_ipv4()) {
        let what = format!("{} cannot be reached by way of {}", to.value, via.value);
        table.problem(via.at, what, "write destination and next hop of one address family");
    }
    let metric = metric.and_then(|metric| metric.value.try_into().ok());
    Some(At::new(Route { to: to.value, via: via.map(|via| via.value), metric }, to.at))
}

/// What a port must leave to its bridge or bond; a switch that is written as off is harmless.
fn layer3_keys(
    table: &Table<'_>,
    switches: [(&'static str, Option<At<bool>>); 2],
) -> Vec<At<&'static str>> {
    let lists = ["addresses", "gateways", "routes"];
    let lists = lists.into_iter().filter_map(|key| Some(At::new(key, table.place(key)?)));
    let on = switches.into_iter().filter_map(|(key, switch)| {
        let switch = switch.filter(|switch| switch.value)?;
        Some(At::new(key, switch.at))
    });
    lists.chain(on).collect()
}

fn bond_mode(text: &str) -> Result<BondMode, Refusal> {
    syntax::choose(
        text,
        &[
            ("balance-rr", BondMode::BalanceRr),
            ("active-backup", BondMode::ActiveBackup),
            ("balance-xor", BondMode::BalanceXor),
            ("broadcast", BondMode::Broadcast),
            ("802.3ad", BondMode::Lacp),
            ("balance-tlb", BondMode::BalanceTlb),
            ("balance-alb", BondMode::BalanceAlb),
        ],
    )
}

fn lacp_rate(text: &str) -> Result<LacpRate, Refusal> {
    syntax::choose(text, &[("slow", LacpRate::Slow), ("fast", LacpRate::Fast)])
}

fn transmit_hash(text: &str) -> Result<TransmitHash, Refusal> {
    syntax::choose(
        text,
        &[
            ("layer2", TransmitHash::Layer2),
            ("layer2+3", TransmitHash::Layer23),
            ("layer3+4", TransmitHash::Layer34),
        ],
    )
}

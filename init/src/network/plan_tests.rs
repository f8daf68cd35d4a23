//! The plan, row by row, then against a model of the kernel with random wishes and random starts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use holm_config::{IpNet, LacpRate, Mac, TransmitHash};
use proptest::prelude::*;

use super::super::observed::{ALIAS, Setting};
use super::*;
use crate::clock::Moment;

fn link(index: u32, name: &str, kind: Kind) -> Link {
    Link {
        index,
        name: name.into(),
        kind,
        device: None,
        up: false,
        carrier: false,
        carrier_losses: 0,
        mtu: 1500,
        mac: Some(Mac([2, 0, 0, 0, 0, index as u8])),
        permanent_mac: None,
        master: None,
        alias: None,
    }
}

fn wish(name: &str, kind: WantedKind) -> WantedLink {
    WantedLink {
        name: name.into(),
        kind,
        mtu: None,
        mac: None,
        master: None,
        addresses: vec![],
        routes: vec![],
        settings: BTreeMap::new(),
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn to(text: &str, via: Option<&str>, metric: u32) -> WantedRoute {
    WantedRoute { to: net(text), via: via.map(ip), metric, source: None, onlink: false }
}

fn observed(links: Vec<Link>) -> Observed {
    Observed { links, ..Observed::default() }
}

fn actions(links: Vec<WantedLink>, observed: &Observed) -> Vec<Action> {
    plan(&Wanted { links }, observed).actions
}

fn bond(mode: BondMode) -> Bond {
    Bond {
        ports: vec!["eth0".into()],
        mode,
        miimon: std::time::Duration::from_millis(100),
        primary: None,
        lacp_rate: LacpRate::Slow,
        transmit_hash: TransmitHash::Layer2,
    }
}

#[test]
fn link_that_is_down_is_brought_up() {
    let there = observed(vec![link(1, "lo", Kind::Loopback)]);
    let lo = wish("lo", WantedKind::Existing);
    assert_eq!(actions(vec![lo], &there), [Action::Up("lo".into())]);
}

#[test]
fn link_that_is_not_there_is_a_problem_and_the_rest_goes_on() {
    let there = observed(vec![link(1, "lo", Kind::Loopback)]);
    let links = vec![
        wish("eth0", WantedKind::Existing),
        wish("eth0.5", WantedKind::Vlan("eth0".into(), 5)),
        wish("lo", WantedKind::Existing),
    ];
    let plan = plan(&Wanted { links }, &there);
    assert_eq!(plan.actions, [Action::Up("lo".into())]);
    assert_eq!(
        plan.problems,
        [Problem::Missing("eth0".into()), Problem::MissingBelow("eth0.5".into(), "eth0".into())]
    );
}

#[test]
fn bridge_is_made_before_its_port_joins() {
    let mut eth0 = wish("eth0", WantedKind::Existing);
    eth0.master = Some("br0".into());
    let mut port = link(2, "eth0", Kind::Ethernet);
    port.up = true;
    let br0 = wish("br0", WantedKind::Bridge(false));
    assert_eq!(
        actions(vec![br0, eth0], &observed(vec![port])),
        [
            Action::Create("br0".into(), WantedKind::Bridge(false)),
            Action::Up("br0".into()),
            Action::Down("eth0".into()),
            Action::SetMaster("eth0".into(), Some("br0".into())),
            Action::Up("eth0".into()),
        ]
    );
}

#[test]
fn foreign_link_with_the_name_is_left_alone() {
    let there = observed(vec![link(2, "br0", Kind::Other)]);
    let plan = plan(&Wanted { links: vec![wish("br0", WantedKind::Bridge(false))] }, &there);
    assert_eq!(plan.actions, []);
    assert_eq!(plan.problems, [Problem::Taken("br0".into())]);
}

#[test]
fn own_link_that_nobody_wants_goes_and_a_foreign_one_stays() {
    let ours = Link { alias: Some(ALIAS.into()), ..link(2, "br0", Kind::Bridge(false)) };
    let there = observed(vec![ours, link(3, "docker0", Kind::Bridge(false))]);
    assert_eq!(actions(vec![], &there), [Action::Delete("br0".into())]);
}

#[test]
fn bond_with_another_mode_is_made_again() {
    let state = BondState {
        mode: BondMode::ActiveBackup,
        miimon: 100,
        lacp_rate: LacpRate::Fast,
        transmit_hash: None,
        primary: None,
    };
    let ours = Link { alias: Some(ALIAS.into()), up: true, ..link(2, "bond0", Kind::Bond(state)) };
    let there = observed(vec![ours]);
    let same = wish("bond0", WantedKind::Bond(bond(BondMode::ActiveBackup)));
    assert_eq!(actions(vec![same], &there), [], "LACP rate and hash mean nothing in this mode");
    let other = WantedKind::Bond(bond(BondMode::Lacp));
    assert_eq!(
        actions(vec![wish("bond0", other.clone())], &there),
        [
            Action::Delete("bond0".into()),
            Action::Create("bond0".into(), other),
            Action::Up("bond0".into())
        ]
    );
}

#[test]
fn address_that_stays_is_not_touched_and_a_longer_lease_only_prolongs() {
    let mut there = observed(vec![Link { up: true, ..link(2, "eth0", Kind::Ethernet) }]);
    there.addresses.push(Address {
        index: 2,
        net: net("192.0.2.10/24"),
        valid_until: Some(Moment(100_000)),
        protocol: PROTOCOL,
        is_tentative: false,
    });
    let mut eth0 = wish("eth0", WantedKind::Existing);
    let until =
        |millis| WantedAddress { net: net("192.0.2.10/24"), valid_until: Some(Moment(millis)) };
    eth0.addresses = vec![until(103_000)];
    assert_eq!(actions(vec![eth0.clone()], &there), []);
    eth0.addresses = vec![until(200_000)];
    let prolonged = Action::PutAddress("eth0".into(), net("192.0.2.10/24"), Some(Moment(200_000)));
    assert_eq!(actions(vec![eth0], &there), [prolonged]);
}

#[test]
fn foreign_addresses_and_routes_stay_and_stale_own_ones_go_on_every_link() {
    let mut there = observed(vec![Link { up: true, ..link(2, "eth7", Kind::Ethernet) }]);
    for (last, protocol) in [(1, 0), (2, PROTOCOL)] {
        there.addresses.push(Address {
            index: 2,
            net: net(&format!("192.0.2.{last}/24")),
            valid_until: None,
            protocol,
            is_tentative: false,
        });
        there.routes.push(Route {
            index: 2,
            to: net(&format!("198.51.{last}.0/24")),
            via: None,
            metric: 0,
            source: None,
            onlink: false,
            protocol,
        });
    }
    assert_eq!(
        actions(vec![], &there),
        [
            Action::RemoveRoute("eth7".into(), to("198.51.2.0/24", None, 0)),
            Action::RemoveAddress("eth7".into(), net("192.0.2.2/24")),
        ]
    );
}

#[test]
fn route_with_another_gateway_replaces_the_old_one() {
    let mut there = observed(vec![Link { up: true, ..link(2, "eth0", Kind::Ethernet) }]);
    there.routes.push(Route {
        index: 2,
        to: net("0.0.0.0/0"),
        via: Some(ip("192.0.2.1")),
        metric: 102,
        source: None,
        onlink: false,
        protocol: PROTOCOL,
    });
    let mut eth0 = wish("eth0", WantedKind::Existing);
    eth0.routes = vec![to("0.0.0.0/0", Some("192.0.2.2"), 102)];
    assert_eq!(
        actions(vec![eth0], &there),
        [
            Action::RemoveRoute("eth0".into(), to("0.0.0.0/0", Some("192.0.2.1"), 102)),
            Action::AddRoute("eth0".into(), to("0.0.0.0/0", Some("192.0.2.2"), 102)),
        ]
    );
}

#[test]
fn setting_that_the_kernel_lacks_is_not_asked_for() {
    let mut there = observed(vec![Link { up: true, ..link(2, "eth0", Kind::Ethernet) }]);
    there.settings.insert((2, Setting::AcceptRa), "1".into());
    let mut eth0 = wish("eth0", WantedKind::Existing);
    eth0.settings.insert(Setting::AcceptRa, "2".into());
    eth0.settings.insert(Setting::RaMetric, "100".into());
    let set = Action::Set("eth0".into(), Setting::AcceptRa, "2".into());
    assert_eq!(actions(vec![eth0], &there), [set]);
}

#[test]
fn vlan_goes_with_the_link_below_and_is_made_again() {
    let ours = |index, name: &str, kind| Link {
        alias: Some(ALIAS.into()),
        up: true,
        ..link(index, name, kind)
    };
    let there =
        observed(vec![ours(2, "br0", Kind::Vlan(9, 1)), ours(3, "br0.5", Kind::Vlan(2, 5))]);
    let links = vec![
        wish("br0", WantedKind::Bridge(false)),
        wish("br0.5", WantedKind::Vlan("br0".into(), 5)),
    ];
    assert_eq!(
        actions(links, &there),
        [
            Action::Delete("br0".into()),
            Action::Create("br0".into(), WantedKind::Bridge(false)),
            Action::Create("br0.5".into(), WantedKind::Vlan("br0".into(), 5)),
            Action::Up("br0".into()),
            Action::Up("br0.5".into()),
        ]
    );
}

fn with(kernel: &mut Observed, name: &str, change: impl FnOnce(&mut Link)) {
    change(kernel.links.iter_mut().find(|link| link.name == name).expect("the link is there"));
}

#[test]
fn link_of_a_pod_is_left_alone_whatever_it_bears() {
    let mut there =
        observed(vec![Link { alias: Some(ALIAS.into()), ..link(2, "pod7", Kind::Bridge(false)) }]);
    there.addresses.push(Address {
        index: 2,
        net: net("10.42.0.1/32"),
        valid_until: None,
        protocol: PROTOCOL,
        is_tentative: false,
    });
    assert_eq!(actions(vec![], &there), []);
}

/// A kernel in miniature, with its habit of removing more than it was told to.
fn perform(kernel: &mut Observed, next_index: &mut u32, action: &Action) {
    let index = |kernel: &Observed, name: &str| kernel.link(name).map(|link| link.index);
    let known: BTreeMap<String, u32> =
        kernel.links.iter().map(|link| (link.name.clone(), link.index)).collect();
    match action {
        Action::Create(name, kind) => {
            assert!(kernel.link(name).is_none(), "{name} is made twice");
            *next_index += 1;
            let kind = match kind {
                WantedKind::Existing => panic!("nobody makes such a link"),
                WantedKind::Vlan(below, id) => {
                    Kind::Vlan(index(kernel, below).expect("the link below is there"), *id)
                }
                WantedKind::Bridge(stp) => Kind::Bridge(*stp),
                WantedKind::Bond(bond) => Kind::Bond(BondState {
                    mode: bond.mode,
                    miimon: bond.miimon.as_millis() as u32,
                    lacp_rate: bond.lacp_rate,
                    transmit_hash: Some(bond.transmit_hash),
                    primary: None,
                }),
            };
            kernel.links.push(Link { alias: Some(ALIAS.into()), ..link(*next_index, name, kind) });
            for setting in Setting::ALL {
                kernel.settings.insert((*next_index, setting), "?".into());
            }
        }
        Action::Delete(name) => {
            let mut gone = vec![index(kernel, name).expect("the link is there")];
            while let Some(index) = gone.pop() {
                let above =
                    |link: &&Link| matches!(link.kind, Kind::Vlan(below, _) if below == index);
                gone.extend(kernel.links.iter().filter(above).map(|link| link.index));
                kernel.links.retain(|link| link.index != index);
                kernel.addresses.retain(|address| address.index != index);
                kernel.routes.retain(|route| route.index != index);
                for link in kernel.links.iter_mut().filter(|link| link.master == Some(index)) {
                    link.master = None;
                }
            }
        }
        Action::Set(name, setting, value) => {
            let index = index(kernel, name).expect("the link is there");
            kernel.settings.insert((index, *setting), value.clone());
        }
        Action::SetMtu(name, mtu) => with(kernel, name, |link| link.mtu = *mtu),
        Action::SetMac(name, mac) => with(kernel, name, |link| {
            assert!(!link.up, "many drivers refuse this while the link is up");
            link.mac = Some(*mac);
        }),
        Action::SetStp(name, stp) => with(kernel, name, |link| link.kind = Kind::Bridge(*stp)),
        Action::SetMaster(name, master) => {
            let master = master.as_ref().map(|master| known[master]);
            with(kernel, name, |link| {
                assert!(master.is_none() || !link.up, "a bond refuses ports that are up");
                link.master = master;
            });
        }
        Action::SetPrimary(name, port) => {
            let port = port.as_ref().map(|port| known[port]);
            with(kernel, name, |link| {
                if let Kind::Bond(state) = &mut link.kind {
                    state.primary = port;
                }
            });
        }
        Action::Up(name) => with(kernel, name, |link| link.up = true),
        Action::Down(name) => {
            let index = index(kernel, name).expect("the link is there");
            with(kernel, name, |link| link.up = false);
            kernel.routes.retain(|route| route.index != index);
            kernel.addresses.retain(|a| a.index != index || a.net.addr().is_ipv4());
        }
        Action::PutAddress(name, net, valid_until) => {
            let index = index(kernel, name).expect("the link is there");
            kernel.addresses.retain(|address| (address.index, address.net) != (index, *net));
            let valid_until = *valid_until;
            let protocol = PROTOCOL;
            let is_tentative = false;
            kernel.addresses.push(Address {
                index,
                net: *net,
                valid_until,
                protocol,
                is_tentative,
            });
        }
        Action::RemoveAddress(name, net) => {
            let index = index(kernel, name).expect("the link is there");
            kernel.addresses.retain(|address| (address.index, address.net) != (index, *net));
            kernel.routes.retain(|route| route.source != Some(net.addr()));
        }
        Action::AddRoute(name, route) => {
            let link = kernel.link(name).expect("the link is there");
            assert!(link.up, "the kernel refuses routes on a link that is down");
            let index = link.index;
            let WantedRoute { to, via, metric, source, onlink } = *route;
            let is_key = |r: &Route| (r.index, r.to, r.metric) == (index, to, metric);
            assert!(!kernel.routes.iter().any(is_key), "the kernel refuses a second {route}");
            let protocol = PROTOCOL;
            kernel.routes.push(Route { index, to, via, metric, source, onlink, protocol });
        }
        Action::RemoveRoute(name, route) => {
            let index = index(kernel, name).expect("the link is there");
            kernel.routes.retain(|there| there.index != index || as_wanted(there) != *route);
        }
    }
}

fn wishes() -> impl Strategy<Value = Vec<WantedLink>> {
    let routes = prop::collection::btree_map(0u8..3, (0u8..3, any::<bool>()), 0..3);
    let addresses = prop::collection::btree_map(0u8..3, prop::option::of(0u64..3), 0..3);
    let link =
        (addresses, routes, prop::option::of(1400u32..1403), prop::option::of(0u8..2), 0u8..3);
    let links = prop::collection::vec(link, 6);
    (links, 0u8..3, 0u8..3, any::<bool>(), any::<bool>(), prop::collection::vec(any::<bool>(), 6))
        .prop_map(|(links, bond_mode, vlan, stp, swap, present)| {
            let modes = [BondMode::ActiveBackup, BondMode::Lacp, BondMode::BalanceXor];
            let mut bond = bond(modes[usize::from(bond_mode)]);
            bond.primary = Some("eth1".into());
            let below = if swap { "eth0" } else { "bond0" };
            let kinds = [
                ("eth0", WantedKind::Existing, None),
                ("bond0", WantedKind::Bond(bond), None),
                ("eth1", WantedKind::Existing, present[1].then_some("bond0")),
                ("br0", WantedKind::Bridge(stp), None),
                ("eth2", WantedKind::Existing, (swap && present[3]).then_some("br0")),
                ("v5", WantedKind::Vlan(below.into(), 5 + u16::from(vlan)), None),
            ];
            let links =
                kinds.into_iter().zip(links).zip(present).filter(|(_, is_present)| *is_present);
            links
                .map(|(((name, kind, master), (addresses, routes, mtu, mac, ra)), _)| {
                    let mut link = wish(name, kind);
                    link.master = master.map(str::to_owned);
                    link.mtu = mtu;
                    link.mac = mac.map(|mac| Mac([2, 2, 2, 2, 2, mac]));
                    link.settings.insert(Setting::AcceptRa, ra.to_string());
                    for (last, until) in addresses {
                        let net = net(&format!("192.0.2.{last}/24"));
                        let valid_until = until.map(|until| Moment(until * 100_000));
                        link.addresses.push(WantedAddress { net, valid_until });
                    }
                    for (third, (via, has_source)) in routes {
                        let source =
                            link.addresses.first().filter(|_| has_source).map(|a| a.net.addr());
                        let route =
                            to(&format!("10.0.{third}.0/24"), Some(&format!("192.0.2.{via}")), 5);
                        link.routes.push(WantedRoute { source, ..route });
                    }
                    link
                })
                .collect()
        })
}

/// A kernel with hardware, and with things that others made.
fn start() -> Observed {
    let mut kernel = observed(vec![
        link(1, "lo", Kind::Loopback),
        link(2, "eth0", Kind::Ethernet),
        link(3, "eth1", Kind::Ethernet),
        link(4, "eth2", Kind::Ethernet),
        Link { up: true, ..link(5, "pod7", Kind::Other) },
        link(6, "docker0", Kind::Bridge(true)),
    ]);
    for link in &kernel.links {
        for setting in Setting::ALL {
            kernel.settings.insert((link.index, setting), "?".into());
        }
    }
    for index in [5, 6] {
        kernel.addresses.push(Address {
            index,
            net: net("203.0.113.1/32"),
            valid_until: None,
            protocol: 0,
            is_tentative: false,
        });
        let route = Route {
            index,
            to: net("203.0.113.0/24"),
            via: None,
            metric: 0,
            source: None,
            onlink: false,
            protocol: 3,
        };
        kernel.routes.push(route);
    }
    kernel
}

/// Plans and performs until nothing is left; gives how many rounds it took.
fn settle(kernel: &mut Observed, next_index: &mut u32, wanted: &Wanted) -> usize {
    for round in 0..10 {
        let plan = plan(wanted, kernel);
        if plan.actions.is_empty() {
            return round;
        }
        for action in &plan.actions {
            perform(kernel, next_index, action);
        }
    }
    panic!("no end: {:?}", plan(wanted, kernel).actions)
}

fn foreign(kernel: &Observed) -> (Vec<Link>, Vec<Address>, Vec<Route>) {
    let is_foreign = |index: &u32| [1, 5, 6].contains(index);
    (
        kernel.links.iter().filter(|link| is_foreign(&link.index)).cloned().collect(),
        kernel.addresses.iter().filter(|a| a.protocol != PROTOCOL).copied().collect(),
        kernel.routes.iter().filter(|r| r.protocol != PROTOCOL).cloned().collect(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// From any state that an earlier document left behind: what is wanted comes to be within a few
    /// rounds, then nothing is left to do; nothing foreign is touched; addresses that both
    /// documents want on a link that stays are not touched in between.
    #[test]
    fn any_document_is_reached_from_any_other(first in wishes(), second in wishes()) {
        let mut kernel = start();
        let before = foreign(&kernel);
        let mut next_index = 10;
        for links in [first, second] {
            let wanted = Wanted { links };
            let stays = |link: &&WantedLink, kernel: &Observed| {
                kernel.link(&link.name).is_some_and(|there| is_kind(&link.kind, there.kind, kernel))
            };
            for link in wanted.links.iter().filter(|link| stays(link, &kernel)) {
                let index = kernel.link(&link.name).unwrap().index;
                for action in plan(&wanted, &kernel).actions {
                    if let Action::RemoveAddress(name, net) = action {
                        let is_wanted = link.addresses.iter().any(|a| a.net == net);
                        prop_assert!(name != link.name || !is_wanted, "{net} flaps on {index}");
                    }
                }
            }
            let rounds = settle(&mut kernel, &mut next_index, &wanted);
            prop_assert!(rounds <= 4, "{rounds} rounds");
            let problems = plan(&wanted, &kernel).problems;
            for link in &wanted.links {
                let is_missing = problems.iter().any(|problem| match problem {
                    Problem::Missing(name) | Problem::Taken(name) => *name == link.name,
                    Problem::MissingBelow(name, _) => *name == link.name,
                });
                if is_missing {
                    continue;
                }
                let there = kernel.link(&link.name).unwrap();
                prop_assert!(there.up && is_kind(&link.kind, there.kind, &kernel));
                let own = |a: &&Address| a.index == there.index && a.protocol == PROTOCOL;
                prop_assert_eq!(kernel.addresses.iter().filter(own).count(), link.addresses.len());
                let routes = kernel.routes.iter().filter(|r| r.index == there.index);
                prop_assert_eq!(routes.count(), link.routes.len());
                let master = there.master.and_then(|index| kernel.link_at(index));
                prop_assert_eq!(master.map(|link| &link.name), link.master.as_ref());
            }
            prop_assert_eq!(&foreign(&kernel), &before);
        }
    }
}

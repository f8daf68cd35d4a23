use holm_config::Mac;
use serde_json::json;

use super::super::observed::{Address, PROTOCOL, Route};
use super::*;
use crate::clock::Moment;

fn link(index: u32, name: &str, carrier: bool) -> Link {
    Link {
        index,
        name: name.into(),
        kind: Kind::Ethernet,
        device: None,
        up: true,
        carrier,
        carrier_losses: 0,
        mtu: 1500,
        mac: Some(Mac([2, 0, 0, 0, 0, index as u8])),
        permanent_mac: None,
        master: None,
        alias: None,
    }
}

fn address(index: u32, net: &str) -> Address {
    let net = net.parse().unwrap();
    Address { index, net, valid_until: None, protocol: PROTOCOL, is_tentative: false }
}

fn gateway(index: u32, via: &str, metric: u32) -> Route {
    let via: IpAddr = via.parse().unwrap();
    let to = if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" }.parse().unwrap();
    let protocol = PROTOCOL;
    Route { index, to, via: Some(via), metric, source: None, onlink: false, protocol }
}

fn lease(last: u8) -> Lease {
    Lease {
        address: [192, 0, 2, last].into(),
        prefix: 24,
        server: [192, 0, 2, 1].into(),
        routes: vec![],
        dns: vec![[192, 0, 2, last].into(), [192, 0, 2, 53].into()],
        search: vec![format!("d{last}.example")],
        ntp: vec![[192, 0, 2, 123].into()],
        hostname: Some(format!("node-{last}")),
        provisioning: Some(format!("http://192.0.2.{last}/holm.toml")),
        mtu: None,
        times: None,
    }
}

/// eth0 lost its carrier, eth1 has one, the agent's link is not looked after.
fn observed() -> Observed {
    Observed {
        links: vec![link(2, "eth0", false), link(3, "eth1", true), link(4, "pod1", true)],
        addresses: vec![
            address(2, "192.0.2.10/24"),
            address(3, "192.0.2.11/24"),
            address(3, "fe80::1/64"),
            Address { is_tentative: true, ..address(3, "2001:db8::1/64") },
            address(4, "10.42.0.1/32"),
        ],
        routes: vec![
            gateway(3, "fe80::9", 103),
            gateway(2, "192.0.2.1", 102),
            gateway(4, "10.0.0.1", 1),
        ],
        ..Observed::default()
    }
}

fn made(network: &Network, advertisements: &Advertisements, allow: bool) -> Report {
    let (first, second) = (lease(10), lease(11));
    let clients = [
        Client { link: "eth0", dhcp4: Some("no carrier"), lease: Some(&first) },
        Client { link: "eth1", dhcp4: Some("bound"), lease: Some(&second) },
        Client { link: "eth9", dhcp4: None, lease: None },
    ];
    report(network, &clients, &observed(), advertisements, allow)
}

#[test]
fn servers_of_a_link_with_carrier_come_first_and_none_twice() {
    let report = made(&Network::default(), &Advertisements::default(), true);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["dns"], json!(["192.0.2.11", "192.0.2.53", "192.0.2.10"]));
    assert_eq!(json["search"], json!(["d11.example", "d10.example"]));
    assert_eq!(json["ntp"], json!(["192.0.2.123"]));
    assert_eq!(json["provisioning"], json!("http://192.0.2.11/holm.toml"));
    assert_eq!(json["addresses"], json!(["192.0.2.11", "192.0.2.10"]));
    assert_eq!(json["gateways"][0], json!({"address": "192.0.2.1", "link": "eth0", "metric": 102}));
    assert_eq!(json["gateways"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["links"][1]["name"], json!("eth0"));
    assert_eq!(json["hostname"], json!("node-11"));
}

#[test]
fn document_replaces_what_servers_say() {
    let network = Network {
        dns: vec!["2001:db8::53".parse().unwrap()],
        search: vec!["own.example".into()],
        ..Network::default()
    };
    let report = made(&network, &Advertisements::default(), false);
    assert_eq!(report.hostname(), None);
    assert!(report.resolv_conf().ends_with("\nnameserver 2001:db8::53\nsearch own.example\n"));
}

#[test]
fn link_local_server_of_a_router_names_its_link() {
    let mut option = vec![10, 0, 24, 0, 3, 0, 0, 0, 134, 0, 0, 0, 0, 0, 0, 0];
    option.extend([25, 3, 0, 0, 0, 0, 1, 0]);
    option.extend("fe80::53".parse::<std::net::Ipv6Addr>().unwrap().octets());
    let mut advertisements = Advertisements::default();
    assert!(advertisements.take(&option, Moment(0)));
    let report = made(&Network::default(), &advertisements, false);
    assert!(report.dns.contains(&"fe80::53%eth1".to_owned()));
}

#[test]
fn resolv_conf_names_no_more_servers_than_are_read() {
    let network = Network {
        dns: (1..=4).map(|last| [192, 0, 2, last].into()).collect(),
        ..Network::default()
    };
    let text = made(&network, &Advertisements::default(), false).resolv_conf();
    assert_eq!(text.lines().filter(|line| line.starts_with("nameserver")).count(), 3);
}

#[test]
fn status_says_what_a_person_wants_to_know() {
    let report = made(&Network::default(), &Advertisements::default(), false);
    let problem = Problem::Missing("eth9".into());
    assert_eq!(
        report.status(&[problem], &["bring eth0 up: no such device".into()]),
        "eth1: 192.0.2.11/24 2001:db8::1/64; eth0: no carrier 192.0.2.10/24; \
         eth9 is not there; bring eth0 up: no such device"
    );
    let nothing = report_of_nothing();
    assert_eq!(nothing.status(&[], &[]), "no link to look after");
}

fn report_of_nothing() -> Report {
    report(&Network::default(), &[], &Observed::default(), &Advertisements::default(), false)
}

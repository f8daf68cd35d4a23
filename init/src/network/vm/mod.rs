//! The service as a process against a real kernel: two network namespaces, a cable between them, a
//! DHCP server and a router at its other end. Needs root, and the modules veth, bridge, bonding and
//! 8021q.

mod lab;
mod later;
mod server;

use std::net::{IpAddr, Ipv4Addr};

use rustix::process::Signal;
use serde_json::json;

use super::action::Action;
use super::dhcp::options::Kind;
use super::netlink::{Socket, perform};
use super::observed::{Kind as LinkKind, PROTOCOL};
use super::wanted::{WantedKind, WantedRoute};
use crate::clock::now;
use lab::{Lab, lab, mac};

const DHCP: &str = "[[network.links]]\nname = \"eth0\"\n";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const GATEWAY: IpAddr = IpAddr::V4(server::SERVER);
const DEL_LINK: u16 = 17;
const DEL_ADDRESS: u16 = 21;
const DEL_ROUTE: u16 = 25;

/// Not a test: the process that the tests start.
#[test]
#[ignore = "needs root in a VM"]
fn service_process() {
    lab::service_process();
}

fn bound(lab: &mut Lab, address: &str) {
    let address = address.to_owned();
    lab.until("the address is there", |lab| lab.addresses("eth0") == [address.as_str()]);
    lab.until("the gateway is there", |lab| lab.gateways().iter().any(|(via, _)| *via == GATEWAY));
}

#[test]
#[ignore = "needs root in a VM"]
fn static_addresses_and_routes_are_there_when_ready() {
    lab(|lab| {
        lab.document(
            "[network]\ndns = [\"192.0.2.53\"]\n[[network.links]]\nname = \"eth0\"\nmtu = 1400\n\
             mac = \"02:00:00:00:09:07\"\n\
             addresses = [\"192.0.2.7/24\", \"2001:db8::7/64\"]\n\
             gateways = [\"192.0.2.1\", \"fe80::1\"]\n\
             routes = [{ to = \"198.51.100.0/24\", via = \"192.0.2.2\", metric = 7 }]\n",
        );
        lab.start();
        let node = lab.node();
        assert!(node.link("lo").unwrap().up);
        let eth0 = node.link("eth0").unwrap();
        assert_eq!((eth0.up, eth0.mtu, eth0.mac), (true, 1400, Some(mac(7))));
        assert_eq!(lab.addresses("eth0"), ["192.0.2.7/24", "2001:db8::7/64"]);
        let own = node.routes.iter().filter(|route| route.protocol == PROTOCOL);
        let own: Vec<String> = own.map(|r| format!("{} {}", r.to, r.via.unwrap())).collect();
        assert_eq!(own, ["0.0.0.0/0 192.0.2.1", "198.51.100.0/24 192.0.2.2", "::/0 fe80::1"]);
        lab.until("the report is there", |lab| lab.report()["dns"] == json!(["192.0.2.53"]));
        lab.until("the resolver is told", |lab| {
            lab.file("run/resolv.conf").contains("\nnameserver 192.0.2.53\n")
        });

        lab.heard.clear();
        lab.document(
            "[[network.links]]\nname = \"eth0\"\naddresses = [\"192.0.2.7/24\"]\n\
             gateways = [\"192.0.2.3\"]\n",
        );
        lab.signal(Signal::HUP);
        lab.until("the other gateway is there", |lab| {
            let gateways = lab.gateways();
            lab.addresses("eth0") == ["192.0.2.7/24"]
                && gateways.iter().map(|(via, _)| *via).eq(["192.0.2.3".parse::<IpAddr>().unwrap()])
        });
        assert!(lab.link("eth0").unwrap().up);
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn dhcp_gives_address_route_servers_and_name() {
    lab(|lab| {
        let server = lab.server(600);
        lab.document(&format!("[network]\nhostname-from-dhcp = true\n{DHCP}"));
        lab.start();
        bound(lab, "192.0.2.10/24");
        let address = lab.node().addresses.into_iter().find(|a| a.net.addr() == ADDRESS).unwrap();
        assert!(address.valid_until.is_some(), "the kernel ends it should the service be gone");
        lab.until("the report is there", |lab| lab.report()["addresses"][0] == json!("192.0.2.10"));
        let report = lab.report();
        assert_eq!(report["gateways"][0]["address"], json!("192.0.2.1"));
        assert_eq!(report["gateways"][0]["link"], json!("eth0"));
        assert_eq!(report["dns"], json!(["192.0.2.53"]));
        assert_eq!(report["search"], json!(["example.com"]));
        assert_eq!(report["ntp"], json!(["192.0.2.123"]));
        assert_eq!(report["links"][0]["dhcp4"], json!("bound"));
        lab.until("the resolver is told", |lab| {
            lab.file("run/resolv.conf").ends_with("\nnameserver 192.0.2.53\nsearch example.com\n")
        });
        lab.until("the name is there", |lab| lab.file("run/hostname") == "node-from-dhcp\n");
        assert_eq!(rustix::system::uname().nodename().to_bytes(), b"node-from-dhcp");
        assert_eq!(server.heard(Kind::Request).len(), 1);
        lab.forget_told();
        lab.until("the watchdog is fed", |lab| lab.has_told("WATCHDOG=1"));
        let (anonymous, all) = lab.memory();
        println!("memory of the service in the test binary: {anonymous} KiB of {all} KiB RSS");
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn silent_server_holds_nobody_up_and_is_found_when_it_wakes() {
    lab(|lab| {
        let server = lab.server(600);
        server.state().is_silent = true;
        lab.document(DHCP);
        lab.start();
        lab.until("the server was asked", |_| !server.heard(Kind::Discover).is_empty());
        assert_eq!(lab.addresses("eth0"), Vec::<String>::new());
        lab.until("people are told", |lab| lab.has_told("eth0: (DHCP: looking for a server)"));
        server.state().is_silent = false;
        bound(lab, "192.0.2.10/24");
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn lease_is_renewed_in_time_without_a_flap() {
    lab(|lab| {
        let server = lab.server(20);
        lab.document(DHCP);
        lab.start();
        bound(lab, "192.0.2.10/24");
        lab.heard.clear();
        let ends = |lab: &mut Lab| lab.node().addresses.iter().find_map(|a| a.valid_until).unwrap();
        let first = ends(lab);
        lab.until("the lease is prolonged", |lab| ends(lab).0 > first.0 + 7000);
        let renewal = *server.heard(Kind::Request).last().unwrap();
        assert_eq!((renewal.ciaddr, renewal.requested), (ADDRESS, None));
        assert!(!renewal.names_server);
        assert!(!lab.has_heard(DEL_ADDRESS) && !lab.has_heard(DEL_ROUTE));
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn lease_of_a_server_that_died_ends_in_time() {
    lab(|lab| {
        let server = lab.server(6);
        lab.document(DHCP);
        lab.start();
        bound(lab, "192.0.2.10/24");
        server.state().is_silent = true;
        server.state().heard.clear();
        lab.until("the address is gone", |lab| lab.addresses("eth0").is_empty());
        lab.until("the route is gone", |lab| lab.gateways().is_empty());
        lab.until("the report says so", |lab| lab.report()["dns"] == json!([]));
        lab.until("the server is looked for", |_| !server.heard(Kind::Discover).is_empty());
        let requests = server.heard(Kind::Request);
        assert!(requests.len() >= 2, "renewing, then rebinding: {requests:?}");
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn pulled_cable_takes_the_routes_and_confirms_the_lease_when_back() {
    lab(|lab| {
        let server = lab.server(600);
        lab.document(DHCP);
        lab.start();
        bound(lab, "192.0.2.10/24");
        server.state().heard.clear();
        lab.wall(&Action::Down("wall0".into()));
        lab.until("the route is gone", |lab| lab.gateways().is_empty());
        assert_eq!(lab.addresses("eth0"), ["192.0.2.10/24"], "the lease is still ours");
        lab.until("people are told", |lab| lab.has_told("eth0: no carrier 192.0.2.10/24"));
        lab.wall(&Action::Up("wall0".into()));
        bound(lab, "192.0.2.10/24");
        lab.until("the lease is confirmed", |_| !server.heard(Kind::Request).is_empty());
        let confirmation = server.heard(Kind::Request)[0];
        assert_eq!(confirmation.requested, Some(ADDRESS));
        assert_eq!(
            (confirmation.ciaddr, confirmation.names_server),
            (Ipv4Addr::UNSPECIFIED, false)
        );
        assert!(server.heard(Kind::Discover).is_empty());
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn short_loss_of_carrier_keeps_the_route() {
    lab(|lab| {
        let server = lab.server(600);
        lab.document(DHCP);
        lab.start();
        bound(lab, "192.0.2.10/24");
        server.state().heard.clear();
        lab.heard.clear();
        lab.wall(&Action::Down("wall0".into()));
        lab.wall(&Action::Up("wall0".into()));
        lab.until("the lease is confirmed", |_| !server.heard(Kind::Request).is_empty());
        bound(lab, "192.0.2.10/24");
        assert!(!lab.has_heard(DEL_ADDRESS) && !lab.has_heard(DEL_ROUTE));
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn cable_in_another_network_gives_another_address() {
    lab(|lab| {
        let server = lab.server(600);
        lab.document(DHCP);
        lab.start();
        bound(lab, "192.0.2.10/24");
        lab.wall(&Action::Down("wall0".into()));
        lab.until("the carrier is lost", |lab| !lab.link("eth0").unwrap().carrier);
        server.state().address = Ipv4Addr::new(192, 0, 2, 77);
        lab.wall(&Action::Up("wall0".into()));
        bound(lab, "192.0.2.77/24");
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn address_of_another_host_is_declined() {
    lab(|lab| {
        let server = lab.server(600);
        let taken = "192.0.2.10/32".parse().unwrap();
        lab.wall(&Action::PutAddress("wall0".into(), taken, None));
        lab.document(DHCP);
        lab.start();
        bound(lab, "192.0.2.11/24");
        let declined = server.heard(Kind::Decline)[0];
        assert_eq!(declined.requested, Some(ADDRESS));
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn leaving_service_releases_its_lease_and_leaves_the_link_up() {
    lab(|lab| {
        let server = lab.server(600);
        lab.document(DHCP);
        lab.start();
        bound(lab, "192.0.2.10/24");
        lab.signal(Signal::TERM);
        assert!(lab.end().success());
        lab.until("the server hears it", |_| !server.heard(Kind::Release).is_empty());
        assert_eq!(server.heard(Kind::Release)[0].ciaddr, ADDRESS);
        assert_eq!(lab.addresses("eth0"), Vec::<String>::new());
        assert!(lab.link("eth0").unwrap().up);
        lab.start();
        bound(lab, "192.0.2.10/24");
        let again = *server.heard(Kind::Discover).last().unwrap();
        assert_eq!(again.requested, Some(ADDRESS), "the same address is asked for");
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn crashed_service_takes_over_without_a_flap_and_leaves_others_alone() {
    lab(|lab| {
        let server = lab.server(600);
        lab.document(&format!(
            "{DHCP}[[network.links]]\nname = \"br0\"\nbridge = {{ ports = [] }}\n\
             addresses = [\"198.51.100.1/24\"]\n"
        ));
        lab.start();
        bound(lab, "192.0.2.10/24");
        let other = WantedRoute {
            to: "203.0.113.0/24".parse().unwrap(),
            via: None,
            metric: 3,
            source: None,
            onlink: false,
        };
        lab.in_node(|| {
            let mut socket = Socket::open().unwrap();
            let pod = || "pod7".to_owned();
            let mut act = |action| perform(&mut socket, &action, now()).unwrap();
            act(Action::Create(pod(), WantedKind::Bridge(false)));
            act(Action::Up(pod()));
            act(Action::PutAddress(pod(), "10.42.0.1/32".parse().unwrap(), None));
            act(Action::AddRoute(pod(), other));
        });
        lab.signal(Signal::KILL);
        assert!(!lab.end().success());
        server.state().heard.clear();
        lab.heard.clear();
        lab.has_heard(0);
        lab.heard.clear();
        lab.start();
        lab.until("the lease is confirmed", |_| !server.heard(Kind::Request).is_empty());
        lab.until("it is bound", |lab| lab.report()["links"][0]["dhcp4"] == json!("bound"));
        for kind in [DEL_LINK, DEL_ADDRESS, DEL_ROUTE] {
            assert!(!lab.has_heard(kind), "message type {kind}: {:?}", lab.heard);
        }
        assert!(server.heard(Kind::Discover).is_empty());
        assert_eq!(lab.addresses("pod7"), ["10.42.0.1/32"]);
        assert!(lab.node().routes.iter().any(|route| route.to == other.to));
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn vlan_bridge_and_bond_are_made_changed_and_removed() {
    lab(|lab| {
        lab.cable("eth1", "wall1");
        lab.document(
            "[[network.links]]\nname = \"v5\"\nvlan = { link = \"br0\", id = 5 }\n\
             addresses = [\"192.0.2.5/24\"]\ngateways = [\"192.0.2.1\"]\n\
             [[network.links]]\nname = \"br0\"\nbridge = { ports = [\"eth0\"] }\n\
             dhcp4 = false\n\
             [[network.links]]\nname = \"bond0\"\n\
             bond = { ports = [\"eth1\"], mode = \"active-backup\", primary = \"eth1\" }\n\
             addresses = [\"198.51.100.5/24\"]\n",
        );
        lab.start();
        let node = lab.node();
        let link = |name: &str| node.link(name).unwrap().clone();
        assert_eq!(link("v5").kind, LinkKind::Vlan(link("br0").index, 5));
        assert_eq!(link("eth0").master, Some(link("br0").index));
        assert_eq!(link("eth1").master, Some(link("bond0").index));
        assert!(matches!(link("bond0").kind,
            LinkKind::Bond(state) if state.primary == Some(link("eth1").index)));
        assert!(["v5", "br0", "bond0", "eth0", "eth1"].iter().all(|name| link(name).up));
        assert_eq!(lab.gateways().len(), 1);
        lab.until("frames can pass", |lab| {
            ["v5", "bond0"].iter().all(|name| lab.link(name).is_some_and(|link| link.carrier))
        });

        lab.document(
            "[[network.links]]\nname = \"bond0\"\nbond = { ports = [\"eth1\"], mode = \"802.3ad\" }\n\
             addresses = [\"198.51.100.5/24\"]\n\
             [[network.links]]\nname = \"eth0\"\naddresses = [\"192.0.2.5/24\"]\n",
        );
        lab.signal(Signal::HUP);
        lab.until("the bridge is gone", |lab| {
            let node = lab.node();
            node.link("br0").is_none() && node.link("v5").is_none()
        });
        lab.until("the bond has its new mode", |lab| {
            let kind = lab.link("bond0").map(|link| link.kind);
            matches!(kind, Some(LinkKind::Bond(s)) if s.mode == holm_config::BondMode::Lacp)
        });
        lab.until("the rest is there", |lab| {
            lab.addresses("eth0") == ["192.0.2.5/24"]
                && lab.addresses("bond0") == ["198.51.100.5/24"]
        });
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn router_advertisement_gives_address_route_and_servers() {
    lab(|lab| {
        lab.document("[[network.links]]\nname = \"eth0\"\ndhcp4 = false\n");
        // As the agent does for its pods.
        lab.in_node(|| std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap());
        lab.start();
        lab.until("the link has its own address", |lab| {
            let node = lab.node();
            node.addresses.iter().any(|a| a.net.to_string().starts_with("fe80:") && !a.is_tentative)
        });
        lab.advertise(&server::advertisement());
        lab.until("the address is there", |lab| {
            lab.addresses("eth0").iter().any(|address| address.starts_with("2001:db8:5:"))
        });
        let metric = 100 + lab.link("eth0").unwrap().index;
        lab.until("the router is there", |lab| {
            lab.gateways().iter().any(|(via, m)| via.is_ipv6() && *m == metric)
        });
        lab.until("the server is there", |lab| lab.report()["dns"] == json!(["2001:db8:5::53"]));
        lab.until("the domain is there", |lab| lab.report()["search"] == json!(["ra.example"]));

        lab.signal(Signal::KILL);
        lab.end();
        lab.start();
        lab.until("it is remembered", |lab| {
            lab.has_told("STATUS=") && lab.report()["dns"] == json!(["2001:db8:5::53"])
        });
    });
}

use proptest::prelude::*;

use super::super::dhcp::lease::Times;
use super::super::observed::{Device, Kind};
use super::*;

fn link(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.into(),
        kind: Kind::Ethernet,
        device: Some(Device {
            driver: Some("virtio_net".into()),
            path: Some(format!("pci0000:00/0000:00:0{index}.0/virtio{index}")),
            is_wireless: false,
        }),
        up: true,
        carrier: true,
        carrier_losses: 0,
        mtu: 1500,
        mac: Some(Mac([2, 0, 0, 0, 0, index as u8])),
        permanent_mac: None,
        master: None,
        alias: None,
    }
}

fn there(names: &[&str]) -> Observed {
    let links = names.iter().zip(2..).map(|(name, index)| link(index, name)).collect();
    Observed { links, ..Observed::default() }
}

fn document(text: &str) -> Network {
    holm_config::parse(text, "holm.toml").expect("the document is right").network
}

fn lease() -> Lease {
    Lease {
        address: [192, 0, 2, 10].into(),
        prefix: 24,
        server: [192, 0, 2, 1].into(),
        routes: vec![([0, 0, 0, 0].into(), 0, Some([192, 0, 2, 1].into()))],
        dns: vec![],
        search: vec![],
        ntp: vec![],
        hostname: None,
        provisioning: None,
        mtu: Some(1400),
        times: Some(Times { renew: Moment(1), rebind: Moment(2), expire: Moment(3000) }),
    }
}

fn with_lease(text: &str, lease: Lease, has_carrier: bool) -> WantedLink {
    let observed = there(&["eth0"]);
    let leases = BTreeMap::from([("eth0".to_owned(), LeaseInUse { lease, has_carrier })]);
    let wanted = wanted(&assign(&document(text), &observed), &leases, &observed);
    wanted.links.into_iter().find(|link| link.name == "eth0").unwrap()
}

fn routes(link: &WantedLink) -> Vec<String> {
    link.routes.iter().map(|route| format!("{route} onlink {}", route.onlink)).collect()
}

#[test]
fn without_a_document_every_physical_link_asks_by_dhcp_and_listens_to_routers() {
    let mut observed = there(&["eth0", "eth1", "wlan0", "veth0", "pod3"]);
    observed.links[2].device.as_mut().unwrap().is_wireless = true;
    observed.links[3].device = None;
    let assigned = assign(&Network::default(), &observed);
    let names: Vec<&str> = assigned.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["eth0", "eth1"]);
    assert!(assigned.iter().all(|a| a.entry.dhcp4 && a.entry.accept_ra && a.master.is_none()));
    let wanted = wanted(&assigned, &BTreeMap::new(), &observed);
    let names: Vec<&str> = wanted.links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["lo", "eth0", "eth1"], "the loopback link is always wanted");
    let settings = &wanted.links[1].settings;
    assert_eq!(
        (settings[&Setting::AcceptRa].as_str(), settings[&Setting::RaMetric].as_str()),
        ("2", "102")
    );
}

#[test]
fn entry_takes_the_first_link_that_fits_and_is_free() {
    let text = "[[network.links]]\nmatch = { driver = \"virtio*\" }\nmtu = 1400\n\
                [[network.links]]\nmatch = { path = \"*/virtio4\" }\nmtu = 1401\n\
                [[network.links]]\nname = \"eth0\"\nmtu = 1402\n";
    let assigned = assign(&document(text), &there(&["eth0", "eth1", "eth2", "eth3"]));
    let found: Vec<_> = assigned.iter().map(|a| (a.name.as_str(), a.entry.mtu)).collect();
    assert_eq!(
        found,
        [("eth1", Some(1400)), ("eth2", Some(1401)), ("eth0", Some(1402)), ("eth3", None)]
    );
}

#[test]
fn permanent_hardware_address_identifies_a_link_that_got_another() {
    let mut observed = there(&["eth0"]);
    observed.links[0].permanent_mac = Some(Mac([2, 0, 0, 0, 0, 99]));
    let text = "[[network.links]]\nmatch = { mac = \"02:00:00:00:00:63\" }\nmtu = 1400\n";
    assert_eq!(assign(&document(text), &observed)[0].entry.mtu, Some(1400));
}

#[test]
fn port_is_silent_and_comes_after_its_bridge_and_vlans_after_both() {
    let text = "[[network.links]]\nname = \"v5\"\nvlan = { link = \"br0\", id = 5 }\n\
                [[network.links]]\nname = \"br0\"\nbridge = { ports = [\"eth0\"] }\n";
    let observed = there(&["eth0"]);
    let assigned = assign(&document(text), &observed);
    let eth0 = assigned.iter().find(|a| a.name == "eth0").unwrap();
    assert!(!eth0.entry.dhcp4 && !eth0.entry.accept_ra);
    assert_eq!(eth0.master.as_deref(), Some("br0"));
    let wanted = wanted(&assigned, &BTreeMap::new(), &observed);
    let place = |name| wanted.links.iter().position(|link| link.name == name).unwrap();
    assert!(place("br0") < place("v5") && place("br0") < place("eth0"));
    assert_eq!(wanted.links[place("eth0")].settings[&Setting::DisableIpv6], "1");
}

#[test]
fn lease_gives_an_address_with_its_end_a_route_and_an_mtu() {
    let eth0 = with_lease("", lease(), true);
    let net = "192.0.2.10/24".parse().unwrap();
    assert_eq!(eth0.addresses, [WantedAddress { net, valid_until: Some(Moment(3000)) }]);
    assert_eq!(routes(&eth0), ["to 0.0.0.0/0 via 192.0.2.1 metric 102 onlink false"]);
    assert_eq!(eth0.mtu, Some(1400));
}

#[test]
fn lease_without_carrier_keeps_its_address_and_loses_its_routes() {
    let eth0 = with_lease("", lease(), false);
    assert_eq!((eth0.addresses.len(), eth0.routes.len()), (1, 0));
}

#[test]
fn document_wins_over_the_lease() {
    let text = "[[network.links]]\nname = \"eth0\"\ndhcp4 = true\nmtu = 1300\nmetric = 7\n\
                addresses = [\"192.0.2.10/24\"]\ngateways = [\"192.0.2.2\"]\n";
    let eth0 = with_lease(text, lease(), true);
    let net = "192.0.2.10/24".parse().unwrap();
    assert_eq!(eth0.addresses, [WantedAddress { net, valid_until: None }]);
    assert_eq!(routes(&eth0), ["to 0.0.0.0/0 via 192.0.2.2 metric 7 onlink false"]);
    assert_eq!(eth0.mtu, Some(1300));
}

#[test]
fn lease_on_a_link_that_asks_no_longer_is_not_used() {
    let text = "[[network.links]]\nname = \"eth0\"\ndhcp4 = false\n";
    assert!(with_lease(text, lease(), true).addresses.is_empty());
}

#[test]
fn gateway_outside_the_prefix_is_reached_all_the_same() {
    let far = Lease { prefix: 32, ..lease() };
    let eth0 = with_lease("", far, true);
    assert_eq!(routes(&eth0), ["to 0.0.0.0/0 via 192.0.2.1 metric 102 onlink true"]);
}

#[test]
fn routes_on_the_link_come_before_those_that_need_them() {
    let lease = Lease {
        routes: vec![
            ([0, 0, 0, 0].into(), 0, Some([10, 0, 0, 1].into())),
            ([10, 0, 0, 1].into(), 32, None),
        ],
        ..lease()
    };
    let eth0 = with_lease("", lease, true);
    assert_eq!(eth0.routes[0].to.to_string(), "10.0.0.1/32");
}

#[test]
fn link_that_is_to_be_made_gets_its_routes_once_it_is_there() {
    let text = "[[network.links]]\nname = \"br0\"\nbridge = { ports = [] }\n\
                addresses = [\"192.0.2.5/24\"]\ngateways = [\"192.0.2.1\"]\n";
    let route_count = |observed: &Observed| {
        let wanted = wanted(&assign(&document(text), observed), &BTreeMap::new(), observed);
        wanted.links.iter().find(|link| link.name == "br0").unwrap().routes.len()
    };
    assert_eq!(route_count(&there(&[])), 0);
    assert_eq!(route_count(&there(&["br0"])), 1);
}

#[test]
fn globs_match_as_in_a_shell() {
    let table = [
        ("*", "", true),
        ("eth?", "eth0", true),
        ("eth?", "eth", false),
        ("*/virtio0", "pci0000:00/0000:00:02.0/virtio0", true),
        ("pci*:00/*/virtio1", "pci0000:00/0000:00:02.0/virtio0", false),
        ("a*b*c", "axxbyybc", true),
        ("a*b", "ab c", false),
    ];
    for (pattern, text, fits) in table {
        assert_eq!(super::fits(pattern, text), fits, "{pattern} {text}");
    }
}

proptest! {
    #[test]
    fn glob_with_its_own_text_always_fits(text in "[a-z*?]{0,12}", at in 0usize..12) {
        prop_assert!(fits(&text, &text));
        let mut starred: Vec<char> = text.chars().collect();
        starred.insert(at.min(starred.len()), '*');
        prop_assert!(fits(&starred.into_iter().collect::<String>(), &text));
    }
}

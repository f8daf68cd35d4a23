//! What has to be done to attach and detach a pod. Pure: the executors carry the actions out in
//! order and decide nothing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::addresses::{PodAddresses, Ranges};

/// The pod's end of its veth, as in every other Kubernetes network.
pub const POD_LINK: &str = "eth0";

/// A hardware address.
pub type Mac = [u8; 6];

/// Everything about one pod's link, derived from the pod's identity and addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wiring {
    /// Bind-mounted network namespace.
    pub netns: PathBuf,
    /// The node's end of the veth.
    pub host_link: String,
    /// Its hardware address.
    pub host_mac: Mac,
    /// Hardware address of the pod's end.
    pub pod_mac: Mac,
    /// Bytes in the largest packet.
    pub mtu: u32,
    /// Pairs of the pod's address and its gateway, the node's own address of that family.
    pub addresses: Vec<(IpAddr, IpAddr)>,
}

impl Wiring {
    /// Wires the pod `uid`. The same arguments always give the same names and addresses.
    pub fn new(
        uid: &str,
        netns_dir: &Path,
        ranges: &Ranges,
        addresses: PodAddresses,
        mtu: u32,
    ) -> Self {
        let hash: [u8; 32] = Sha256::digest(uid).into();
        let v4 = (IpAddr::V4(addresses.v4), IpAddr::V4(ranges.node_v4()));
        let v6 = addresses.v6.zip(ranges.node_v6());
        let v6 = v6.map(|(pod, node)| (IpAddr::V6(pod), IpAddr::V6(node)));
        Self {
            netns: netns_path(netns_dir, uid),
            host_link: host_link(uid),
            host_mac: mac(0x52, &hash[6..11]),
            pod_mac: mac(0x56, &hash[11..16]),
            mtu,
            addresses: std::iter::once(v4).chain(v6).collect(),
        }
    }
}

/// The folder entry that keeps a pod's network namespace.
pub fn netns_path(netns_dir: &Path, uid: &str) -> PathBuf {
    netns_dir.join(uid)
}

/// The node's end of a pod's veth: `pod` and twelve hexadecimal digits, 15 bytes as a link's name
/// may have at most.
pub fn host_link(uid: &str) -> String {
    let hash = Sha256::digest(uid);
    let digits: String = hash[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{HOST_LINK_PREFIX}{digits}")
}

/// Begins the name of every link that belongs to a pod, and of no other.
pub const HOST_LINK_PREFIX: &str = "pod";

/// Locally administered and unicast (bits 1 and 0 of the first byte are 1 and 0).
fn mac(first: u8, rest: &[u8]) -> Mac {
    let mut mac = [first; 6];
    mac[1..].copy_from_slice(rest);
    mac
}

/// What of a pod's link is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Present {
    /// The network namespace is mounted.
    pub netns: bool,
    /// The node's end of the veth exists.
    pub host_link: bool,
    /// The pod's end exists in that namespace.
    pub pod_link: bool,
}

/// In which network namespace an action is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The node's own.
    Node,
    /// The pod's.
    Pod,
}

/// One step of attaching or detaching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a network namespace and mount it here.
    MakeNamespace(PathBuf),
    /// Unmount the network namespace and remove its folder entry.
    RemoveNamespace(PathBuf),
    /// Make the veth, its pod's end inside the pod's namespace.
    MakeVeth,
    /// Remove the node's end of the veth, and the other with it.
    RemoveLink(String),
    /// Write a kernel parameter of the node, below `/proc/sys`.
    SetParameter(String, &'static str),
    /// Bring a link up.
    LinkUp(Side, String),
    /// Give a link an address of full prefix length.
    AddAddress(Side, String, IpAddr),
    /// Enter a neighbour for good.
    AddNeighbour(Side, String, IpAddr, Mac),
    /// Route one address to a link, seen from `source`.
    AddHostRoute {
        /// The link.
        link: String,
        /// Where to.
        to: IpAddr,
        /// Preferred source of what the node itself sends.
        source: IpAddr,
    },
    /// Route everything of one family to `gateway`, in the pod.
    AddDefaultRoute {
        /// The link.
        link: String,
        /// On the link, though no prefix says so.
        gateway: IpAddr,
        /// The pod's own address.
        source: IpAddr,
    },
}

/// What the node itself needs before the first pod: forwarding, and its own pod addresses.
pub fn prepare_node(ranges: &Ranges) -> Vec<Action> {
    let mut actions = vec![
        Action::SetParameter("net/ipv4/ip_forward".to_owned(), "1"),
        Action::AddAddress(Side::Node, "lo".to_owned(), IpAddr::V4(ranges.node_v4())),
    ];
    if let Some(node) = ranges.node_v6() {
        let parameter = "net/ipv6/conf/all/forwarding".to_owned();
        actions.push(Action::SetParameter(parameter, "1"));
        actions.push(Action::AddAddress(Side::Node, "lo".to_owned(), IpAddr::V6(node)));
    }
    actions
}

/// Attaches a pod. What is there is kept and completed, so that twice is harmless; a half of a
/// link that lost its other half is made anew.
pub fn attach(wiring: &Wiring, present: Present) -> Vec<Action> {
    let mut actions = Vec::new();
    let link = &wiring.host_link;
    let pod_link = || POD_LINK.to_owned();
    if !present.netns {
        actions.push(Action::MakeNamespace(wiring.netns.clone()));
    }
    let whole = present.netns && present.host_link && present.pod_link;
    if present.host_link && !whole {
        actions.push(Action::RemoveLink(link.clone()));
    }
    if !whole {
        actions.push(Action::MakeVeth);
    }
    // A packet from a pod must have the pod's address (strict reverse path), and one that goes
    // back to where it came from is meant so (a pod that reaches itself through a host port).
    // `route_localnet` lets the node reach host ports by 127.0.0.1; the packet filter keeps the
    // pod itself away from there.
    for (parameter, value) in [("rp_filter", "1"), ("send_redirects", "0"), ("route_localnet", "1")]
    {
        let path = format!("net/ipv4/conf/{link}/{parameter}");
        actions.push(Action::SetParameter(path, value));
    }
    let has_v6 = wiring.addresses.iter().any(|(pod, _)| pod.is_ipv6());
    for (parameter, value) in [("disable_ipv6", if has_v6 { "0" } else { "1" }), ("accept_ra", "0")]
    {
        let path = format!("net/ipv6/conf/{link}/{parameter}");
        actions.push(Action::SetParameter(path, value));
    }
    actions.push(Action::LinkUp(Side::Pod, "lo".to_owned()));
    for (pod, _) in &wiring.addresses {
        actions.push(Action::AddAddress(Side::Pod, pod_link(), *pod));
    }
    actions.push(Action::LinkUp(Side::Pod, pod_link()));
    actions.push(Action::LinkUp(Side::Node, link.clone()));
    for (pod, node) in &wiring.addresses {
        let (pod, node) = (*pod, *node);
        actions.push(Action::AddNeighbour(Side::Pod, pod_link(), node, wiring.host_mac));
        actions.push(Action::AddDefaultRoute { link: pod_link(), gateway: node, source: pod });
        actions.push(Action::AddNeighbour(Side::Node, link.clone(), pod, wiring.pod_mac));
        actions.push(Action::AddHostRoute { link: link.clone(), to: pod, source: node });
    }
    actions
}

/// Detaches a pod. Every action stands alone: one that fails does not stop the next.
pub fn detach(netns_dir: &Path, uid: &str) -> Vec<Action> {
    vec![Action::RemoveLink(host_link(uid)), Action::RemoveNamespace(netns_path(netns_dir, uid))]
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn wiring(v6: bool) -> Wiring {
        let ranges = Ranges {
            v4: "10.42.0.0/24".parse().unwrap(),
            v6: v6.then(|| "fd42::/64".parse().unwrap()),
        };
        let addresses = PodAddresses {
            v4: Ipv4Addr::new(10, 42, 0, 5),
            v6: v6.then(|| "fd42::5".parse().unwrap()),
        };
        Wiring::new("uid-1", Path::new("/run/holm/netns"), &ranges, addresses, 1400)
    }

    const ALL: Present = Present { netns: true, host_link: true, pod_link: true };

    fn position(actions: &[Action], wanted: impl Fn(&Action) -> bool) -> usize {
        actions.iter().position(wanted).unwrap()
    }

    #[test]
    fn names_are_as_long_as_the_kernel_allows() {
        let wiring = wiring(false);
        assert_eq!(wiring.host_link.len(), 15);
        assert_eq!(wiring.netns, Path::new("/run/holm/netns/uid-1"));
        assert_eq!(
            wiring.addresses,
            [("10.42.0.5".parse::<IpAddr>().unwrap(), "10.42.0.1".parse::<IpAddr>().unwrap())]
        );
        for mac in [wiring.host_mac, wiring.pod_mac] {
            assert_eq!(mac[0] & 0b11, 0b10, "locally administered, unicast");
        }
        assert_ne!(wiring.host_mac, wiring.pod_mac);
    }

    #[test]
    fn new_pod_gets_namespace_link_address_and_routes_in_this_order() {
        let actions = attach(&wiring(false), Present::default());
        assert!(matches!(actions[0], Action::MakeNamespace(_)));
        assert_eq!(actions[1], Action::MakeVeth);
        let address = position(&actions, |a| matches!(a, Action::AddAddress(Side::Pod, ..)));
        let up = position(&actions, |a| *a == Action::LinkUp(Side::Pod, "eth0".into()));
        let host_up = position(&actions, |a| matches!(a, Action::LinkUp(Side::Node, _)));
        let route = position(&actions, |a| matches!(a, Action::AddDefaultRoute { .. }));
        let host_route = position(&actions, |a| matches!(a, Action::AddHostRoute { .. }));
        assert!(address < up && up < route && host_up < route && route < host_route);
    }

    #[test]
    fn whole_link_is_completed_and_not_made_again() {
        let actions = attach(&wiring(false), ALL);
        assert!(actions.iter().all(|action| !matches!(
            action,
            Action::MakeNamespace(_) | Action::MakeVeth | Action::RemoveLink(_)
        )));
    }

    #[test]
    fn half_a_link_is_made_anew() {
        for present in [
            Present { netns: false, ..ALL },
            Present { pod_link: false, ..ALL },
            Present { netns: false, pod_link: false, ..ALL },
        ] {
            let actions = attach(&wiring(false), present);
            let remove = position(&actions, |a| matches!(a, Action::RemoveLink(_)));
            let make = position(&actions, |a| *a == Action::MakeVeth);
            assert!(remove < make, "{present:?}");
        }
    }

    #[test]
    fn second_family_doubles_addresses_and_routes() {
        let count = |actions: &[Action]| {
            actions.iter().filter(|a| matches!(a, Action::AddHostRoute { .. })).count()
        };
        assert_eq!(count(&attach(&wiring(false), ALL)), 1);
        assert_eq!(count(&attach(&wiring(true), ALL)), 2);
        let without = "net/ipv6/conf/".to_owned() + &host_link("uid-1") + "/disable_ipv6";
        assert!(attach(&wiring(false), ALL).contains(&Action::SetParameter(without, "1")));
    }

    #[test]
    fn node_forwards_and_answers_for_the_gateway() {
        let ranges = Ranges { v4: "10.42.0.0/24".parse().unwrap(), v6: None };
        assert_eq!(
            prepare_node(&ranges),
            [
                Action::SetParameter("net/ipv4/ip_forward".into(), "1"),
                Action::AddAddress(Side::Node, "lo".into(), "10.42.0.1".parse().unwrap()),
            ]
        );
    }

    proptest! {
        #[test]
        fn detaching_names_what_attaching_made(uid in "[a-z0-9-]{1,64}") {
            let dir = Path::new("/run/holm/netns");
            let ranges = Ranges { v4: "10.42.0.0/24".parse().unwrap(), v6: None };
            let addresses = PodAddresses { v4: Ipv4Addr::new(10, 42, 0, 5), v6: None };
            let wiring = Wiring::new(&uid, dir, &ranges, addresses, 1500);
            prop_assert_eq!(detach(dir, &uid), [
                Action::RemoveLink(wiring.host_link),
                Action::RemoveNamespace(wiring.netns),
            ]);
        }

        #[test]
        fn every_part_that_is_missing_is_made(netns: bool, host_link: bool, pod_link: bool) {
            let pod_link = pod_link && netns;
            let present = Present { netns, host_link, pod_link };
            let actions = attach(&wiring(true), present);
            let makes = |wanted: &Action| actions.contains(wanted);
            prop_assert_eq!(makes(&Action::MakeNamespace("/run/holm/netns/uid-1".into())), !netns);
            prop_assert_eq!(makes(&Action::MakeVeth), !(netns && host_link && pod_link));
        }
    }
}

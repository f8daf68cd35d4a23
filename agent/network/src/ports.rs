//! Host ports: what a pod asks for, who owns a port of the node, and the elements of the packet
//! filter's maps that follow. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::addresses::PodAddresses;

/// A transport protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// `TCP`
    Tcp,
    /// `UDP`
    Udp,
    /// `SCTP`
    Sctp,
}

impl Protocol {
    /// Its number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "TCP" => Ok(Self::Tcp),
            "UDP" => Ok(Self::Udp),
            "SCTP" => Ok(Self::Sctp),
            other => Err(format!("protocol {other:?} is not TCP, UDP or SCTP")),
        }
    }
}

/// One port of the node that leads to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortMapping {
    /// Only this address of the node; `None` is every one.
    pub host_ip: Option<IpAddr>,
    /// Port of the node.
    pub host_port: u16,
    /// Port of the pod.
    pub pod_port: u16,
    /// Protocol of both.
    pub protocol: Protocol,
}

impl PortMapping {
    /// Both claim the same packets.
    fn collides(&self, other: &Self) -> bool {
        let host_ip = match (self.specific_ip(), other.specific_ip()) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        host_ip && self.host_port == other.host_port && self.protocol == other.protocol
    }

    /// The unspecified address means every address, as it does for a socket.
    fn specific_ip(&self) -> Option<IpAddr> {
        self.host_ip.filter(|ip| !ip.is_unspecified())
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.specific_ip() {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            Some(ip) => write!(f, "{ip}:")?,
            None => {}
        }
        write!(f, "{}/{}", self.host_port, self.protocol)
    }
}

/// A host port that cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Another pod has it.
    #[error("host port {port} is in use by pod {owner}")]
    InUse {
        /// The port.
        port: PortMapping,
        /// UID of its owner.
        owner: String,
    },
    /// The pod names it twice.
    #[error("host port {0} is named twice")]
    Twice(PortMapping),
    /// Port 0 names no port.
    #[error("host port {0} is not a port: 1 to 65535 are")]
    Zero(PortMapping),
}

/// All host ports, by pod UID.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPorts(BTreeMap<String, Vec<PortMapping>>);

impl HostPorts {
    /// Gives `ports` to the pod, in place of those it had. Changes nothing when one is not free.
    pub fn claim(&mut self, pod_uid: &str, ports: &[PortMapping]) -> Result<(), PortError> {
        for (index, port) in ports.iter().enumerate() {
            if port.host_port == 0 || port.pod_port == 0 {
                return Err(PortError::Zero(*port));
            }
            if ports[..index].iter().any(|other| other.collides(port)) {
                return Err(PortError::Twice(*port));
            }
            let others = self.0.iter().filter(|(uid, _)| *uid != pod_uid);
            for (owner, owned) in others {
                if owned.iter().any(|other| other.collides(port)) {
                    return Err(PortError::InUse { port: *port, owner: owner.clone() });
                }
            }
        }
        if ports.is_empty() {
            self.0.remove(pod_uid);
        } else {
            self.0.insert(pod_uid.to_owned(), ports.to_vec());
        }
        Ok(())
    }

    /// Frees the pod's ports.
    pub fn release(&mut self, pod_uid: &str) {
        self.0.remove(pod_uid);
    }

    /// The pod's ports.
    pub fn of(&self, pod_uid: &str) -> &[PortMapping] {
        self.0.get(pod_uid).map_or(&[], Vec::as_slice)
    }
}

/// A destination: address and port of a pod, in one address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target<A> {
    /// The pod's address.
    pub address: A,
    /// The pod's port.
    pub port: u16,
}

/// What the maps and sets of one address family hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elements<A> {
    /// Ports of every address of the node.
    pub any: BTreeMap<(Protocol, u16), Target<A>>,
    /// Ports of one address of the node.
    pub addressed: BTreeMap<(A, Protocol, u16), Target<A>>,
    /// Addresses of pods that may reach themselves through the node.
    pub hairpin: BTreeSet<A>,
}

impl<A> Default for Elements<A> {
    fn default() -> Self {
        Self { any: BTreeMap::new(), addressed: BTreeMap::new(), hairpin: BTreeSet::new() }
    }
}

impl<A: Copy + Ord> Elements<A> {
    fn add(&mut self, host_ip: Option<A>, mapping: &PortMapping, address: A) {
        let target = Target { address, port: mapping.pod_port };
        self.hairpin.insert(address);
        match host_ip {
            None => self.any.insert((mapping.protocol, mapping.host_port), target),
            Some(ip) => self.addressed.insert((ip, mapping.protocol, mapping.host_port), target),
        };
    }
}

/// The elements that `ports` mean for pods with these addresses.
pub fn elements<'a>(
    ports: &HostPorts,
    addresses: impl Fn(&str) -> Option<PodAddresses> + 'a,
) -> (Elements<Ipv4Addr>, Elements<Ipv6Addr>) {
    let (mut v4, mut v6) = (Elements::default(), Elements::default());
    for (uid, mappings) in &ports.0 {
        let Some(pod) = addresses(uid) else { continue };
        for mapping in mappings {
            match mapping.specific_ip() {
                Some(IpAddr::V4(ip)) => v4.add(Some(ip), mapping, pod.v4),
                Some(IpAddr::V6(ip)) => {
                    if let Some(address) = pod.v6 {
                        v6.add(Some(ip), mapping, address);
                    }
                }
                None => {
                    v4.add(None, mapping, pod.v4);
                    if let Some(address) = pod.v6 {
                        v6.add(None, mapping, address);
                    }
                }
            }
        }
    }
    (v4, v6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tcp(host_ip: Option<&str>, host_port: u16, pod_port: u16) -> PortMapping {
        PortMapping {
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            host_port,
            pod_port,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn port_of_another_pod_is_refused_and_nothing_changes() {
        let mut ports = HostPorts::default();
        ports.claim("a", &[tcp(None, 80, 8080)]).unwrap();
        let before = ports.clone();
        let error =
            ports.claim("b", &[tcp(None, 81, 1), tcp(Some("10.0.0.1"), 80, 1)]).unwrap_err();
        assert_eq!(error.to_string(), "host port 10.0.0.1:80/TCP is in use by pod a");
        assert_eq!(ports, before);
        ports.release("a");
        ports.claim("b", &[tcp(Some("10.0.0.1"), 80, 1)]).unwrap();
    }

    #[test]
    fn same_number_on_other_addresses_or_protocols_is_another_port() {
        let mut ports = HostPorts::default();
        ports.claim("a", &[tcp(Some("10.0.0.1"), 53, 53)]).unwrap();
        ports.claim("b", &[tcp(Some("10.0.0.2"), 53, 53)]).unwrap();
        let udp = PortMapping { protocol: Protocol::Udp, ..tcp(None, 53, 53) };
        ports.claim("c", &[udp]).unwrap();
    }

    #[test]
    fn pod_may_claim_its_ports_again_but_none_twice() {
        let mut ports = HostPorts::default();
        ports.claim("a", &[tcp(None, 80, 80)]).unwrap();
        ports.claim("a", &[tcp(None, 80, 81)]).unwrap();
        assert_eq!(ports.of("a"), [tcp(None, 80, 81)]);
        let twice = [tcp(None, 80, 80), tcp(Some("0.0.0.0"), 80, 81)];
        assert_eq!(ports.claim("a", &twice), Err(PortError::Twice(twice[1])));
        assert_eq!(ports.claim("a", &[tcp(None, 0, 1)]), Err(PortError::Zero(tcp(None, 0, 1))));
    }

    #[test]
    fn elements_follow_the_address_family() {
        let mut ports = HostPorts::default();
        ports
            .claim(
                "a",
                &[
                    tcp(None, 80, 8080),
                    tcp(Some("192.0.2.1"), 81, 1),
                    tcp(Some("2001:db8::1"), 82, 2),
                ],
            )
            .unwrap();
        let pod =
            PodAddresses { v4: Ipv4Addr::new(10, 42, 0, 2), v6: Some("fd42::2".parse().unwrap()) };
        let (v4, v6) = elements(&ports, |_| Some(pod));
        assert_eq!(v4.any[&(Protocol::Tcp, 80)], Target { address: pod.v4, port: 8080 });
        assert_eq!(v4.addressed.len(), 1);
        assert_eq!(v6.any[&(Protocol::Tcp, 80)].address, pod.v6.unwrap());
        assert_eq!(
            v6.addressed.keys().next().unwrap().0,
            "2001:db8::1".parse::<Ipv6Addr>().unwrap()
        );
        assert_eq!(v4.hairpin, BTreeSet::from([pod.v4]));
        let (v4, v6) = elements(&ports, |_| None);
        assert_eq!((v4, v6), (Elements::default(), Elements::default()));
    }

    fn mapping() -> impl Strategy<Value = PortMapping> {
        let ip = prop_oneof![
            Just(None),
            Just(Some("192.0.2.1".parse().unwrap())),
            Just(Some("192.0.2.2".parse().unwrap()))
        ];
        let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
        (ip, 0u16..4, 1u16..4, protocol).prop_map(|(host_ip, host_port, pod_port, protocol)| {
            PortMapping { host_ip, host_port, pod_port, protocol }
        })
    }

    proptest! {
        #[test]
        fn no_packet_ever_has_two_owners(
            claims in prop::collection::vec((0u8..5, prop::collection::vec(mapping(), 0..4)), 0..20),
        ) {
            let mut ports = HostPorts::default();
            for (pod, mappings) in claims {
                let uid = format!("pod-{pod}");
                let before = ports.clone();
                if ports.claim(&uid, &mappings).is_err() {
                    prop_assert_eq!(&ports, &before);
                } else {
                    prop_assert_eq!(ports.of(&uid), &mappings[..]);
                }
                let all: Vec<_> = ports.0.values().flatten().collect();
                for (index, one) in all.iter().enumerate() {
                    prop_assert!(all[..index].iter().all(|other| !other.collides(one)));
                }
            }
        }
    }
}

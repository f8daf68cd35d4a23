//! Other hosts with an address of ours (RFC 5227): what to do about their claims. An address is
//! defended at most once in an interval, and kept (2.4 c): pods and peers know the node by it, and
//! anybody on the wire could take it away with a forged packet otherwise. Pure; `arp` hears and
//! speaks. Before a lease is used the DHCP client asks for itself, by probes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use holm_config::Mac;

use super::observed::{Kind, Observed, PROTOCOL};
use crate::clock::Moment;

/// RFC 5227, `DEFEND_INTERVAL`: two that defend more often would flood the wire.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// After so much peace a claim is news again.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Whoever makes up claims must not fill the memory.
const MOST: usize = 64;

/// A packet in which another host says that an address is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The link that it came by.
    pub(crate) index: u32,
    /// The address.
    pub(crate) address: Ipv4Addr,
    /// Who claims it.
    pub(crate) by: Mac,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Tell everybody on the link that the address is ours.
    Announce(u32, Ipv4Addr),
    /// Tell people.
    Tell(String),
}

/// What a link listens for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    /// Its hardware address.
    pub(crate) mac: Mac,
    /// Its IPv4 addresses that this service gave it.
    pub(crate) addresses: Vec<Ipv4Addr>,
}

/// The links to listen on.
pub(crate) fn own(observed: &Observed) -> BTreeMap<u32, Own> {
    let mut own = BTreeMap::new();
    for link in &observed.links {
        let Some(mac) = link.mac.filter(|_| link.kind != Kind::Loopback && link.up) else {
            continue;
        };
        let of_link = observed.addresses.iter().filter(|address| address.index == link.index);
        let ours = of_link.filter(|address| address.protocol == PROTOCOL);
        let mut addresses: Vec<Ipv4Addr> = ours
            .filter_map(|address| match address.net.addr() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
            .collect();
        addresses.sort_unstable();
        if !addresses.is_empty() {
            own.insert(link.index, Own { mac, addresses });
        }
    }
    own
}

#[derive(Debug)]
struct Quarrel {
    by: Mac,
    heard: Moment,
    defended: Moment,
    is_told_twice: bool,
}

/// The claims of late.
///
/// | before                          | claim                       | deeds                      |
/// |---------------------------------|-----------------------------|----------------------------|
/// | none, forgotten, or of another  |                             | announce, tell             |
/// | defended                        | within the interval, first  | tell that it goes on       |
/// | defended                        | within the interval, later  |                            |
/// | defended                        | after the interval          | announce                   |
#[derive(Debug, Default)]
pub(crate) struct Conflicts {
    quarrels: BTreeMap<(u32, Ipv4Addr), Quarrel>,
}

impl Conflicts {
    /// Takes a claim in; `link` is the name of its link.
    pub(crate) fn take(&mut self, claim: Claim, link: &str, now: Moment) -> Vec<Deed> {
        self.quarrels.retain(|_, quarrel| now.since(quarrel.heard) < FORGOTTEN);
        let Claim { index, address, by } = claim;
        let announce = Deed::Announce(index, address);
        let is_full = self.quarrels.len() >= MOST;
        match self.quarrels.get_mut(&(index, address)) {
            Some(quarrel) if quarrel.by == by => {
                quarrel.heard = now;
                if now.since(quarrel.defended) >= DEFEND_INTERVAL {
                    quarrel.defended = now;
                    return vec![announce];
                }
                if std::mem::replace(&mut quarrel.is_told_twice, true) {
                    return Vec::new();
                }
                vec![Deed::Tell(format!(
                    "{link}: {by} goes on using {address}: give one of the two another address"
                ))]
            }
            None if is_full => Vec::new(),
            known => {
                // A third host changes nothing about how often to defend.
                let of_late = known.map(|quarrel| quarrel.defended);
                let of_late = of_late.filter(|then| now.since(*then) < DEFEND_INTERVAL);
                let quiet = of_late.is_none();
                let defended = of_late.unwrap_or(now);
                let quarrel = Quarrel { by, heard: now, defended, is_told_twice: false };
                self.quarrels.insert((index, address), quarrel);
                let tell = Deed::Tell(format!("{link}: {by} uses {address} too, which is ours"));
                if quiet { vec![announce, tell] } else { vec![tell] }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::observed::{Address, Link};
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 5);

    fn claim(by: u8) -> Claim {
        Claim { index: 2, address: ADDRESS, by: Mac([2, 0, 0, 0, 0, by]) }
    }

    fn announces(deeds: &[Deed]) -> bool {
        deeds.contains(&Deed::Announce(2, ADDRESS))
    }

    fn told(deeds: &[Deed]) -> Vec<&str> {
        let told = deeds.iter().filter_map(|deed| match deed {
            Deed::Tell(text) => Some(text.as_str()),
            Deed::Announce(..) => None,
        });
        told.collect()
    }

    #[test]
    fn address_is_defended_once_and_then_people_are_told_once() {
        let mut conflicts = Conflicts::default();
        let first = conflicts.take(claim(7), "eth0", Moment(1000));
        assert!(announces(&first));
        assert_eq!(told(&first), ["eth0: 02:00:00:00:00:07 uses 192.0.2.5 too, which is ours"]);
        let second = conflicts.take(claim(7), "eth0", Moment(1100));
        assert!(!announces(&second));
        assert!(told(&second)[0].contains("goes on using 192.0.2.5"));
        assert_eq!(conflicts.take(claim(7), "eth0", Moment(1200)), []);
        assert_eq!(conflicts.take(claim(7), "eth0", Moment(12_000)), [Deed::Announce(2, ADDRESS)]);
    }

    #[test]
    fn peace_makes_a_claim_news_again() {
        let mut conflicts = Conflicts::default();
        conflicts.take(claim(7), "eth0", Moment(0));
        let later = conflicts.take(claim(7), "eth0", Moment(700_000));
        assert!(announces(&later));
        assert_eq!(told(&later).len(), 1);
    }

    #[test]
    fn third_host_is_told_but_not_answered_at_once() {
        let mut conflicts = Conflicts::default();
        conflicts.take(claim(7), "eth0", Moment(0));
        let third = conflicts.take(claim(8), "eth0", Moment(10));
        assert!(!announces(&third));
        assert_eq!(told(&third).len(), 1);
    }

    #[test]
    fn only_addresses_of_ours_on_links_that_are_up_are_listened_for() {
        let link = |index, up, mac| Link {
            index,
            name: format!("eth{index}"),
            kind: Kind::Ethernet,
            device: None,
            up,
            carrier: up,
            carrier_losses: 0,
            mtu: 1500,
            mac,
            permanent_mac: None,
            master: None,
            alias: None,
        };
        let address = |index, net: &str, protocol| Address {
            index,
            net: net.parse().unwrap(),
            valid_until: None,
            protocol,
            is_tentative: false,
        };
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let observed = Observed {
            links: vec![link(2, true, Some(mac)), link(3, false, Some(mac)), link(4, true, None)],
            addresses: vec![
                address(2, "192.0.2.5/24", PROTOCOL),
                address(2, "192.0.2.6/24", 0),
                address(2, "2001:db8::1/64", PROTOCOL),
                address(3, "192.0.2.7/24", PROTOCOL),
                address(4, "192.0.2.8/24", PROTOCOL),
            ],
            ..Observed::default()
        };
        assert_eq!(own(&observed), BTreeMap::from([(2, Own { mac, addresses: vec![ADDRESS] })]));
    }

    proptest! {
        #[test]
        fn wire_is_never_flooded(claims in prop::collection::vec((0u8..3, 0u64..5000), 0..100)) {
            let mut conflicts = Conflicts::default();
            let (mut now, mut last) = (Moment(0), None::<Moment>);
            for (by, pause) in claims {
                now = now + Duration::from_millis(pause);
                if announces(&conflicts.take(claim(by), "eth0", now)) {
                    prop_assert!(last.is_none_or(|last| now.since(last) >= DEFEND_INTERVAL));
                    last = Some(now);
                }
            }
        }
    }
}

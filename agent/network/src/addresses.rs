//! Which pod has which address. Pure: the caller saves what changed before it uses it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The node's ranges of pod addresses. The first host address of each is the node's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges {
    /// At least a /30.
    pub v4: Ipv4Net,
    /// At least a /126. `None`: pods have IPv4 only.
    pub v6: Option<Ipv6Net>,
}

impl Ranges {
    /// The node's own address in the range: every pod's gateway, and the source of what the node
    /// sends to pods.
    pub fn node_v4(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.v4.network()).wrapping_add(1))
    }

    /// The same for IPv6.
    pub fn node_v6(&self) -> Option<Ipv6Addr> {
        self.v6.map(|range| Ipv6Addr::from(u128::from(range.network()).wrapping_add(1)))
    }

    /// Number of addresses that pods can have: all but the network's, the node's and the last.
    fn v4_size(&self) -> u32 {
        let hosts = 1u64 << (32 - self.v4.prefix_len());
        u32::try_from(hosts.saturating_sub(3)).unwrap_or(u32::MAX)
    }

    fn v6_size(range: Ipv6Net) -> u128 {
        let bits = 128 - u32::from(range.prefix_len());
        1u128.checked_shl(bits).unwrap_or(u128::MAX).saturating_sub(3)
    }
}

/// The addresses of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodAddresses {
    /// Always.
    pub v4: Ipv4Addr,
    /// When the node had an IPv6 range when the pod came.
    pub v6: Option<Ipv6Addr>,
}

impl PodAddresses {
    /// IPv4 first.
    pub fn all(&self) -> Vec<IpAddr> {
        [Some(IpAddr::V4(self.v4)), self.v6.map(IpAddr::V6)].into_iter().flatten().collect()
    }
}

/// All addresses that are in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// By pod UID.
    pods: BTreeMap<String, PodAddresses>,
    /// Where the search for a free address begins, counted from the first pod address: a freed
    /// address rests as long as possible, because peers may still talk to its last owner.
    next: u32,
}

/// No address is free.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("all {in_use} addresses of {range} are in use")]
pub struct Exhausted {
    /// The range.
    pub range: String,
    /// Addresses in use.
    pub in_use: usize,
}

impl Leases {
    /// The pod's addresses: those it has, or new ones.
    pub fn lease(&mut self, ranges: &Ranges, pod_uid: &str) -> Result<PodAddresses, Exhausted> {
        if let Some(addresses) = self.pods.get(pod_uid) {
            return Ok(*addresses);
        }
        let v4 = self.free_v4(ranges)?;
        let v6 = ranges.v6.map(|range| self.free_v6(range)).transpose()?;
        let addresses = PodAddresses { v4, v6 };
        self.pods.insert(pod_uid.to_owned(), addresses);
        Ok(addresses)
    }

    /// Gives the pod's addresses back. `false` when it had none.
    pub fn release(&mut self, pod_uid: &str) -> bool {
        self.pods.remove(pod_uid).is_some()
    }

    /// The pod's addresses, if it has any.
    pub fn of(&self, pod_uid: &str) -> Option<PodAddresses> {
        self.pods.get(pod_uid).copied()
    }

    /// UIDs of all pods that have addresses.
    pub fn pod_uids(&self) -> impl Iterator<Item = &str> {
        self.pods.keys().map(String::as_str)
    }

    fn free_v4(&mut self, ranges: &Ranges) -> Result<Ipv4Addr, Exhausted> {
        let first = u32::from(ranges.v4.network()).wrapping_add(2);
        let size = ranges.v4_size();
        let used: std::collections::BTreeSet<u32> =
            self.pods.values().map(|addresses| u32::from(addresses.v4)).collect();
        // One more try than there are addresses in use finds a free one, if there is any.
        let tries = u32::try_from(used.len()).unwrap_or(u32::MAX).saturating_add(1).min(size);
        for step in 0..tries {
            let offset = (u64::from(self.next) + u64::from(step)) % u64::from(size);
            let candidate = first.wrapping_add(offset as u32);
            if !used.contains(&candidate) {
                self.next = ((offset + 1) % u64::from(size)) as u32;
                return Ok(Ipv4Addr::from(candidate));
            }
        }
        Err(Exhausted { range: ranges.v4.to_string(), in_use: used.len() })
    }

    fn free_v6(&self, range: Ipv6Net) -> Result<Ipv6Addr, Exhausted> {
        let first = u128::from(range.network()).wrapping_add(2);
        let used: std::collections::BTreeSet<u128> =
            self.pods.values().filter_map(|a| a.v6).map(u128::from).collect();
        let tries = (used.len() as u128 + 1).min(Ranges::v6_size(range));
        let start = u128::from(self.next.saturating_sub(1)) % Ranges::v6_size(range).max(1);
        (0..tries)
            .map(|step| first.wrapping_add((start + step) % Ranges::v6_size(range)))
            .find(|candidate| !used.contains(candidate))
            .map(Ipv6Addr::from)
            .ok_or(Exhausted { range: range.to_string(), in_use: used.len() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(v4: &str, v6: Option<&str>) -> Ranges {
        Ranges { v4: v4.parse().unwrap(), v6: v6.map(|range| range.parse().unwrap()) }
    }

    #[test]
    fn node_has_the_first_address_and_pods_the_next_ones() {
        let ranges = ranges("10.42.0.0/24", Some("fd42::/64"));
        assert_eq!(ranges.node_v4(), Ipv4Addr::new(10, 42, 0, 1));
        assert_eq!(ranges.node_v6(), Some("fd42::1".parse().unwrap()));
        let mut leases = Leases::default();
        let first = leases.lease(&ranges, "a").unwrap();
        assert_eq!(
            first.all(),
            ["10.42.0.2".parse::<IpAddr>().unwrap(), "fd42::2".parse().unwrap()]
        );
        assert_eq!(leases.lease(&ranges, "b").unwrap().v4, Ipv4Addr::new(10, 42, 0, 3));
    }

    #[test]
    fn freed_address_rests_while_others_are_free() {
        let ranges = ranges("10.42.0.0/29", None);
        let mut leases = Leases::default();
        let first = leases.lease(&ranges, "a").unwrap();
        leases.release("a");
        for uid in ["b", "c", "d", "e"] {
            assert_ne!(leases.lease(&ranges, uid).unwrap(), first);
        }
        assert_eq!(leases.lease(&ranges, "f").unwrap(), first);
        let error = leases.lease(&ranges, "g").unwrap_err();
        assert_eq!(error.to_string(), "all 5 addresses of 10.42.0.0/29 are in use");
    }

    #[test]
    fn smallest_range_holds_one_pod() {
        let ranges = ranges("10.42.0.0/30", Some("fd42::/126"));
        let mut leases = Leases::default();
        assert_eq!(leases.lease(&ranges, "a").unwrap().v4, Ipv4Addr::new(10, 42, 0, 2));
        assert!(leases.lease(&ranges, "b").is_err());
    }

    #[test]
    fn useless_range_is_an_error_and_not_a_panic() {
        for range in ["10.0.0.0/31", "10.0.0.0/32", "0.0.0.0/0"] {
            let ranges = Ranges { v4: range.parse().unwrap(), v6: Some("::/0".parse().unwrap()) };
            let _ = Leases::default().lease(&ranges, "a");
        }
        let ranges = ranges("10.0.0.0/24", Some("fd00::/128"));
        assert!(Leases::default().lease(&ranges, "a").is_err());
    }

    proptest! {
        #[test]
        fn no_address_is_ever_given_twice(
            steps in prop::collection::vec((any::<bool>(), 0u8..40), 0..200),
            prefix in 26u8..30,
        ) {
            let ranges = Ranges {
                v4: Ipv4Net::new(Ipv4Addr::new(10, 42, 0, 0), prefix).unwrap(),
                v6: Some("fd42::/122".parse().unwrap()),
            };
            let mut leases = Leases::default();
            for (take, pod) in steps {
                let uid = format!("pod-{pod}");
                if !take {
                    leases.release(&uid);
                    prop_assert_eq!(leases.of(&uid), None);
                    continue;
                }
                let full = leases.pods.len() as u64 >= u64::from(ranges.v4_size());
                match leases.lease(&ranges, &uid) {
                    Ok(addresses) => {
                        prop_assert!(ranges.v4.contains(&addresses.v4));
                        prop_assert_ne!(addresses.v4, ranges.node_v4());
                        prop_assert_ne!(addresses.v4, ranges.v4.broadcast());
                        prop_assert_eq!(leases.lease(&ranges, &uid).unwrap(), addresses);
                    }
                    Err(_) => prop_assert!(full),
                }
                // A crash of the agent at any time forgets nothing.
                let text = serde_json::to_string(&leases).unwrap();
                leases = serde_json::from_str(&text).unwrap();
            }
            let mut seen: Vec<_> = leases.pods.values().flat_map(PodAddresses::all).collect();
            let count = seen.len();
            seen.sort();
            seen.dedup();
            prop_assert_eq!(seen.len(), count);
        }
    }
}

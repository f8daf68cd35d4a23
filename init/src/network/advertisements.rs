//! DNS servers and search domains from IPv6 router advertisements (RFC 8106), as the kernel passes
//! them on (`RTM_NEWNDUSEROPT`). Addresses and routes are the kernel's own business. Pure, and
//! hostile input: every length is checked, every list is bounded.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dhcp::options::{name, wire_name};
use crate::clock::Moment;

const HEADER: usize = 16;
const ROUTER_ADVERTISEMENT: u8 = 134;
const RDNSS: u8 = 25;
const DNSSL: u8 = 31;
const FOREVER: u32 = u32::MAX;
/// RFC 8106, 5.3.1 wants at least three; a router must not fill the memory.
const MOST: usize = 8;

/// What routers said about DNS, by link index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Advertisements {
    links: BTreeMap<u32, Advertised>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Advertised {
    dns: Vec<(Ipv6Addr, Option<Moment>)>,
    search: Vec<(String, Option<Moment>)>,
}

impl Advertisements {
    /// Takes an option in; true when servers or domains came or went.
    pub(crate) fn take(&mut self, message: &[u8], now: Moment) -> bool {
        let before = self.names();
        if self.read(message, now).is_none() {
            return false;
        }
        self.names() != before
    }

    /// Drops what is over, and the links that are gone; true when something was dropped.
    pub(crate) fn prune(&mut self, now: Moment, is_there: impl Fn(u32) -> bool) -> bool {
        let before = self.names();
        self.links.retain(|index, _| is_there(*index));
        for link in self.links.values_mut() {
            link.dns.retain(|(_, until)| is_valid(*until, now));
            link.search.retain(|(_, until)| is_valid(*until, now));
        }
        self.names() != before
    }

    /// When the next entry ends.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let dns = self.links.values().flat_map(|link| link.dns.iter().filter_map(|(_, at)| *at));
        let search =
            self.links.values().flat_map(|link| link.search.iter().filter_map(|(_, at)| *at));
        dns.chain(search).min()
    }

    /// A link's servers.
    pub(crate) fn dns(&self, index: u32) -> Vec<Ipv6Addr> {
        let entries = self.links.get(&index).map_or(&[][..], |link| &link.dns);
        entries.iter().map(|(address, _)| *address).collect()
    }

    /// A link's search domains.
    pub(crate) fn search(&self, index: u32) -> Vec<String> {
        let entries = self.links.get(&index).map_or(&[][..], |link| &link.search);
        entries.iter().map(|(domain, _)| domain.clone()).collect()
    }

    /// Whether nothing is known.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.links.values().all(|link| link.dns.is_empty() && link.search.is_empty())
    }

    fn names(&self) -> Vec<(u32, Vec<Ipv6Addr>, Vec<String>)> {
        self.links.keys().map(|index| (*index, self.dns(*index), self.search(*index))).collect()
    }

    fn read(&mut self, message: &[u8], now: Moment) -> Option<()> {
        let (header, rest) = message.split_first_chunk::<HEADER>()?;
        let length = usize::from(u16::from_ne_bytes([header[2], header[3]]));
        let index = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
        if header[8] != ROUTER_ADVERTISEMENT {
            return None;
        }
        let mut options = rest.get(..length)?;
        while let [kind, eighths, ..] = *options {
            let (option, after) = options.split_at_checked(usize::from(eighths) * 8)?;
            options = after;
            let (fixed, value) = option.split_first_chunk::<8>()?;
            let seconds = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
            let until = (seconds != FOREVER).then(|| now + Duration::from_secs(seconds.into()));
            let link = self.links.entry(index).or_default();
            match kind {
                RDNSS => {
                    for octets in value.chunks_exact(16) {
                        let address = <[u8; 16]>::try_from(octets).map(Ipv6Addr::from).ok()?;
                        if !address.is_unspecified() && !address.is_multicast() {
                            put(&mut link.dns, address, until, now);
                        }
                    }
                }
                DNSSL => {
                    let mut at = 0;
                    while let Some((text, next)) = wire_name(value, at) {
                        // The rest of the option is padded with empty names.
                        match name(&text) {
                            Some(domain) => put(&mut link.search, domain, until, now),
                            None => break,
                        }
                        at = next;
                    }
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// Adds, prolongs, or with a lifetime of zero removes.
fn put<T: PartialEq>(
    list: &mut Vec<(T, Option<Moment>)>,
    value: T,
    until: Option<Moment>,
    now: Moment,
) {
    let known = list.iter().position(|(entry, _)| *entry == value);
    match (known, is_valid(until, now)) {
        (Some(at), true) => list[at].1 = until,
        (Some(at), false) => drop(list.remove(at)),
        (None, true) if list.len() < MOST => list.push((value, until)),
        (None, _) => {}
    }
}

fn is_valid(until: Option<Moment>, now: Moment) -> bool {
    until.is_none_or(|until| until > now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);

    fn message(option: &[u8]) -> Vec<u8> {
        let mut bytes = vec![10, 0];
        bytes.extend(u16::try_from(option.len()).unwrap().to_ne_bytes());
        bytes.extend(3u32.to_ne_bytes());
        bytes.extend([ROUTER_ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(option);
        bytes
    }

    fn rdnss(seconds: u32) -> Vec<u8> {
        let mut option = vec![RDNSS, 3, 0, 0];
        option.extend(seconds.to_be_bytes());
        option.extend(SERVER.octets());
        message(&option)
    }

    fn dnssl(seconds: u32) -> Vec<u8> {
        let mut option = vec![DNSSL, 3, 0, 0];
        option.extend(seconds.to_be_bytes());
        option.extend(b"\x07example\x03com\0\0\0\0");
        message(&option)
    }

    #[test]
    fn servers_and_domains_are_taken_prolonged_and_end() {
        let mut heard = Advertisements::default();
        assert!(heard.take(&rdnss(100), Moment(0)));
        assert!(heard.take(&dnssl(50), Moment(0)));
        assert_eq!((heard.dns(3), heard.search(3)), (vec![SERVER], vec!["example.com".into()]));
        assert!(!heard.take(&rdnss(200), Moment(0)), "nothing new, but longer");
        assert_eq!(heard.deadline(), Some(Moment(50_000)));
        assert!(heard.prune(Moment(50_000), |_| true));
        assert_eq!(heard.search(3), Vec::<String>::new());
        assert_eq!(heard.deadline(), Some(Moment(200_000)));
    }

    #[test]
    fn lifetime_of_zero_takes_a_server_back() {
        let mut heard = Advertisements::default();
        heard.take(&rdnss(u32::MAX), Moment(0));
        assert_eq!(heard.deadline(), None);
        assert!(heard.take(&rdnss(0), Moment(1)));
        assert!(heard.is_empty());
    }

    #[test]
    fn link_that_is_gone_takes_its_servers_along() {
        let mut heard = Advertisements::default();
        heard.take(&rdnss(100), Moment(0));
        assert!(heard.prune(Moment(0), |index| index != 3));
        assert!(heard.is_empty());
    }

    #[test]
    fn restarted_service_remembers_what_it_heard() {
        let mut heard = Advertisements::default();
        heard.take(&rdnss(100), Moment(0));
        heard.take(&dnssl(u32::MAX), Moment(0));
        let text = serde_json::to_vec(&heard).unwrap();
        assert_eq!(serde_json::from_slice::<Advertisements>(&text).unwrap(), heard);
    }

    #[test]
    fn lists_are_bounded() {
        let mut heard = Advertisements::default();
        for last in 0..100 {
            let mut bytes = rdnss(100);
            *bytes.last_mut().unwrap() = last;
            heard.take(&bytes, Moment(0));
        }
        assert_eq!(heard.dns(3).len(), MOST);
    }

    proptest! {
        #[test]
        fn no_option_makes_the_reader_panic(option in prop::collection::vec(any::<u8>(), 0..120)) {
            let mut heard = Advertisements::default();
            heard.take(&message(&option), Moment(0));
            heard.take(&option, Moment(0));
            for domain in heard.search(3) {
                prop_assert!(name(&domain).is_some());
            }
        }
    }
}

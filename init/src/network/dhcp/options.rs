//! DHCP options (RFC 2132) and their values. Values that reach files or the host name are checked
//! here, once: a server must not be able to write a line into `resolv.conf`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::message::DecodeError;

/// Subnet mask.
pub(crate) const MASK: u8 = 1;
/// Routers, the preferred one first.
pub(crate) const ROUTER: u8 = 3;
/// DNS servers.
pub(crate) const DNS: u8 = 6;
/// The client's host name.
pub(crate) const HOST_NAME: u8 = 12;
/// The domain that names are completed with.
pub(crate) const DOMAIN: u8 = 15;
/// The link's MTU.
pub(crate) const MTU: u8 = 26;
/// NTP servers.
pub(crate) const NTP: u8 = 42;
/// The URL of a node document: of those that every site may use as it likes (RFC 3942).
pub(crate) const PROVISIONING: u8 = 224;
/// The address that the client asks for.
pub(crate) const REQUESTED: u8 = 50;
/// Seconds that the lease is valid.
pub(crate) const LEASE_TIME: u8 = 51;
/// Which of `file` (1) and `sname` (2) hold options.
pub(crate) const OVERLOAD: u8 = 52;
/// The message type.
pub(crate) const MESSAGE_TYPE: u8 = 53;
/// The server's identity: its address.
pub(crate) const SERVER: u8 = 54;
/// The options that the client asks for.
pub(crate) const PARAMETERS: u8 = 55;
/// The longest message that the client takes.
pub(crate) const LONGEST: u8 = 57;
/// Seconds until the client renews.
pub(crate) const T1: u8 = 58;
/// Seconds until the client rebinds.
pub(crate) const T2: u8 = 59;
/// The client's identity.
pub(crate) const CLIENT: u8 = 61;
/// The domain search list (RFC 3397).
pub(crate) const SEARCH: u8 = 119;
/// Classless static routes (RFC 3442).
pub(crate) const ROUTES: u8 = 121;

const PAD: u8 = 0;
const END: u8 = 255;

/// The kinds of message (option 53).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A client looks for servers.
    Discover = 1,
    /// A server offers an address.
    Offer = 2,
    /// A client takes, confirms or prolongs an address.
    Request = 3,
    /// A client found the address in use.
    Decline = 4,
    /// A server grants.
    Ack = 5,
    /// A server refuses.
    Nak = 6,
    /// A client gives the address back.
    Release = 7,
}

/// Options by their code, each joined from all its parts (RFC 3396).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    /// Puts an option, replacing an earlier one.
    pub(crate) fn set(&mut self, code: u8, value: Vec<u8>) {
        self.0.insert(code, value);
    }

    /// Whether an option is there.
    #[cfg(test)]
    pub(crate) fn has(&self, code: u8) -> bool {
        self.0.contains_key(&code)
    }

    pub(super) fn read(&mut self, mut rest: &[u8]) -> Result<(), DecodeError> {
        while let Some((&code, after)) = rest.split_first() {
            rest = after;
            match code {
                PAD => {}
                END => break,
                code => {
                    let (&length, after) =
                        rest.split_first().ok_or(DecodeError::Truncated(code))?;
                    let (value, after) = after
                        .split_at_checked(usize::from(length))
                        .ok_or(DecodeError::Truncated(code))?;
                    self.0.entry(code).or_default().extend(value);
                    rest = after;
                }
            }
        }
        Ok(())
    }

    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        // Some servers want the message type first.
        let first = self.0.get_key_value(&MESSAGE_TYPE);
        let others = self.0.iter().filter(|(code, _)| **code != MESSAGE_TYPE);
        for (&code, value) in first.into_iter().chain(others) {
            if value.is_empty() {
                bytes.extend([code, 0]);
            }
            for part in value.chunks(255) {
                bytes.push(code);
                bytes.push(u8::try_from(part.len()).unwrap_or(255));
                bytes.extend(part);
            }
        }
        bytes.push(END);
    }

    /// The message type.
    pub(crate) fn kind(&self) -> Option<Kind> {
        Some(match self.byte(MESSAGE_TYPE)? {
            1 => Kind::Discover,
            2 => Kind::Offer,
            3 => Kind::Request,
            4 => Kind::Decline,
            5 => Kind::Ack,
            6 => Kind::Nak,
            7 => Kind::Release,
            _ => return None,
        })
    }

    /// An option of one byte.
    pub(crate) fn byte(&self, code: u8) -> Option<u8> {
        match self.0.get(&code)?.as_slice() {
            [byte] => Some(*byte),
            _ => None,
        }
    }

    /// An option of two bytes.
    pub(crate) fn short(&self, code: u8) -> Option<u16> {
        Some(u16::from_be_bytes(self.0.get(&code)?.as_slice().try_into().ok()?))
    }

    /// An option of four bytes.
    pub(crate) fn word(&self, code: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.0.get(&code)?.as_slice().try_into().ok()?))
    }

    /// An option that is one address.
    pub(crate) fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.word(code).map(Ipv4Addr::from)
    }

    /// An option that lists addresses; those that cannot be a host are left out.
    pub(crate) fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let value = self.0.get(&code).map_or(&[][..], Vec::as_slice);
        let address = |quad: &[u8]| Ipv4Addr::new(quad[0], quad[1], quad[2], quad[3]);
        value.chunks_exact(4).map(address).filter(is_host).collect()
    }

    /// An option that is one name, when it is one that is safe to use.
    pub(crate) fn name(&self, code: u8) -> Option<String> {
        let text = std::str::from_utf8(self.0.get(&code)?).ok()?;
        name(text.trim_end_matches('\0'))
    }

    /// An option that is one printable text without spaces.
    pub(crate) fn text(&self, code: u8) -> Option<String> {
        let text = std::str::from_utf8(self.0.get(&code)?).ok()?.trim_end_matches('\0');
        let is_safe = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        is_safe.then(|| text.to_owned())
    }

    /// The domain search list (RFC 3397): DNS wire format with compression.
    pub(crate) fn search(&self) -> Vec<String> {
        let Some(value) = self.0.get(&SEARCH) else { return Vec::new() };
        let mut names = Vec::new();
        let mut at = 0;
        while at < value.len() && names.len() < 32 {
            let Some((text, next)) = wire_name(value, at) else { break };
            names.extend(name(&text));
            at = next;
        }
        names
    }

    /// Classless static routes (RFC 3442): destination, its length, router (none: on the link).
    /// A malformed list gives nothing, as the RFC has no meaning for half of one.
    pub(crate) fn routes(&self) -> Vec<(Ipv4Addr, u8, Option<Ipv4Addr>)> {
        let Some(mut rest) = self.0.get(&ROUTES).map(Vec::as_slice) else { return Vec::new() };
        let mut routes = Vec::new();
        while let Some((&length, after)) = rest.split_first() {
            if length > 32 {
                return Vec::new();
            }
            let significant = usize::from(length.div_ceil(8));
            let Some((prefix, after)) = after.split_at_checked(significant) else {
                return Vec::new();
            };
            let Some((router, after)) = after.split_first_chunk::<4>() else { return Vec::new() };
            let mut octets = [0; 4];
            octets[..significant].copy_from_slice(prefix);
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            let destination = Ipv4Addr::from(u32::from_be_bytes(octets) & mask);
            let router = Ipv4Addr::from(*router);
            routes.push((destination, length, Some(router).filter(|r| !r.is_unspecified())));
            rest = after;
        }
        routes
    }
}

/// Whether an address can be that of one host.
pub(crate) fn is_host(address: &Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first < 224 && !address.is_loopback()
}

/// A host or domain name in lower case without its last dot, when every character is one that such
/// a name may have.
pub(crate) fn name(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.');
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (text.len() <= 253 && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

/// Reads a name in DNS wire format at `at`; gives it and where the next one starts.
pub(crate) fn wire_name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut next = None;
    // A pointer may only lead to an earlier place, so that no loop can be made.
    let mut bound = at;
    loop {
        let length = *bytes.get(at)?;
        match length >> 6 {
            0 if length == 0 => return Some((text, next.unwrap_or(at + 1))),
            0 => {
                let end = at + 1 + usize::from(length);
                let label = std::str::from_utf8(bytes.get(at + 1..end)?).ok()?;
                // A dot inside a label would become another name's boundary.
                if label.contains('.') || text.len() + label.len() > 253 {
                    return None;
                }
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(label);
                at = end;
            }
            3 => {
                let target = usize::from(length & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?);
                next = next.or(Some(at + 2));
                if target >= bound {
                    return None;
                }
                bound = target;
                at = target;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(code: u8, value: &[u8]) -> Options {
        let mut options = Options::default();
        options.set(code, value.to_vec());
        options
    }

    #[test]
    fn search_list_follows_compression() {
        let value = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04";
        assert_eq!(with(SEARCH, value).search(), ["eng.apple.com", "marketing.apple.com"]);
    }

    #[test]
    fn search_list_that_points_at_itself_ends() {
        assert_eq!(with(SEARCH, b"\xc0\x00").search(), Vec::<String>::new());
        assert_eq!(with(SEARCH, b"\x01a\xc0\x00").search(), Vec::<String>::new());
    }

    #[test]
    fn names_that_would_break_a_file_are_refused() {
        for bad in ["", "a b", "a\nnameserver 1.2.3.4", "-a", "a..b", "ü", &"a".repeat(64)] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
        assert_eq!(name("Node-1.Example.COM."), Some("node-1.example.com".into()));
    }

    #[test]
    fn classless_routes_are_read_and_masked() {
        let value = [24, 192, 0, 2, 192, 0, 2, 1, 0, 192, 0, 2, 2, 32, 10, 0, 0, 1, 0, 0, 0, 0];
        let address = Ipv4Addr::new;
        assert_eq!(
            with(ROUTES, &value).routes(),
            [
                (address(192, 0, 2, 0), 24, Some(address(192, 0, 2, 1))),
                (address(0, 0, 0, 0), 0, Some(address(192, 0, 2, 2))),
                (address(10, 0, 0, 1), 32, None),
            ]
        );
        assert_eq!(
            with(ROUTES, &[20, 10, 1, 0xff, 192, 0, 2, 1]).routes()[0].0,
            address(10, 1, 240, 0)
        );
    }

    #[test]
    fn half_a_route_list_is_no_route_list() {
        assert!(with(ROUTES, &[24, 192, 0, 2, 192, 0, 2, 1, 33]).routes().is_empty());
        assert!(with(ROUTES, &[24, 192, 0]).routes().is_empty());
    }

    #[test]
    fn addresses_that_are_no_host_are_left_out() {
        let value = [0, 0, 0, 0, 224, 0, 0, 1, 127, 0, 0, 1, 192, 0, 2, 1, 255, 255, 255, 255, 9];
        assert_eq!(with(DNS, &value).addresses(DNS), [Ipv4Addr::new(192, 0, 2, 1)]);
    }

    #[test]
    fn value_of_a_wrong_length_is_no_value() {
        assert_eq!(with(LEASE_TIME, &[1, 2, 3]).word(LEASE_TIME), None);
        assert_eq!(with(MTU, &[5]).short(MTU), None);
        assert_eq!(with(MESSAGE_TYPE, &[9]).kind(), None);
    }

    proptest! {
        #[test]
        fn no_value_makes_a_reader_panic(value in prop::collection::vec(any::<u8>(), 0..300)) {
            for domain in with(SEARCH, &value).search() {
                prop_assert!(name(&domain).is_some());
            }
            for (_, length, _) in with(ROUTES, &value).routes() {
                prop_assert!(length <= 32);
            }
            let _ = with(HOST_NAME, &value).name(HOST_NAME);
        }
    }
}

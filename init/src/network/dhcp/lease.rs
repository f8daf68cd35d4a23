//! What a server granted, with its end in absolute time. Pure: from an answer to a lease or to the
//! reason why the answer grants nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::options;
use crate::clock::Moment;

/// A granted address and what came with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// The node's address.
    pub(crate) address: Ipv4Addr,
    /// Length of the link's prefix.
    pub(crate) prefix: u8,
    /// Who granted it.
    pub(crate) server: Ipv4Addr,
    /// Routes: destination, its length, router (none: on the link).
    pub(crate) routes: Vec<(Ipv4Addr, u8, Option<Ipv4Addr>)>,
    /// DNS servers, the preferred one first.
    pub(crate) dns: Vec<Ipv4Addr>,
    /// Domains that short names are completed with.
    pub(crate) search: Vec<String>,
    /// NTP servers.
    pub(crate) ntp: Vec<Ipv4Addr>,
    /// The name that the network gives this node.
    pub(crate) hostname: Option<String>,
    /// The URL of a node document.
    #[serde(default)]
    pub(crate) provisioning: Option<String>,
    /// The MTU that the network asks for.
    pub(crate) mtu: Option<u16>,
    /// When to renew, rebind and stop; none for a lease without end.
    pub(crate) times: Option<Times>,
}

/// The three instants in the life of a lease, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// T1: ask the server to prolong.
    pub(crate) renew: Moment,
    /// T2: ask any server to prolong.
    pub(crate) rebind: Moment,
    /// From here on the address is not ours.
    pub(crate) expire: Moment,
}

/// Why an acknowledgement grants nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeaseError {
    /// The given address cannot be a host's.
    #[error("{0} is no address for a host")]
    Address(Ipv4Addr),
    /// The server does not say who it is.
    #[error("the server does not identify itself")]
    Server,
    /// The lease time is missing or zero.
    #[error("the lease time is missing or zero")]
    LeaseTime,
    /// The mask has holes or leaves no room for a host.
    #[error("{0} is no subnet mask")]
    Mask(Ipv4Addr),
}

const FOREVER: u32 = u32::MAX;
/// IPv4 works on no link with a smaller one (RFC 791).
const SMALLEST_MTU: u16 = 576;

impl Lease {
    /// Reads the answer to a question that was sent at `asked`: a lease counts from the question,
    /// so that it never ends later here than at the server (RFC 2131, 4.4.1).
    pub(crate) fn from_ack(message: &Message, asked: Moment) -> Result<Self, LeaseError> {
        let options = &message.options;
        let address = message.yiaddr;
        if !options::is_host(&address) {
            return Err(LeaseError::Address(address));
        }
        let server = options.address(options::SERVER).filter(options::is_host);
        let server = server.ok_or(LeaseError::Server)?;
        let seconds = options.word(options::LEASE_TIME).filter(|seconds| *seconds > 0);
        let seconds = seconds.ok_or(LeaseError::LeaseTime)?;
        let prefix = match options.address(options::MASK) {
            Some(mask) => prefix_length(mask).ok_or(LeaseError::Mask(mask))?,
            None => classful(address),
        };
        // RFC 3442: where classless routes are given, the router option does not count.
        let mut routes = options.routes();
        if routes.is_empty() {
            let router = options.addresses(options::ROUTER).into_iter().next();
            routes.extend(router.map(|router| (Ipv4Addr::UNSPECIFIED, 0, Some(router))));
        }
        let mut search = options.search();
        if search.is_empty() {
            search.extend(options.name(options::DOMAIN));
        }
        Ok(Self {
            address,
            prefix,
            server,
            routes,
            dns: options.addresses(options::DNS),
            search,
            ntp: options.addresses(options::NTP),
            hostname: options.name(options::HOST_NAME),
            provisioning: options.text(options::PROVISIONING),
            mtu: options.short(options::MTU).filter(|mtu| *mtu >= SMALLEST_MTU),
            times: (seconds != FOREVER).then(|| {
                Times::new(asked, seconds, options.word(options::T1), options.word(options::T2))
            }),
        })
    }

    /// Whether the address may still be used.
    pub(crate) fn is_valid(&self, now: Moment) -> bool {
        self.times.is_none_or(|times| now < times.expire)
    }
}

impl Times {
    /// Times that are out of order are replaced by the RFC's defaults: half and seven eighths.
    fn new(asked: Moment, seconds: u32, t1: Option<u32>, t2: Option<u32>) -> Self {
        let whole = u64::from(seconds) * 1000;
        let rebind = t2.map(|t2| u64::from(t2) * 1000).filter(|t2| *t2 > 0 && *t2 < whole);
        let rebind = rebind.unwrap_or(whole / 8 * 7);
        let renew = t1.map(|t1| u64::from(t1) * 1000).filter(|t1| *t1 > 0 && *t1 <= rebind);
        let renew = renew.unwrap_or((whole / 2).min(rebind));
        let at = |millis| asked + Duration::from_millis(millis);
        Self { renew: at(renew), rebind: at(rebind), expire: at(whole) }
    }
}

fn prefix_length(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let length = bits.leading_ones();
    let whole = bits.checked_shl(length).unwrap_or(0) == 0 && length > 0;
    u8::try_from(length).ok().filter(|_| whole)
}

/// RFC 950's guess for a server that gives no mask.
fn classful(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::Kind;
    use super::*;

    fn ack() -> Message {
        let mut message = Message::request(Kind::Ack, 1, [2, 0, 0, 0, 0, 1]);
        message.yiaddr = Ipv4Addr::new(192, 0, 2, 10);
        message.options.set(options::SERVER, vec![192, 0, 2, 1]);
        message.options.set(options::LEASE_TIME, 3600u32.to_be_bytes().to_vec());
        message.options.set(options::MASK, vec![255, 255, 255, 0]);
        message
    }

    fn lease(change: impl FnOnce(&mut Message)) -> Result<Lease, LeaseError> {
        let mut message = ack();
        change(&mut message);
        Lease::from_ack(&message, Moment(1000))
    }

    #[test]
    fn times_count_from_the_question() {
        let times = lease(|_| ()).unwrap().times.unwrap();
        assert_eq!(times.renew, Moment(1_801_000));
        assert_eq!(times.rebind, Moment(3_151_000));
        assert_eq!(times.expire, Moment(3_601_000));
    }

    #[test]
    fn times_out_of_order_are_replaced_by_defaults() {
        let lease = lease(|m| {
            m.options.set(options::T1, 4000u32.to_be_bytes().to_vec());
            m.options.set(options::T2, 5000u32.to_be_bytes().to_vec());
        });
        assert_eq!(lease.unwrap().times.unwrap().renew, Moment(1_801_000));
    }

    #[test]
    fn lease_without_end_has_no_times() {
        let lease = lease(|m| m.options.set(options::LEASE_TIME, vec![255; 4])).unwrap();
        assert_eq!(lease.times, None);
        assert!(lease.is_valid(Moment(u64::MAX)));
    }

    #[test]
    fn answers_that_grant_nothing_say_why() {
        let bad = Ipv4Addr::new(255, 0, 255, 0);
        assert_eq!(
            lease(|m| m.yiaddr = Ipv4Addr::UNSPECIFIED),
            Err(LeaseError::Address(Ipv4Addr::UNSPECIFIED))
        );
        assert_eq!(lease(|m| m.options.set(options::SERVER, vec![1])), Err(LeaseError::Server));
        assert_eq!(
            lease(|m| m.options.set(options::LEASE_TIME, vec![0; 4])),
            Err(LeaseError::LeaseTime)
        );
        assert_eq!(
            lease(|m| m.options.set(options::MASK, bad.octets().to_vec())),
            Err(LeaseError::Mask(bad))
        );
        assert_eq!(
            lease(|m| m.options.set(options::MASK, vec![0; 4])),
            Err(LeaseError::Mask(Ipv4Addr::UNSPECIFIED))
        );
    }

    #[test]
    fn classless_routes_hide_the_router_option() {
        let router = [192, 0, 2, 1];
        let plain = lease(|m| m.options.set(options::ROUTER, router.to_vec())).unwrap();
        assert_eq!(plain.routes, [(Ipv4Addr::UNSPECIFIED, 0, Some(router.into()))]);
        let classless = lease(|m| {
            m.options.set(options::ROUTER, router.to_vec());
            m.options.set(options::ROUTES, vec![8, 10, 192, 0, 2, 2]);
        });
        let via = Some(Ipv4Addr::new(192, 0, 2, 2));
        assert_eq!(classless.unwrap().routes, [(Ipv4Addr::new(10, 0, 0, 0), 8, via)]);
    }

    #[test]
    fn mtu_too_small_for_ipv4_is_left_out() {
        assert_eq!(lease(|m| m.options.set(options::MTU, vec![0, 68])).unwrap().mtu, None);
        assert_eq!(lease(|m| m.options.set(options::MTU, vec![5, 120])).unwrap().mtu, Some(1400));
    }

    #[test]
    fn missing_mask_falls_back_to_the_address_class() {
        let mut message = ack();
        message.options = options::Options::default();
        message.options.set(options::SERVER, vec![192, 0, 2, 1]);
        message.options.set(options::LEASE_TIME, vec![0, 0, 1, 0]);
        assert_eq!(Lease::from_ack(&message, Moment(0)).unwrap().prefix, 24);
        message.yiaddr = Ipv4Addr::new(10, 1, 1, 1);
        assert_eq!(Lease::from_ack(&message, Moment(0)).unwrap().prefix, 8);
    }
}

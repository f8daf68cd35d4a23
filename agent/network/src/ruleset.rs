//! The packet filter's table `holm` as netlink messages. Pure: bytes come out, nothing is sent.
//!
//! One table for each address family, here in the words of `nft` for IPv4:
//!
//! ```text
//! table ip holm {
//!   map ports           { type inet_proto . inet_service : ipv4_addr . inet_service }
//!   map addressed-ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//!   set hairpin         { type ipv4_addr . ipv4_addr }
//!   chain guard         { type filter hook prerouting priority raw
//!                         iifname "pod*" ip daddr 127.0.0.0/8 drop }
//!   chain prerouting    { type nat hook prerouting priority dstnat
//!                         fib daddr type local jump host-ports }
//!   chain output        { type nat hook output priority dstnat
//!                         fib daddr type local jump host-ports }
//!   chain host-ports    { dnat to ip daddr . meta l4proto . th dport map @addressed-ports
//!                         dnat to meta l4proto . th dport map @ports }
//!   chain postrouting   { type nat hook postrouting priority srcnat
//!                         ip saddr . ip daddr @hairpin masquerade
//!                         ip saddr 127.0.0.0/8 oifname "pod*" masquerade
//!                         ip saddr RANGE ip daddr != RANGE masquerade }
//! }
//! ```
//!
//! IPv6 has no loopback rules; its guard drops what a pod sends from an address that is not its
//! own, which IPv4 leaves to the strict reverse path filter.

mod expressions;
mod tables;

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{NfTablesMessage, TableAttribute, TableMessage};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use crate::addresses::Ranges;
use crate::netlink::encode;
use crate::ports::Elements;
use tables::{Change, Family, change_elements, fill_table};

/// The table's name in every address family.
pub const TABLE: &str = "holm";

/// What the table has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// The node's ranges of pod addresses.
    pub ranges: Ranges,
    /// Host ports of IPv4.
    pub v4: Elements<Ipv4Addr>,
    /// Host ports of IPv6; without meaning when there is no IPv6 range.
    pub v6: Elements<Ipv6Addr>,
}

/// A batch that puts `ruleset` in place of whatever the table held, in one transaction.
pub fn replace(ruleset: &Ruleset) -> Vec<u8> {
    let mut batch = Batch::default();
    let v4 = Family::v4(ruleset.ranges.v4);
    batch.new_table(&v4);
    fill_table(&mut batch, &v4, &ruleset.v4);
    if let Some(range) = ruleset.ranges.v6 {
        let v6 = Family::v6(range);
        batch.new_table(&v6);
        fill_table(&mut batch, &v6, &ruleset.v6);
    }
    batch.finish()
}

/// A batch that turns `before` into `after` by map elements alone. `None` when nothing changes.
/// Both have the same ranges: a change of those takes [`replace`].
pub fn change(before: &Ruleset, after: &Ruleset) -> Option<Vec<u8>> {
    let mut batch = Batch::default();
    // Removals first, so that a port can pass from one pod to another in one transaction.
    for direction in [Change::Remove, Change::Add] {
        let v4 = Family::v4(after.ranges.v4);
        change_elements(&mut batch, &v4, &before.v4, &after.v4, direction);
        if let Some(range) = after.ranges.v6 {
            let v6 = Family::v6(range);
            change_elements(&mut batch, &v6, &before.v6, &after.v6, direction);
        }
    }
    (!batch.0.is_empty()).then(|| batch.finish())
}

/// Messages of one transaction, without its begin and end.
#[derive(Default)]
struct Batch(Vec<(NetfilterMessage, u16)>);

impl Batch {
    fn push(&mut self, family: NetfilterProtoFamily, message: NfTablesMessage, flags: u16) {
        let header = NetfilterHeader::new(family, 0, 0);
        self.0.push((NetfilterMessage::new(header, message), flags));
    }

    /// An empty table, whether or not there was one: deleting needs it to exist.
    fn new_table<A>(&mut self, family: &Family<A>) {
        let table = || TableMessage { attributes: vec![TableAttribute::Name(TABLE.to_owned())] };
        self.push(family.number, NfTablesMessage::NewTable(table()), NLM_F_CREATE);
        self.push(family.number, NfTablesMessage::DeleteTable(table()), 0);
        self.push(family.number, NfTablesMessage::NewTable(table()), NLM_F_CREATE);
    }

    /// The transaction as bytes. Only its last change asks for an answer: one success stands for
    /// all, and a failure is reported in any case.
    fn finish(mut self) -> Vec<u8> {
        const NFNL_SUBSYS_NFTABLES: u16 = 10;
        if let Some((_, flags)) = self.0.last_mut() {
            *flags |= NLM_F_ACK;
        }
        let bound = |message| {
            let header =
                NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFNL_SUBSYS_NFTABLES);
            (NetfilterMessage::new(header, message), 0)
        };
        let mut messages = vec![bound(ControlMessage::BatchBegin)];
        messages.append(&mut self.0);
        messages.push(bound(ControlMessage::BatchEnd));
        encode(messages)
    }
}

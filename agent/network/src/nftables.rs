//! Hands finished batches of [`crate::ruleset`] to the kernel, and removes connections that
//! remember an old destination. Never decides what the table holds.

use std::io;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NlasIterator};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    NetfilterSubsystem,
};

use crate::netlink::Socket;
use crate::ruleset::{self, Ruleset};

/// The packet filter of one network namespace.
pub struct PacketFilter {
    socket: Socket,
    /// What the table holds as far as is known. `None`: it has to be replaced as a whole.
    applied: Option<Ruleset>,
}

impl PacketFilter {
    /// That of the calling thread's namespace.
    pub fn here() -> io::Result<Self> {
        Ok(Self { socket: Socket::netfilter()?, applied: None })
    }

    /// Makes the table hold `wanted`, in one transaction: by elements when the rest is in place,
    /// as a whole when it is not.
    pub fn apply(&mut self, wanted: &Ruleset) -> io::Result<()> {
        if let Some(applied) = self.applied.take().filter(|old| old.ranges == wanted.ranges) {
            let changed = match ruleset::change(&applied, wanted) {
                None => Ok(()),
                Some(batch) => self.socket.exchange(&batch),
            };
            if changed.is_ok() {
                self.applied = Some(wanted.clone());
                return Ok(());
            }
            // Someone else changed the table: put it right as a whole.
        }
        self.socket.exchange(&ruleset::replace(wanted))?;
        self.applied = Some(wanted.clone());
        Ok(())
    }

    /// Forgets UDP conversations with this port of the node. UDP has no end that the kernel could
    /// see: without this a client that keeps talking keeps its old destination for ever. The
    /// kernel lists by protocol and port, but deletes only one conversation at a time.
    pub fn forget_udp(&self, host_port: u16, v6: bool) -> io::Result<()> {
        let family = if v6 { NetfilterProtoFamily::IPv6 } else { NetfilterProtoFamily::IPv4 };
        let message = |message_type, attributes| {
            let subsys = NetfilterSubsystem::Conntrack;
            let inner = NetfilterMessageInner::Other { subsys, message_type, attributes };
            NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner)
        };
        let list = message(IPCTNL_MSG_CT_GET, udp_to(host_port));
        for conversation in self.socket.dump(list)? {
            let Some(tuple) = original_tuple(&conversation) else { continue };
            let tuple = DefaultNla::new(CTA_TUPLE_ORIG | NLA_F_NESTED, tuple);
            match self.socket.request(message(IPCTNL_MSG_CT_DELETE, vec![tuple]), 0) {
                // It ended by itself in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }
}

// From `linux/netfilter/nfnetlink_conntrack.h`; the two filter flags from the kernel's
// `nf_internals.h`, where they are part of its interface all the same.
const IPCTNL_MSG_CT_GET: u8 = 1;
const IPCTNL_MSG_CT_DELETE: u8 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const PROTO_NUM: u32 = 1 << 3;
const PROTO_DST_PORT: u32 = 1 << 5;

/// The addresses and ports of a conversation's first packet, as the kernel spelled them.
fn original_tuple(conversation: &[u8]) -> Option<Vec<u8>> {
    const NFGENMSG: usize = 4;
    NlasIterator::new(conversation.get(NFGENMSG..)?)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == CTA_TUPLE_ORIG)
        .map(|attribute| attribute.value().to_vec())
}

/// Matches UDP conversations whose first packet went to `port`: a tuple, and a filter that says
/// which parts of the tuple count. Spelled out, because the codec has no type for the filter and
/// drops the nesting flag of attributes that it does not know.
fn udp_to(port: u16) -> Vec<DefaultNla> {
    const UDP: u8 = 17;
    let proto = [
        DefaultNla::new(CTA_PROTO_NUM, vec![UDP]),
        DefaultNla::new(CTA_PROTO_DST_PORT, port.to_be_bytes().to_vec()),
    ];
    let filter = [DefaultNla::new(
        CTA_FILTER_ORIG_FLAGS,
        (PROTO_NUM | PROTO_DST_PORT).to_ne_bytes().to_vec(),
    )];
    vec![nested(CTA_TUPLE_ORIG, &[nested(CTA_TUPLE_PROTO, &proto)]), nested(CTA_FILTER, &filter)]
}

fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    let mut value = vec![0; attributes.buffer_len()];
    attributes.emit(&mut value);
    DefaultNla::new(kind | NLA_F_NESTED, value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn original_tuple_is_found_behind_other_attributes() {
        let other = [8, 0, 3, 0, 1, 2, 3, 4];
        let tuple = [6, 0, 1, 0x80, 7, 9, 0, 0];
        let message = [&[2, 0, 0, 0][..], &other, &tuple].concat();
        assert_eq!(original_tuple(&message), Some(vec![7, 9]));
        assert_eq!(original_tuple(&message[..8]), None);
        assert_eq!(original_tuple(&[]), None);
    }

    proptest! {
        #[test]
        fn any_conversation_is_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let _ = original_tuple(&bytes);
        }
    }
}

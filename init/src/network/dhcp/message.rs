//! The DHCPv4 message (RFC 2131, figure 1) to and from bytes. Whatever comes from the wire is
//! hostile: every length is checked, nothing here may panic or allocate beyond the packet's size.

use std::net::Ipv4Addr;

use super::options::{self, Kind, Options};

/// `op`: a client's message.
pub(crate) const REQUEST: u8 = 1;
/// `op`: a server's message.
pub(crate) const REPLY: u8 = 2;

const FIXED: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Old relays drop anything shorter than a BOOTP message.
const SHORTEST: usize = 300;
const ETHERNET: u8 = 1;
const BROADCAST_FLAG: u16 = 0x8000;

/// A DHCPv4 message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// `REQUEST` or `REPLY`.
    pub(crate) op: u8,
    /// Pairs answers with questions.
    pub(crate) xid: u32,
    /// Seconds since the client began to ask.
    pub(crate) secs: u16,
    /// The client asks for answers by broadcast.
    pub(crate) broadcast: bool,
    /// The address that the client already uses.
    pub(crate) ciaddr: Ipv4Addr,
    /// The address that the server gives.
    pub(crate) yiaddr: Ipv4Addr,
    /// The next server of a network boot.
    pub(crate) siaddr: Ipv4Addr,
    /// The relay.
    pub(crate) giaddr: Ipv4Addr,
    /// The client's Ethernet address.
    pub(crate) chaddr: [u8; 6],
    /// The options, those of `file` and `sname` included (option overload).
    pub(crate) options: Options,
}

/// Why bytes are not a DHCPv4 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Fewer bytes than the fixed part and the cookie.
    #[error("{0} bytes are too few for a DHCP message")]
    Short(usize),
    /// A BOOTP message, or no such thing at all.
    #[error("the DHCP cookie is missing")]
    Cookie,
    /// `htype` and `hlen` do not say Ethernet.
    #[error("the hardware address is not an Ethernet address")]
    Hardware,
    /// An option runs past the end of its field.
    #[error("option {0} runs past the end of the message")]
    Truncated(u8),
    /// Option 53 is missing or out of range.
    #[error("the message type is missing or unknown")]
    Kind,
}

impl Message {
    /// An empty client message of a kind.
    pub(crate) fn request(kind: Kind, xid: u32, chaddr: [u8; 6]) -> Self {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut options = Options::default();
        options.set(options::MESSAGE_TYPE, vec![kind as u8]);
        Self {
            op: REQUEST,
            xid,
            secs: 0,
            broadcast: false,
            ciaddr: none,
            yiaddr: none,
            siaddr: none,
            giaddr: none,
            chaddr,
            options,
        }
    }

    /// Reads a message.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let short = DecodeError::Short(bytes.len());
        let (fixed, rest) = bytes.split_at_checked(FIXED).ok_or(short)?;
        let (cookie, rest) = rest.split_at_checked(COOKIE.len()).ok_or(short)?;
        if cookie != COOKIE {
            return Err(DecodeError::Cookie);
        }
        if fixed[1] != ETHERNET || fixed[2] != 6 {
            return Err(DecodeError::Hardware);
        }
        let mut options = Options::default();
        options.read(rest)?;
        // RFC 2131, 4.1: the overload option names further fields, read in this order.
        let overload = options.byte(options::OVERLOAD).unwrap_or(0);
        if overload & 1 != 0 {
            options.read(&fixed[108..236])?;
        }
        if overload & 2 != 0 {
            options.read(&fixed[44..108])?;
        }
        options.kind().ok_or(DecodeError::Kind)?;
        let mut chaddr = [0; 6];
        chaddr.copy_from_slice(&fixed[28..34]);
        Ok(Self {
            op: fixed[0],
            xid: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            secs: u16::from_be_bytes([fixed[8], fixed[9]]),
            broadcast: u16::from_be_bytes([fixed[10], fixed[11]]) & BROADCAST_FLAG != 0,
            ciaddr: address(fixed, 12),
            yiaddr: address(fixed, 16),
            siaddr: address(fixed, 20),
            giaddr: address(fixed, 24),
            chaddr,
            options,
        })
    }

    /// Writes the message, padded to the shortest length that every relay passes on.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.op, ETHERNET, 6, 0];
        bytes.extend(self.xid.to_be_bytes());
        bytes.extend(self.secs.to_be_bytes());
        bytes.extend((if self.broadcast { BROADCAST_FLAG } else { 0 }).to_be_bytes());
        for address in [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr] {
            bytes.extend(address.octets());
        }
        bytes.extend(self.chaddr);
        bytes.resize(FIXED, 0);
        bytes.extend(COOKIE);
        self.options.write(&mut bytes);
        if bytes.len() < SHORTEST {
            bytes.resize(SHORTEST, 0);
        }
        bytes
    }

    /// The kind of message; every decoded one has it.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.options.kind()
    }
}

fn address(fixed: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer() -> Message {
        let mut message = Message::request(Kind::Offer, 0x1234_5678, [2, 0, 0, 0, 0, 1]);
        message.op = REPLY;
        message.secs = 7;
        message.yiaddr = Ipv4Addr::new(192, 0, 2, 10);
        message.options.set(options::ROUTER, vec![192, 0, 2, 1]);
        message
    }

    #[test]
    fn message_survives_the_wire() {
        assert_eq!(Message::decode(&offer().encode()), Ok(offer()));
    }

    #[test]
    fn encoded_message_is_as_long_as_old_relays_want() {
        assert!(offer().encode().len() >= 300);
    }

    #[test]
    fn option_longer_than_255_bytes_is_split_and_joined() {
        let mut message = offer();
        message.options.set(options::SEARCH, (0..=255).chain(0..=200).collect());
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn bootp_answer_without_cookie_is_refused() {
        let mut bytes = offer().encode();
        bytes[236] = 0;
        assert_eq!(Message::decode(&bytes), Err(DecodeError::Cookie));
    }

    #[test]
    fn message_without_type_is_refused() {
        let mut message = offer();
        message.options = Options::default();
        assert_eq!(Message::decode(&message.encode()), Err(DecodeError::Kind));
    }

    #[test]
    fn token_ring_answer_is_refused() {
        let mut bytes = offer().encode();
        bytes[1] = 6;
        assert_eq!(Message::decode(&bytes), Err(DecodeError::Hardware));
    }

    #[test]
    fn option_past_the_end_is_refused() {
        let mut bytes = offer().encode();
        bytes.truncate(240);
        bytes.extend([53, 1, 2, 3, 200, 1]);
        assert_eq!(Message::decode(&bytes), Err(DecodeError::Truncated(3)));
    }

    #[test]
    fn overloaded_file_and_sname_fields_are_read() {
        let mut bytes = offer().encode();
        bytes.truncate(240);
        bytes.extend([53, 1, 2, 52, 1, 3, 255]);
        bytes[108..115].copy_from_slice(&[3, 4, 192, 0, 2, 9, 255]);
        bytes[44..51].copy_from_slice(&[6, 4, 192, 0, 2, 8, 255]);
        let message = Message::decode(&bytes).unwrap();
        assert_eq!(message.options.addresses(options::ROUTER), [Ipv4Addr::new(192, 0, 2, 9)]);
        assert_eq!(message.options.addresses(options::DNS), [Ipv4Addr::new(192, 0, 2, 8)]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            let _ = Message::decode(&bytes);
        }

        #[test]
        fn no_option_bytes_make_the_decoder_panic(
            tail in prop::collection::vec(any::<u8>(), 0..400), overload in 0u8..4,
        ) {
            let mut bytes = offer().encode();
            bytes.truncate(240);
            bytes.extend([53, 1, 5, 52, 1, overload]);
            bytes.extend(&tail);
            if let Ok(message) = Message::decode(&bytes) {
                // What was understood survives another round.
                let again = Message::decode(&message.encode()).unwrap();
                let _ = crate::network::dhcp::Lease::from_ack(
                    &again, crate::clock::Moment(0));
            }
        }
    }
}

//! A blocking netlink socket: requests out, the kernel's verdict back. Knows no message of any
//! subsystem. The kernel handles a request inside the call that sends it, so nothing ever waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

/// A socket of one netlink protocol, for the network namespace in which it was opened: it keeps
/// speaking to that one wherever its thread goes.
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens a socket for links, addresses, routes and neighbours.
    pub fn route() -> io::Result<Self> {
        // NETLINK_ROUTE is 0, which is no non-zero protocol number.
        Self::open(None)
    }

    /// Opens a socket for the packet filter and connection tracking.
    pub fn netfilter() -> io::Result<Self> {
        Self::open(Some(rustix::net::netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        Ok(Self(socket))
    }

    /// Sends one request and returns what the kernel thinks of it.
    pub fn request<T: NetlinkSerializable>(&self, message: T, flags: u16) -> io::Result<()> {
        self.exchange(&encode(vec![(message, flags | NLM_F_ACK)]))
    }

    /// Sends encoded messages in one piece and collects the answers. The first error wins: in a
    /// batch the kernel reports it beside the message that caused it, and has undone the rest.
    pub fn exchange(&self, bytes: &[u8]) -> io::Result<()> {
        verdict(&self.send(bytes)?)
    }

    /// Asks for a list and returns what follows the header of each of its messages.
    pub fn dump<T: NetlinkSerializable>(&self, message: T) -> io::Result<Vec<Vec<u8>>> {
        let answers = self.send(&encode(vec![(message, NLM_F_DUMP)]))?;
        verdict(&answers)?;
        let listed = answers.into_iter().filter(|answer| answer.kind > NLMSG_DONE);
        Ok(listed.map(|answer| answer.payload).collect())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<Vec<Answer>> {
        let sent = rustix::net::send(&self.0, bytes, SendFlags::empty())?;
        if sent != bytes.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "netlink request was cut short"));
        }
        let mut buffer = vec![0; 32 << 10];
        let mut found = Vec::new();
        loop {
            match rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, received)) => found.extend(answers(&buffer[..received.min(buffer.len())])),
                Err(rustix::io::Errno::AGAIN) => return Ok(found),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Encodes messages one after the other, numbered from 1.
pub fn encode<T: NetlinkSerializable>(messages: Vec<(T, u16)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, (message, flags)) in messages.into_iter().enumerate() {
        let mut message = NetlinkMessage::new(
            netlink_packet_core::NetlinkHeader::default(),
            NetlinkPayload::InnerMessage(message),
        );
        message.header.flags = flags | NLM_F_REQUEST;
        message.header.sequence_number = index as u32 + 1;
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..]);
    }
    bytes
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;

/// One message of the kernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    kind: u16,
    /// What follows the header.
    payload: Vec<u8>,
}

/// Takes a buffer of messages apart. One that claims to be longer than the buffer ends it.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    while let Some((header, _)) = bytes.split_at_checked(HEADER) {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let Some(payload) = bytes.get(HEADER..length) else { break };
        found.push(Answer { kind, payload: payload.to_vec() });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// Success when at least one verdict came and all of them say so; the first error otherwise.
fn verdict(answers: &[Answer]) -> io::Result<()> {
    let mut verdicts = answers
        .iter()
        .filter(|answer| matches!(answer.kind, NLMSG_ERROR | NLMSG_DONE))
        .filter_map(|answer| answer.payload.first_chunk().copied())
        .map(|code| i32::from_ne_bytes(code).saturating_neg())
        .peekable();
    if verdicts.peek().is_none() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "netlink gave no answer"));
    }
    match verdicts.find(|errno| *errno != 0) {
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER as u32 + payload.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn error(errno: i32) -> Vec<u8> {
        message(NLMSG_ERROR, &(-errno).to_ne_bytes())
    }

    #[test]
    fn first_error_wins_and_silence_is_one() {
        let verdict_of =
            |bytes: &[u8]| verdict(&answers(bytes)).map_err(|error| error.raw_os_error());
        assert_eq!(verdict_of(&[error(0), message(20, b"abc"), error(0)].concat()), Ok(()));
        assert_eq!(verdict_of(&[error(0), error(17), error(2)].concat()), Err(Some(17)));
        assert_eq!(verdict_of(&message(NLMSG_DONE, &[0; 4])), Ok(()));
        assert_eq!(verdict_of(&message(20, b"abc")), Err(None));
        assert_eq!(verdict_of(&[]), Err(None));
    }

    #[test]
    fn messages_are_taken_apart_at_their_aligned_ends() {
        let bytes = [message(20, b"abcde"), message(21, b"f")].concat();
        let payloads: Vec<_> = answers(&bytes).into_iter().map(|a| a.payload).collect();
        assert_eq!(payloads, [b"abcde".to_vec(), b"f".to_vec()]);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = verdict(&answers(&bytes));
        }
    }
}

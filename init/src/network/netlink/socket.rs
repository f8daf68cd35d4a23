//! A route netlink socket: one question, its answers.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use netlink_packet_core::{
    ErrorBuffer, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::NetlinkError;

/// The kernel fills at most this much at once.
const BUFFER: usize = 32 * 1024;
const LOOKS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(5);

/// A socket for questions.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens it, in the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let socket = open(0, SocketFlags::CLOEXEC)?;
        // The kernel answers before `send` returns; this is only for the case that it does not.
        let timeout = sockopt::Timeout::Recv;
        sockopt::set_socket_timeout(&socket, timeout, Some(PATIENCE)).map_err(io::Error::from)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Asks for a change and waits for the acknowledgement; `flags` beside request and ack.
    pub(crate) fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        loop {
            let bytes = self.receive()?;
            for message in messages(&self.buffer[..bytes]) {
                if message.sequence_number() == self.sequence
                    && message.message_type() == NLMSG_ERROR
                {
                    return error(message.payload());
                }
            }
        }
    }

    /// Lists a table: gives each message of a kind to `each`, anew when the table changed meanwhile.
    pub(crate) fn list<T>(
        &mut self,
        question: &RouteNetlinkMessage,
        kind: u16,
        each: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        for _ in 0..LOOKS {
            self.send(question.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            if let Some(list) = self.collect(kind, &each)? {
                return Ok(list);
            }
        }
        Err(NetlinkError::Restless)
    }

    fn collect<T>(
        &mut self,
        kind: u16,
        each: &impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<Vec<T>>, NetlinkError> {
        let mut list = Vec::new();
        let mut is_consistent = true;
        loop {
            let bytes = self.receive()?;
            for message in messages(&self.buffer[..bytes]) {
                if message.sequence_number() != self.sequence {
                    continue;
                }
                is_consistent &= message.flags() & NLM_F_DUMP_INTR == 0;
                match message.message_type() {
                    NLMSG_DONE => return Ok(is_consistent.then_some(list)),
                    NLMSG_ERROR => error(message.payload())?,
                    found if found == kind => list.extend(each(message.payload())),
                    _ => {}
                }
            }
        }
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let payload = NetlinkPayload::InnerMessage(message);
        let mut message = NetlinkMessage::new(header, payload);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let kernel = SocketAddrNetlink::new(0, 0);
        net::sendto(&self.socket, &bytes, SendFlags::empty(), &kernel)?;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<usize> {
        let (bytes, _) = rustix::io::retry_on_intr(|| {
            net::recv(&self.socket, &mut self.buffer[..], RecvFlags::empty())
        })?;
        Ok(bytes)
    }
}

/// A route netlink socket (protocol 0) that also hears of changes in `groups`.
pub(super) fn open(groups: u32, flags: SocketFlags) -> io::Result<OwnedFd> {
    let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    net::bind(socket.as_fd(), &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// The messages in what was received; a malformed one ends it.
pub(super) fn messages(mut rest: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        let length = usize::try_from(message.length()).ok()?.next_multiple_of(4);
        let whole = rest;
        rest = rest.get(length..).unwrap_or_default();
        NetlinkBuffer::new_checked(whole.get(..length.min(whole.len()))?).ok()
    })
}

fn error(payload: &[u8]) -> io::Result<()> {
    let error = ErrorBuffer::new_checked(payload).map_err(io::Error::other)?;
    match error.code() {
        Some(code) => Err(io::Error::from_raw_os_error(code.get().saturating_neg())),
        None => Ok(()),
    }
}

//! The client's sockets on one link: a packet socket for DHCP, one for ARP, and a UDP socket for
//! what goes through routes. Only open while an answer is awaited. Must not decide anything.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::machine::{Event, To};
use super::message::Message;
use super::packet::{self, CLIENT_PORT, SERVER_PORT};
use crate::network::syscalls::{self, Instruction, LinkAddress};

const IPV4: u16 = 0x0800;
/// The EtherType of ARP.
pub(crate) const ARP: u16 = 0x0806;
/// The hardware address of all.
pub(crate) const EVERYONE: [u8; 6] = [0xff; 6];
/// More packets wait for the next turn of the loop.
const BATCH: usize = 32;

/// Whole IPv4 packets to UDP port 68.
const DHCP_ONLY: &[Instruction] = &[
    (0x30, 0, 0, 9),                  // protocol
    (0x15, 0, 6, 17),                 // UDP, or drop
    (0x28, 0, 0, 6),                  // fragment offset
    (0x45, 4, 0, 0x1fff),             // later fragment: drop
    (0xb1, 0, 0, 0),                  // header length
    (0x48, 0, 0, 2),                  // destination port
    (0x15, 0, 1, CLIENT_PORT as u32), // 68, or drop
    (0x06, 0, 0, u32::MAX),           // accept
    (0x06, 0, 0, 0),                  // drop
];
/// Nothing at all.
const NOTHING: &[Instruction] = &[(0x06, 0, 0, 0)];

/// The sockets of one client.
#[derive(Debug)]
pub(crate) struct Socket {
    index: u32,
    hardware: [u8; 6],
    dhcp: OwnedFd,
    arp: OwnedFd,
    /// Sends to a server, and keeps the kernel from answering the server's unicasts with "port
    /// unreachable". Answers are read from the packet socket, so its own queue takes nothing.
    routed: Option<(Ipv4Addr, UdpSocket)>,
}

impl Socket {
    /// Opens the sockets on a link.
    pub(crate) fn open(index: u32, hardware: [u8; 6]) -> io::Result<Self> {
        let dhcp = packet_socket()?;
        syscalls::attach_filter(dhcp.as_fd(), DHCP_ONLY)?;
        net::bind(&dhcp, &LinkAddress::new(index, IPV4, [0; 6]))?;
        let arp = packet_socket()?;
        net::bind(&arp, &LinkAddress::new(index, ARP, [0; 6]))?;
        Ok(Self { index, hardware, dhcp, arp, routed: None })
    }

    /// The descriptors to wait on.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.dhcp.as_fd(), self.arp.as_fd()]
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, message: &Message, to: To) -> io::Result<()> {
        let bytes = message.encode();
        match to {
            To::Everyone => {
                let ports = (CLIENT_PORT, SERVER_PORT);
                let packet = packet::broadcast(message.ciaddr, ports, &bytes);
                let to = LinkAddress::new(self.index, IPV4, EVERYONE);
                net::sendto(&self.dhcp, &packet, SendFlags::empty(), &to)?;
            }
            To::Server { from, server } => {
                self.route_from(from)?;
                if let Some((_, socket)) = &self.routed {
                    socket.send_to(&bytes, (server, SERVER_PORT))?;
                }
            }
        }
        Ok(())
    }

    /// Asks who has an address.
    pub(crate) fn probe(&self, address: Ipv4Addr) -> io::Result<()> {
        let packet = packet::arp_probe(self.hardware, address);
        let to = LinkAddress::new(self.index, ARP, EVERYONE);
        net::sendto(&self.arp, &packet, SendFlags::empty(), &to)?;
        Ok(())
    }

    /// What came in; packets that mean nothing to the client are left out.
    pub(crate) fn receive(&self) -> Vec<Event> {
        let mut buffer = [0; 2048];
        let mut events = Vec::new();
        for _ in 0..BATCH {
            let Some(bytes) = receive_one(&self.dhcp, &mut buffer) else { break };
            let payload = packet::payload(bytes, CLIENT_PORT);
            events.extend(payload.and_then(|p| Message::decode(p).ok()).map(Event::Received));
        }
        for _ in 0..BATCH {
            let Some(bytes) = receive_one(&self.arp, &mut buffer) else { break };
            events.extend(packet::arp_claim(bytes, self.hardware).map(Event::Conflict));
        }
        events
    }

    fn route_from(&mut self, from: Ipv4Addr) -> io::Result<()> {
        if self.routed.as_ref().is_some_and(|(address, _)| *address == from) {
            return Ok(());
        }
        self.routed = None;
        let socket = UdpSocket::bind((from, CLIENT_PORT))?;
        syscalls::attach_filter(socket.as_fd(), NOTHING)?;
        syscalls::bind_to_link(socket.as_fd(), self.index)?;
        socket.set_nonblocking(true)?;
        self.routed = Some((from, socket));
        Ok(())
    }
}

/// A packet socket that hears nothing before it is bound.
pub(crate) fn packet_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(net::socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, None)?)
}

fn receive_one<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // An error here (the link went down) shows as a change of the link as well.
    let (bytes, _) = net::recv(socket, &mut *buffer, RecvFlags::empty()).ok()?;
    buffer.get(..bytes)
}

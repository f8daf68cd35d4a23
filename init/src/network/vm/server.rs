//! A DHCP server for one test, in its own network namespace, and a router that advertises once.
//! It does what the test tells it, and remembers everything that it was asked.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::super::dhcp::message::{Message, REPLY};

use super::super::dhcp::options::{self, Kind};
use super::super::dhcp::packet::{CLIENT_PORT, SERVER_PORT};
use super::super::syscalls;

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// How the server behaves, and what it heard.
pub(crate) struct State {
    pub(crate) is_silent: bool,
    pub(crate) address: Ipv4Addr,
    pub(crate) seconds: u32,
    pub(crate) heard: Vec<Heard>,
}

/// A message from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) kind: Kind,
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) requested: Option<Ipv4Addr>,
    pub(crate) names_server: bool,
}

#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<State>>);

impl Server {
    /// Starts a server on a link of the calling thread's namespace. It ends with the process.
    pub(crate) fn start(index: u32, address: Ipv4Addr, seconds: u32) -> Self {
        let state = State { is_silent: false, address, seconds, heard: Vec::new() };
        let server = Self(Arc::new(Mutex::new(state)));
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SERVER_PORT)).unwrap();
        socket.set_broadcast(true).unwrap();
        // Bounded, so that a server whose test is over frees its namespace.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        syscalls::bind_to_link(socket.as_fd(), index).unwrap();
        let own = server.clone();
        std::thread::spawn(move || own.serve(&socket));
        server
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn heard(&self, kind: Kind) -> Vec<Heard> {
        self.state().heard.iter().filter(|heard| heard.kind == kind).copied().collect()
    }

    fn serve(&self, socket: &UdpSocket) {
        let mut buffer = [0; 2048];
        while let Ok(length) = socket.recv(&mut buffer) {
            let Ok(question) = Message::decode(&buffer[..length]) else { continue };
            if let Some(answer) = self.state().answer(&question) {
                // A link that is down refuses; the client asks again.
                let _ = socket.send_to(&answer.encode(), (Ipv4Addr::BROADCAST, CLIENT_PORT));
            }
        }
    }
}

impl State {
    fn answer(&mut self, question: &Message) -> Option<Message> {
        let requested = question.options.address(options::REQUESTED);
        let kind = question.kind()?;
        self.heard.push(Heard {
            kind,
            ciaddr: question.ciaddr,
            requested,
            names_server: question.options.has(options::SERVER),
        });
        if self.is_silent {
            return None;
        }
        let asked = requested.unwrap_or(question.ciaddr);
        let kind = match kind {
            Kind::Discover => Kind::Offer,
            Kind::Request if asked == self.address => Kind::Ack,
            Kind::Request => Kind::Nak,
            // The next client gets another address.
            Kind::Decline => {
                self.address = Ipv4Addr::from(u32::from(self.address) + 1);
                return None;
            }
            _ => return None,
        };
        let mut answer = Message::request(kind, question.xid, question.chaddr);
        answer.op = REPLY;
        let mut set = |code, value: &[u8]| answer.options.set(code, value.to_vec());
        set(options::SERVER, &SERVER.octets());
        if kind != Kind::Nak {
            set(options::LEASE_TIME, &self.seconds.to_be_bytes());
            set(options::MASK, &[255, 255, 255, 0]);
            set(options::ROUTER, &SERVER.octets());
            set(options::DNS, &[192, 0, 2, 53]);
            set(options::NTP, &[192, 0, 2, 123]);
            set(options::DOMAIN, b"example.com");
            set(options::HOST_NAME, b"node-from-dhcp");
            answer.yiaddr = self.address;
        }
        Some(answer)
    }
}

/// A router advertisement: itself as default router, a prefix, a DNS server, a search domain.
pub(crate) fn advertisement() -> Vec<u8> {
    let mut bytes = vec![134, 0, 0, 0, 64, 0];
    bytes.extend(1800u16.to_be_bytes());
    bytes.extend([0; 8]);
    // Prefix 2001:db8:5::/64, on the link, for addresses.
    bytes.extend([3, 4, 64, 0xc0]);
    bytes.extend(3600u32.to_be_bytes());
    bytes.extend(1800u32.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([0x20, 0x01, 0x0d, 0xb8, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // DNS server 2001:db8:5::53.
    bytes.extend([25, 3, 0, 0]);
    bytes.extend(600u32.to_be_bytes());
    bytes.extend([0x20, 0x01, 0x0d, 0xb8, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53]);
    // Search domain ra.example.
    bytes.extend([31, 3, 0, 0]);
    bytes.extend(600u32.to_be_bytes());
    bytes.extend(b"\x02ra\x07example\0\0\0\0\0");
    bytes
}

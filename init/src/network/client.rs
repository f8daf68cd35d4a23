//! The DHCP client of one link: feeds the pure machine with carrier, packets and time, and performs
//! what it says. Decides nothing but when the routes of a lease lead nowhere.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::dhcp::socket::Socket;
use super::dhcp::store::Store;
use super::dhcp::{Action, Event, Lease, Loss, Machine, Params};
use super::observed::Link;
use super::wanted::LeaseInUse;
use crate::clock::{Moment, now};

/// How long a link may be without carrier before the routes of its lease go; a switch that restarts
/// its port takes about this long, and the kernel passes over such routes at once anyway.
const GRACE: Duration = Duration::from_secs(3);

/// The kernel's unit of an address's lifetime.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(1);

/// A client and its link.
#[derive(Debug)]
pub(crate) struct Client {
    link: String,
    index: u32,
    hardware: [u8; 6],
    machine: Machine,
    socket: Option<Socket>,
    carrier: bool,
    carrier_losses: u32,
    carrier_lost: Moment,
    store: Store,
}

impl Client {
    /// A client for a link, with what is remembered of earlier ones. `None` when the link has no
    /// Ethernet address.
    pub(crate) fn new(
        link: &Link,
        hostname: Option<String>,
        store: &Store,
        now: Moment,
    ) -> Option<Self> {
        let hardware = link.mac?.0;
        let (held, known) = store.recall(&link.name, hardware);
        let machine = Machine::new(Params { hardware, hostname }, held, known);
        Some(Self {
            link: link.name.clone(),
            index: link.index,
            hardware,
            machine,
            socket: None,
            carrier: false,
            carrier_losses: link.carrier_losses,
            carrier_lost: now,
            store: store.clone(),
        })
    }

    /// Whether this client is still the right one for a link.
    pub(crate) fn is_of(&self, link: &Link) -> bool {
        self.index == link.index && link.mac.is_some_and(|mac| mac.0 == self.hardware)
    }

    /// Takes in how the link is now. True when what the node may use has changed.
    pub(crate) fn see(&mut self, link: &Link, now: Moment) -> bool {
        let flapped = link.carrier_losses != self.carrier_losses;
        let (had, has) = (self.carrier, link.carrier);
        self.carrier = has;
        self.carrier_losses = link.carrier_losses;
        if had && (!has || flapped) {
            self.carrier_lost = now;
        }
        match (had, has) {
            (true, false) => self.step(Event::CarrierLost, now),
            (false, true) => self.step(Event::CarrierUp, now),
            (true, true) if flapped => self.step(Event::CarrierUp, now),
            _ => false,
        }
    }

    /// Serves a deadline, if one has passed.
    pub(crate) fn time_out(&mut self, now: Moment) -> bool {
        match self.machine.deadline() {
            Some(deadline) if deadline <= now => self.step(Event::Timeout, now),
            _ => false,
        }
    }

    /// Takes in what has come on the sockets.
    pub(crate) fn receive(&mut self, now: Moment) -> bool {
        let events = self.socket.as_ref().map_or_else(Vec::new, Socket::receive);
        let mut has_changed = false;
        for event in events {
            has_changed |= self.step(event, now);
        }
        has_changed
    }

    /// Gives the lease back.
    pub(crate) fn release(&mut self, now: Moment) -> bool {
        self.step(Event::Release, now)
    }

    /// When the client wants to be woken.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.machine.deadline()
    }

    /// When the routes of a link without carrier go; none when they are gone or may stay.
    pub(crate) fn grace_ends(&self, now: Moment) -> Option<Moment> {
        let end = self.carrier_lost + GRACE;
        (!self.carrier && end > now && self.lease(now).is_some()).then_some(end)
    }

    /// The descriptors to wait on.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.socket.iter().flat_map(Socket::descriptors)
    }

    /// The lease that the node may use.
    pub(crate) fn lease(&self, now: Moment) -> Option<&Lease> {
        self.machine.lease(now)
    }

    /// The lease, and whether its routes lead anywhere. Not in its last second: the kernel counts
    /// lifetimes in whole ones, so it may have removed the address, and would keep it too long if it
    /// were told again.
    pub(crate) fn lease_in_use(&self, now: Moment) -> Option<LeaseInUse> {
        let has_carrier = self.carrier || self.carrier_lost + GRACE > now;
        let lease = self.lease(now).filter(|lease| lease.is_valid(now + SHORTEST_LIFETIME))?;
        Some(LeaseInUse { lease: lease.clone(), has_carrier })
    }

    /// The client's state, for people.
    pub(crate) fn phase(&self) -> &'static str {
        self.machine.phase()
    }

    fn step(&mut self, event: Event, now: Moment) -> bool {
        let (machine, actions) = self.machine.step(event, now, entropy());
        let listens = machine.listens();
        self.machine = machine;
        let mut has_changed = false;
        for action in actions {
            has_changed |= matches!(action, Action::Use(_) | Action::Drop(..));
            self.perform(action, now);
        }
        if !listens {
            self.socket = None;
        }
        has_changed
    }

    fn perform(&mut self, action: Action, now: Moment) {
        match action {
            Action::Send(message, to) => {
                let sent = self.socket().and_then(|socket| socket.send(&message, to));
                self.note(sent, "send to the DHCP server");
            }
            Action::Probe(address) => {
                let sent = self.socket().and_then(|socket| socket.probe(address));
                self.note(sent, "ask who has the address");
            }
            Action::Use(lease) => {
                self.tell(&lease, now);
                let kept = self.store.keep(&self.link, self.hardware, &lease);
                self.note(kept, "remember the lease");
            }
            Action::Drop(address, loss) => {
                let why = match loss {
                    Loss::Expired => "its time is over",
                    Loss::Refused => "the server refused it",
                    Loss::Conflict => "another host has it",
                    Loss::Released => "given back",
                };
                eprintln!("network: {}: {address} is not ours any more: {why}", self.link);
                let ask_again = matches!(loss, Loss::Expired | Loss::Released);
                let ended = self.store.end(&self.link, self.hardware, address, ask_again);
                self.note(ended, "forget the lease");
            }
        }
    }

    /// Opens the sockets when something is to be said; the answers are awaited on them.
    fn socket(&mut self) -> std::io::Result<&mut Socket> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::open(self.index, self.hardware)?,
        };
        Ok(self.socket.insert(socket))
    }

    fn tell(&self, lease: &Lease, now: Moment) {
        let Lease { address, prefix, server, times, .. } = lease;
        let until = times.map_or("for ever".to_owned(), |times| {
            format!("for {} s", now.until(times.expire).as_secs())
        });
        eprintln!("network: {}: {address}/{prefix} from {server} {until}", self.link);
    }

    fn note(&self, result: std::io::Result<()>, what: &str) {
        if let Err(error) = result {
            eprintln!("network: {}: cannot {what}: {error}", self.link);
        }
    }
}

/// 64 random bits; early in the boot, when there are none yet, the clock's, as nothing secret
/// depends on them.
fn entropy() -> u64 {
    let mut bytes = [0; 8];
    let flags = rustix::rand::GetRandomFlags::NONBLOCK;
    match rustix::rand::getrandom(&mut bytes, flags) {
        Ok(8) => u64::from_ne_bytes(bytes),
        _ => now().0.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

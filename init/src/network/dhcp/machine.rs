//! The client's states (RFC 2131, figure 5): `(machine, event, now, entropy) → (machine, actions)`.
//! Pure; must never read a clock or draw a random number.
//!
//! A lease that is held stays usable in every state until it expires, is refused or is released:
//! what the client asks and what the node uses are two things. So a silent server or a pulled cable
//! never costs an address before its time, and nothing outlives it.
//!
//! | state      | asks (again after)                | answer: next state                      | otherwise |
//! |------------|-----------------------------------|-----------------------------------------|-----------|
//! | Down       | nothing                           |                                         | carrier: Rebooting if an address is known, else Selecting |
//! | Selecting  | DISCOVER (4 s, doubled to 64 s)   | OFFER: Requesting                       | |
//! | Requesting | REQUEST (4 s, doubled)            | ACK: Probing, or Bound if already held; NAK: refused | 4 unanswered: Selecting |
//! | Rebooting  | REQUEST of the known address (4 s)| as Requesting                           | 2 unanswered: Selecting |
//! | Probing    | ARP for the address (0.25 s)      | conflict: DECLINE, Waiting 10 s         | 3 unanswered: Bound |
//! | Bound      | nothing                           |                                         | T1: Renewing |
//! | Renewing   | REQUEST to the server (half of what is left, at least 60 s) | ACK: Bound; NAK: refused | T2: Rebinding |
//! | Rebinding  | REQUEST to all (likewise)         | ACK: Bound; NAK: refused                | expired: Selecting |
//! | Waiting    | nothing                           |                                         | over: Selecting |
//! | Released   | nothing, for good                 |                                         | |
//!
//! In every state: carrier lost: Down; the held lease expires: it is dropped, and a state that was
//! about prolonging it becomes Selecting; told to release: RELEASE, Released. Refused: the lease is
//! dropped, then Selecting, from the second time in a row on after Waiting (2 s, doubled to 64 s).
//! Carrier that came back unnoticed (a flap) is treated as Down, then carrier.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::exchange::{Exchange, low};
use super::lease::Lease;
use super::message::{Message, REPLY};
use super::options::{self, Kind};
use super::questions::{Params, Question};
use crate::clock::Moment;

const REQUESTS: u32 = 4;
const CONFIRMATIONS: u32 = 2;
const PROBES: u32 = 3;
/// RFC 5227 waits 1 to 2 s; answers on a LAN take milliseconds, and boots wait for this.
const PROBE_GAP: Duration = Duration::from_millis(250);
/// RFC 2131, 3.1: at least 10 s after a DECLINE.
const AFTER_DECLINE: Duration = Duration::from_secs(10);

/// One client: its state, and the lease that the node may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    params: Params,
    state: State,
    held: Option<Lease>,
    /// The address of an earlier time, to ask for again.
    known: Option<Ipv4Addr>,
    /// Whether the known address may be confirmed (INIT-REBOOT) rather than asked for.
    confirmable: bool,
    refusals: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Down,
    Selecting(Exchange),
    Requesting(Exchange, Ipv4Addr, Ipv4Addr),
    Rebooting(Exchange, Ipv4Addr),
    Probing { lease: Lease, sent: u32, next: Moment },
    Bound,
    Renewing(Exchange),
    Rebinding(Exchange),
    Waiting(Moment),
    Released,
}

/// What happens to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The link can carry frames, or could not for a moment.
    CarrierUp,
    /// The link lost its carrier.
    CarrierLost,
    /// `deadline` has passed.
    Timeout,
    /// A message came in.
    Received(Message),
    /// Another host answered for this address.
    Conflict(Ipv4Addr),
    /// The node leaves.
    Release,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// Everyone on the link; the sender has no address yet.
    Everyone,
    /// One server, from the leased address, by way of routes.
    Server {
        /// The leased address.
        from: Ipv4Addr,
        /// The server's address.
        server: Ipv4Addr,
    },
}

/// Why a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Its time is over.
    Expired,
    /// The server refused it.
    Refused,
    /// Another host uses the address.
    Conflict,
    /// The node gave it back.
    Released,
}

/// What to do; the executor has no choices left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send a message.
    Send(Message, To),
    /// Ask by ARP who has the address.
    Probe(Ipv4Addr),
    /// The node may use this lease from now on (new, changed or prolonged).
    Use(Lease),
    /// The node must no longer use this address.
    Drop(Ipv4Addr, Loss),
}

impl Machine {
    /// A client on a link without carrier. `held`: the lease of an earlier process of this boot;
    /// `known`: the address of an earlier boot, and whether it was given back in the meantime.
    pub(crate) fn new(
        params: Params,
        held: Option<Lease>,
        known: Option<(Ipv4Addr, bool)>,
    ) -> Self {
        let confirmable = held.is_some() || known.is_some_and(|(_, released)| !released);
        let known = held.as_ref().map(|lease| lease.address).or(known.map(|(address, _)| address));
        Self { params, state: State::Down, held, known, confirmable, refusals: 0 }
    }

    /// The lease that the node may use at `now`.
    pub(crate) fn lease(&self, now: Moment) -> Option<&Lease> {
        self.held.as_ref().filter(|lease| lease.is_valid(now))
    }

    /// When `Timeout` is due.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let times = self.held.as_ref().and_then(|lease| lease.times);
        let own = match &self.state {
            State::Down | State::Released => None,
            State::Selecting(e) | State::Requesting(e, ..) | State::Rebooting(e, _) => {
                Some(e.again)
            }
            State::Probing { next, .. } => Some(*next),
            State::Bound => times.map(|times| times.renew),
            State::Renewing(e) => times.map(|times| times.rebind.min(e.again)),
            State::Rebinding(e) => Some(e.again),
            State::Waiting(until) => Some(*until),
        };
        own.into_iter().chain(times.map(|times| times.expire)).min()
    }

    /// Whether answers are awaited, so that somebody has to listen.
    pub(crate) fn listens(&self) -> bool {
        !matches!(self.state, State::Down | State::Bound | State::Waiting(_) | State::Released)
    }

    /// The state in the RFC's words, for people.
    pub(crate) fn phase(&self) -> &'static str {
        match self.state {
            State::Down => "no carrier",
            State::Selecting(_) => "looking for a server",
            State::Requesting(..) => "requesting",
            State::Rebooting(..) => "confirming",
            State::Probing { .. } => "checking the address",
            State::Bound => "bound",
            State::Renewing(_) => "renewing",
            State::Rebinding(_) => "rebinding",
            State::Waiting(_) => "waiting after a refusal",
            State::Released => "released",
        }
    }

    /// One step. `entropy` is 64 random bits: a transaction id and a jitter.
    pub(crate) fn step(&self, event: Event, now: Moment, entropy: u64) -> (Self, Vec<Action>) {
        let mut next = self.clone();
        let actions = next.advance(event, now, entropy);
        (next, actions)
    }

    fn advance(&mut self, event: Event, now: Moment, entropy: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.held.as_ref().is_some_and(|lease| !lease.is_valid(now)) {
            self.drop_held(Loss::Expired, &mut actions);
            if matches!(self.state, State::Bound | State::Renewing(_) | State::Rebinding(_)) {
                self.select(now, entropy, &mut actions);
            }
        }
        if self.state == State::Released {
            return actions;
        }
        match event {
            Event::CarrierLost => self.state = State::Down,
            Event::CarrierUp => self.begin(now, entropy, &mut actions),
            Event::Timeout => {
                if self.deadline().is_some_and(|deadline| deadline <= now) {
                    self.time_out(now, entropy, &mut actions);
                }
            }
            Event::Received(message) => self.receive(&message, now, entropy, &mut actions),
            Event::Conflict(address) => self.conflict(address, now, entropy, &mut actions),
            Event::Release => self.release(entropy, &mut actions),
        }
        actions
    }

    fn begin(&mut self, now: Moment, entropy: u64, actions: &mut Vec<Action>) {
        match self.known.filter(|_| self.confirmable) {
            Some(address) => {
                let exchange = Exchange::new(now, entropy);
                self.state = State::Rebooting(exchange, address);
                actions.push(self.ask(&exchange, Question::Confirm(address), now));
            }
            None => self.select(now, entropy, actions),
        }
    }

    fn select(&mut self, now: Moment, entropy: u64, actions: &mut Vec<Action>) {
        let exchange = Exchange::new(now, entropy);
        self.state = State::Selecting(exchange);
        actions.push(self.ask(&exchange, Question::Discover(self.known), now));
    }

    fn time_out(&mut self, now: Moment, entropy: u64, actions: &mut Vec<Action>) {
        let times = self.held.as_ref().and_then(|lease| lease.times);
        match self.state.clone() {
            State::Down | State::Released => {}
            State::Selecting(exchange) => {
                let exchange = exchange.repeated(now, entropy);
                self.state = State::Selecting(exchange);
                actions.push(self.ask(&exchange, Question::Discover(self.known), now));
            }
            State::Requesting(exchange, address, server) if exchange.tries < REQUESTS => {
                let exchange = exchange.repeated(now, entropy);
                self.state = State::Requesting(exchange, address, server);
                actions.push(self.ask(&exchange, Question::Take { address, server }, now));
            }
            State::Rebooting(exchange, address) if exchange.tries < CONFIRMATIONS => {
                let exchange = exchange.repeated_at_once(now, entropy);
                self.state = State::Rebooting(exchange, address);
                actions.push(self.ask(&exchange, Question::Confirm(address), now));
            }
            State::Requesting(..) | State::Rebooting(..) | State::Waiting(_) => {
                self.select(now, entropy, actions);
            }
            State::Probing { lease, sent, .. } if sent < PROBES => {
                actions.push(Action::Probe(lease.address));
                self.state = State::Probing { lease, sent: sent + 1, next: now + PROBE_GAP };
            }
            State::Probing { lease, .. } => self.bind(lease, now, entropy, actions),
            State::Bound | State::Renewing(_) if times.is_some_and(|t| now < t.rebind) => {
                let exchange = match self.state {
                    State::Renewing(exchange) => exchange.repeated(now, entropy),
                    _ => Exchange::new(now, entropy),
                };
                let end = times.map_or(now, |times| times.rebind);
                let exchange = exchange.until(end, now);
                self.state = State::Renewing(exchange);
                self.prolong(&exchange, now, actions);
            }
            State::Bound | State::Renewing(_) | State::Rebinding(_) => {
                let exchange = match self.state {
                    State::Rebinding(exchange) => exchange.repeated(now, entropy),
                    _ => Exchange::new(now, entropy),
                };
                let end = times.map_or(now, |times| times.expire);
                let exchange = exchange.until(end, now);
                self.state = State::Rebinding(exchange);
                self.prolong(&exchange, now, actions);
            }
        }
    }

    fn receive(&mut self, message: &Message, now: Moment, entropy: u64, out: &mut Vec<Action>) {
        let exchange = match &self.state {
            State::Selecting(e) | State::Requesting(e, ..) | State::Rebooting(e, _) => *e,
            State::Renewing(e) | State::Rebinding(e) => *e,
            _ => return,
        };
        let is_ours = message.op == REPLY
            && message.xid == exchange.xid
            && message.chaddr == self.params.hardware;
        if !is_ours {
            return;
        }
        let server = message.options.address(options::SERVER).filter(options::is_host);
        match (message.kind(), &self.state) {
            (Some(Kind::Offer), State::Selecting(_)) => {
                let Some(server) = server else { return };
                if !options::is_host(&message.yiaddr) {
                    return;
                }
                // The transaction goes on with the offer's id (RFC 2131, 4.3.2).
                let exchange = Exchange { xid: exchange.xid, ..Exchange::new(now, entropy) };
                self.state = State::Requesting(exchange, message.yiaddr, server);
                let address = message.yiaddr;
                out.push(self.ask(&exchange, Question::Take { address, server }, now));
            }
            (Some(Kind::Ack), state) if !matches!(state, State::Selecting(_)) => {
                if let State::Requesting(_, _, chosen) = state
                    && server != Some(*chosen)
                {
                    return;
                }
                // An answer that grants nothing is no answer: the question is repeated.
                let Ok(lease) = Lease::from_ack(message, exchange.sent) else { return };
                if !lease.is_valid(now) {
                    return;
                }
                let is_in_use = self.held.as_ref().is_some_and(|h| h.address == lease.address);
                if is_in_use {
                    self.bind(lease, now, entropy, out);
                } else {
                    out.push(Action::Probe(lease.address));
                    self.state = State::Probing { lease, sent: 1, next: now + PROBE_GAP };
                }
            }
            (Some(Kind::Nak), state) if !matches!(state, State::Selecting(_)) => {
                let refused = match state {
                    State::Requesting(_, _, chosen) if server.is_some_and(|s| s != *chosen) => {
                        return;
                    }
                    State::Requesting(_, address, _) | State::Rebooting(_, address) => *address,
                    _ => self.held.as_ref().map_or(Ipv4Addr::UNSPECIFIED, |h| h.address),
                };
                self.refuse(refused, now, entropy, out);
            }
            _ => {}
        }
    }

    fn refuse(&mut self, address: Ipv4Addr, now: Moment, entropy: u64, out: &mut Vec<Action>) {
        if self.held.as_ref().is_some_and(|held| held.address == address) {
            self.drop_held(Loss::Refused, out);
        }
        self.known = self.held.as_ref().map(|held| held.address);
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals == 1 {
            self.select(now, entropy, out);
        } else {
            let seconds = 1u64 << (self.refusals - 1).min(6);
            self.state = State::Waiting(now + Duration::from_secs(seconds));
        }
    }

    fn conflict(&mut self, address: Ipv4Addr, now: Moment, entropy: u64, out: &mut Vec<Action>) {
        let State::Probing { lease, .. } = &self.state else { return };
        if lease.address != address {
            return;
        }
        let decline = Question::Decline { address, server: lease.server };
        out.push(Action::Send(decline.message(&self.params, low(entropy), 0), To::Everyone));
        out.push(Action::Drop(address, Loss::Conflict));
        self.known = self.held.as_ref().map(|held| held.address);
        self.state = State::Waiting(now + AFTER_DECLINE);
    }

    fn release(&mut self, entropy: u64, out: &mut Vec<Action>) {
        if let Some(lease) = self.held.clone() {
            let release = Question::Release { address: lease.address, server: lease.server };
            let message = release.message(&self.params, low(entropy), 0);
            let to = To::Server { from: lease.address, server: lease.server };
            out.push(Action::Send(message, to));
            self.drop_held(Loss::Released, out);
        }
        self.state = State::Released;
    }

    fn ask(&self, exchange: &Exchange, question: Question, now: Moment) -> Action {
        let message = question.message(&self.params, exchange.xid, exchange.seconds(now));
        Action::Send(message, To::Everyone)
    }

    /// Renewing goes to the server that granted, rebinding to whoever hears it.
    fn prolong(&self, exchange: &Exchange, now: Moment, out: &mut Vec<Action>) {
        let Some(lease) = &self.held else { return };
        let question = Question::Prolong(lease.address);
        let message = question.message(&self.params, exchange.xid, exchange.seconds(now));
        let to = match self.state {
            State::Renewing(_) => To::Server { from: lease.address, server: lease.server },
            _ => To::Everyone,
        };
        out.push(Action::Send(message, to));
    }

    fn bind(&mut self, lease: Lease, now: Moment, entropy: u64, out: &mut Vec<Action>) {
        if !lease.is_valid(now) {
            return self.select(now, entropy, out);
        }
        self.known = Some(lease.address);
        self.confirmable = true;
        self.refusals = 0;
        self.held = Some(lease.clone());
        self.state = State::Bound;
        out.push(Action::Use(lease));
    }

    fn drop_held(&mut self, loss: Loss, out: &mut Vec<Action>) {
        if let Some(lease) = self.held.take() {
            // The address is asked for again, but no longer as one that is ours.
            self.known = Some(lease.address);
            self.confirmable = false;
            out.push(Action::Drop(lease.address, loss));
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

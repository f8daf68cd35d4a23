//! The state table row by row, then random event sequences.

use proptest::prelude::*;

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HOUR: u64 = 3_600_000;

/// A client under test with its clock and everything that it did in the last step.
struct Client {
    machine: Machine,
    now: Moment,
    did: Vec<Action>,
}

impl Client {
    fn new(held: Option<Lease>, known: Option<(Ipv4Addr, bool)>) -> Self {
        let params = Params { hardware: MAC, hostname: None };
        Self { machine: Machine::new(params, held, known), now: Moment(1000), did: Vec::new() }
    }

    /// A client that got `ADDRESS` for an hour at about second one.
    fn bound() -> Self {
        let mut client = Self::new(None, None);
        client.on(Event::CarrierUp).answer(Kind::Offer, ADDRESS).answer(Kind::Ack, ADDRESS);
        client.probe_out();
        assert_eq!(client.phase(), "bound");
        client
    }

    fn on(&mut self, event: Event) -> &mut Self {
        let (machine, did) = self.machine.step(event, self.now, 7 | 1000 << 32);
        (self.machine, self.did) = (machine, did);
        self
    }

    /// Lets time pass to the next deadline.
    fn wait(&mut self) -> &mut Self {
        self.now = self.now.max(self.machine.deadline().unwrap());
        self.on(Event::Timeout)
    }

    fn probe_out(&mut self) {
        while self.phase() == "checking the address" {
            self.wait();
        }
    }

    fn answer(&mut self, kind: Kind, address: Ipv4Addr) -> &mut Self {
        self.on(Event::Received(answer(kind, address, 3600)))
    }

    fn phase(&self) -> &'static str {
        self.machine.phase()
    }

    fn address(&self) -> Option<Ipv4Addr> {
        self.machine.lease(self.now).map(|lease| lease.address)
    }

    /// The message that was sent in the last step.
    fn sent(&self) -> (Kind, Ipv4Addr, Option<Ipv4Addr>, To) {
        let sent = self.did.iter().find_map(|action| match action {
            Action::Send(message, to) => Some((message, *to)),
            _ => None,
        });
        let (message, to) = sent.expect("a message was sent");
        let requested = message.options.address(options::REQUESTED);
        (message.kind().unwrap(), message.ciaddr, requested, to)
    }
}

fn answer(kind: Kind, address: Ipv4Addr, seconds: u32) -> Message {
    let mut message = Message::request(kind, 7, MAC);
    message.op = REPLY;
    message.options.set(options::SERVER, SERVER.octets().to_vec());
    if kind != Kind::Nak {
        message.yiaddr = address;
        message.options.set(options::LEASE_TIME, seconds.to_be_bytes().to_vec());
        message.options.set(options::MASK, vec![255, 255, 255, 0]);
    }
    message
}

const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const TO_SERVER: To = To::Server { from: ADDRESS, server: SERVER };

#[test]
fn new_client_discovers_requests_probes_and_binds() {
    let mut client = Client::new(None, None);
    assert_eq!(client.machine.deadline(), None, "nothing happens without a carrier");
    client.on(Event::CarrierUp);
    assert_eq!(client.sent(), (Kind::Discover, NONE, None, To::Everyone));
    client.answer(Kind::Offer, ADDRESS);
    assert_eq!(client.sent(), (Kind::Request, NONE, Some(ADDRESS), To::Everyone));
    client.answer(Kind::Ack, ADDRESS);
    assert_eq!(client.did, [Action::Probe(ADDRESS)]);
    assert_eq!(client.address(), None, "not before the address was checked");
    client.wait().wait();
    assert_eq!(client.did, [Action::Probe(ADDRESS)]);
    client.wait();
    assert!(matches!(&client.did[..], [Action::Use(lease)] if lease.address == ADDRESS));
    assert_eq!((client.phase(), client.address()), ("bound", Some(ADDRESS)));
    assert!(!client.machine.listens());
}

#[test]
fn silent_server_is_asked_again_ever_more_rarely() {
    let mut client = Client::new(None, None);
    client.on(Event::CarrierUp);
    let mut gaps = Vec::new();
    for _ in 0..7 {
        let before = client.now;
        client.wait();
        assert_eq!(client.sent().0, Kind::Discover);
        gaps.push(before.until(client.now).as_secs());
    }
    assert_eq!(gaps, [4, 8, 16, 32, 64, 64, 64]);
}

#[test]
fn server_that_falls_silent_after_its_offer_is_given_up() {
    let mut client = Client::new(None, None);
    client.on(Event::CarrierUp).answer(Kind::Offer, ADDRESS);
    for _ in 1..REQUESTS {
        client.wait();
        assert_eq!(client.sent(), (Kind::Request, NONE, Some(ADDRESS), To::Everyone));
    }
    client.wait();
    assert_eq!(client.sent().0, Kind::Discover);
}

#[test]
fn bound_client_renews_with_its_server_then_with_anyone_then_stops() {
    let mut client = Client::bound();
    client.wait();
    assert_eq!(client.now, Moment(1000 + HOUR / 2));
    assert_eq!(client.sent(), (Kind::Request, ADDRESS, None, TO_SERVER));
    while client.phase() == "renewing" {
        client.wait();
    }
    assert_eq!(client.now, Moment(1000 + HOUR / 8 * 7));
    assert_eq!(client.sent(), (Kind::Request, ADDRESS, None, To::Everyone));
    while client.phase() == "rebinding" {
        assert_eq!(client.address(), Some(ADDRESS));
        client.wait();
    }
    assert_eq!(client.now, Moment(1000 + HOUR));
    assert_eq!(client.did[0], Action::Drop(ADDRESS, Loss::Expired));
    assert_eq!(client.sent(), (Kind::Discover, NONE, Some(ADDRESS), To::Everyone));
    assert_eq!(client.address(), None);
}

#[test]
fn renewal_prolongs_without_a_probe() {
    let mut client = Client::bound();
    client.wait().answer(Kind::Ack, ADDRESS);
    let [Action::Use(lease)] = &client.did[..] else { panic!("{:?}", client.did) };
    assert_eq!(lease.times.unwrap().expire, Moment(1000 + HOUR / 2 + HOUR));
    assert_eq!(client.phase(), "bound");
}

#[test]
fn refused_renewal_drops_the_lease_at_once_and_starts_over() {
    let mut client = Client::bound();
    client.wait().answer(Kind::Nak, NONE);
    assert_eq!(client.did[0], Action::Drop(ADDRESS, Loss::Refused));
    assert_eq!(client.sent(), (Kind::Discover, NONE, None, To::Everyone));
}

#[test]
fn server_that_refuses_again_and_again_is_asked_ever_more_rarely() {
    let mut client = Client::new(None, None);
    client.on(Event::CarrierUp);
    let mut waits = Vec::new();
    for _ in 0..9 {
        client.answer(Kind::Offer, ADDRESS).answer(Kind::Nak, NONE);
        if client.phase() == "waiting after a refusal" {
            let before = client.now;
            client.wait();
            waits.push(before.until(client.now).as_secs());
        }
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 64, 64]);
}

#[test]
fn pulled_cable_keeps_the_lease_and_confirms_it_when_back() {
    let mut client = Client::bound();
    client.on(Event::CarrierLost);
    assert_eq!((client.phase(), client.address()), ("no carrier", Some(ADDRESS)));
    client.on(Event::CarrierUp);
    assert_eq!(client.sent(), (Kind::Request, NONE, Some(ADDRESS), To::Everyone));
    assert_eq!(client.address(), Some(ADDRESS));
    client.answer(Kind::Ack, ADDRESS);
    assert!(matches!(&client.did[..], [Action::Use(_)]));
    assert_eq!(client.phase(), "bound");
}

#[test]
fn cable_in_another_network_gets_a_refusal_and_a_new_address() {
    let mut client = Client::bound();
    client.on(Event::CarrierLost).on(Event::CarrierUp).answer(Kind::Nak, NONE);
    assert_eq!(client.did[0], Action::Drop(ADDRESS, Loss::Refused));
    client.answer(Kind::Offer, OTHER).answer(Kind::Ack, OTHER).probe_out();
    assert_eq!(client.address(), Some(OTHER));
}

#[test]
fn silence_after_the_cable_is_back_keeps_the_lease_and_looks_for_servers() {
    let mut client = Client::bound();
    client.on(Event::CarrierLost).on(Event::CarrierUp).wait();
    assert_eq!(client.sent(), (Kind::Request, NONE, Some(ADDRESS), To::Everyone));
    client.wait();
    assert_eq!(client.sent(), (Kind::Discover, NONE, Some(ADDRESS), To::Everyone));
    assert_eq!(client.address(), Some(ADDRESS));
    client.answer(Kind::Offer, OTHER).answer(Kind::Ack, OTHER);
    assert_eq!(client.address(), Some(ADDRESS), "until the other one is checked");
    client.probe_out();
    assert_eq!(client.address(), Some(OTHER));
}

#[test]
fn lease_expires_while_the_cable_is_out() {
    let mut client = Client::bound();
    client.on(Event::CarrierLost).wait();
    assert_eq!(client.now, Moment(1000 + HOUR));
    assert_eq!(client.did, [Action::Drop(ADDRESS, Loss::Expired)]);
    client.on(Event::CarrierUp);
    assert_eq!(client.sent(), (Kind::Discover, NONE, Some(ADDRESS), To::Everyone));
}

#[test]
fn rebooted_node_confirms_its_address_and_a_released_one_is_asked_for() {
    let mut client = Client::new(None, Some((ADDRESS, false)));
    client.on(Event::CarrierUp);
    assert_eq!(client.sent(), (Kind::Request, NONE, Some(ADDRESS), To::Everyone));
    assert_eq!(client.address(), None, "not before a server confirms it");
    client.answer(Kind::Ack, ADDRESS);
    assert_eq!(client.did, [Action::Probe(ADDRESS)]);

    let mut client = Client::new(None, Some((ADDRESS, true)));
    client.on(Event::CarrierUp);
    assert_eq!(client.sent(), (Kind::Discover, NONE, Some(ADDRESS), To::Everyone));
}

#[test]
fn restarted_service_uses_the_lease_that_it_finds() {
    let held = Client::bound().machine.lease(Moment(2000)).cloned();
    let mut client = Client::new(held.clone(), None);
    assert_eq!(client.address(), Some(ADDRESS));
    client.on(Event::CarrierUp);
    assert_eq!(client.sent(), (Kind::Request, NONE, Some(ADDRESS), To::Everyone));

    let mut late = Client::new(held, None);
    late.now = Moment(HOUR * 2);
    assert_eq!(late.address(), None);
    late.on(Event::CarrierUp);
    assert_eq!(late.did[0], Action::Drop(ADDRESS, Loss::Expired));
    assert_eq!(late.sent().0, Kind::Discover);
}

#[test]
fn address_that_another_host_has_is_declined() {
    let mut client = Client::new(None, None);
    client.on(Event::CarrierUp).answer(Kind::Offer, ADDRESS).answer(Kind::Ack, ADDRESS);
    client.on(Event::Conflict(OTHER));
    assert!(client.did.is_empty(), "somebody else's address");
    client.on(Event::Conflict(ADDRESS));
    assert_eq!(client.sent(), (Kind::Decline, NONE, Some(ADDRESS), To::Everyone));
    let before = client.now;
    client.wait();
    assert_eq!(before.until(client.now), AFTER_DECLINE);
    assert_eq!(client.sent(), (Kind::Discover, NONE, None, To::Everyone));
}

#[test]
fn leaving_node_releases_and_stays_silent() {
    let mut client = Client::bound();
    client.on(Event::Release);
    assert_eq!(client.sent(), (Kind::Release, ADDRESS, None, TO_SERVER));
    assert_eq!(client.did[1], Action::Drop(ADDRESS, Loss::Released));
    assert_eq!((client.address(), client.machine.deadline()), (None, None));
    client.on(Event::CarrierUp);
    assert!(client.did.is_empty());
}

#[test]
fn answers_to_others_are_ignored() {
    let mut client = Client::new(None, None);
    client.on(Event::CarrierUp);
    let change: [fn(&mut Message); 5] = [
        |m| m.xid = 8,
        |m| m.chaddr = [9; 6],
        |m| m.op = super::super::message::REQUEST,
        |m| m.yiaddr = Ipv4Addr::BROADCAST,
        |m| m.options.set(options::SERVER, vec![]),
    ];
    for change in change {
        let mut message = answer(Kind::Offer, ADDRESS, 3600);
        change(&mut message);
        client.on(Event::Received(message));
        assert!(client.did.is_empty());
    }
    client.answer(Kind::Offer, ADDRESS);
    let mut other = answer(Kind::Ack, ADDRESS, 3600);
    other.options.set(options::SERVER, OTHER.octets().to_vec());
    client.on(Event::Received(other));
    assert_eq!(client.phase(), "requesting", "another server than the chosen one");
}

#[test]
fn acknowledgement_that_grants_nothing_is_no_answer() {
    let mut client = Client::new(None, None);
    client.on(Event::CarrierUp).answer(Kind::Offer, ADDRESS);
    client.on(Event::Received(answer(Kind::Ack, ADDRESS, 0)));
    assert_eq!(client.phase(), "requesting");
}

#[test]
fn lease_without_end_is_never_renewed() {
    let mut client = Client::new(None, None);
    client.on(Event::CarrierUp).answer(Kind::Offer, ADDRESS);
    client.on(Event::Received(answer(Kind::Ack, ADDRESS, u32::MAX))).probe_out();
    assert_eq!((client.address(), client.machine.deadline()), (Some(ADDRESS), None));
}

fn event() -> impl Strategy<Value = Event> {
    let kinds = [Kind::Offer, Kind::Ack, Kind::Nak, Kind::Discover];
    let addresses = [ADDRESS, OTHER, NONE];
    let message = (0..kinds.len(), 0..addresses.len(), 0u32..40, any::<bool>(), any::<bool>());
    prop_oneof![
        2 => Just(Event::CarrierUp),
        1 => Just(Event::CarrierLost),
        6 => Just(Event::Timeout),
        1 => Just(Event::Conflict(ADDRESS)),
        8 => message.prop_map(move |(kind, address, seconds, odd, anonymous)| {
            let mut message = answer(kinds[kind], addresses[address], seconds * 10);
            if odd {
                message.options.set(options::T2, (seconds * 9).to_be_bytes().to_vec());
                message.options.set(options::T1, 3u32.to_be_bytes().to_vec());
            }
            if anonymous {
                message.options.set(options::SERVER, vec![]);
            }
            Event::Received(message)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happens: no panic; the node is told of every beginning and end of a lease; what it
    /// was told to use is exactly what the machine says, and never past its end; a client with a
    /// carrier always has something due or is bound for ever; time is never wasted in a busy loop.
    #[test]
    fn no_sequence_of_events_uses_a_lease_past_its_end(
        steps in prop::collection::vec((event(), 0u64..100_000, any::<u64>(), any::<bool>()), 1..120),
    ) {
        let params = Params { hardware: MAC, hostname: Some("node".into()) };
        let mut machine = Machine::new(params, None, None);
        let mut now = Moment(0);
        let mut told: Option<Lease> = None;
        for (mut event, pause, entropy, to_deadline) in steps {
            let deadline = machine.deadline();
            if to_deadline {
                now = now.max(deadline.unwrap_or(now));
                event = Event::Timeout;
            } else {
                // The loop never sleeps past a deadline.
                now = (now + Duration::from_millis(pause)).min(deadline.unwrap_or(Moment(u64::MAX)).max(now));
            }
            let is_timeout = event == Event::Timeout;
            if let Event::Received(message) = &mut event {
                message.xid = xid_of(&machine).unwrap_or(message.xid);
            }
            let (next, actions) = machine.step(event, now, entropy);
            machine = next;
            for action in actions {
                match action {
                    Action::Use(lease) => {
                        prop_assert!(lease.is_valid(now));
                        told = Some(lease);
                    }
                    Action::Drop(address, Loss::Conflict) => {
                        prop_assert!(told.as_ref().is_none_or(|lease| lease.address != address));
                    }
                    Action::Drop(address, _) => {
                        prop_assert_eq!(told.take().map(|lease| lease.address), Some(address));
                    }
                    Action::Send(message, To::Server { from, .. }) => {
                        prop_assert_eq!(Some(from), told.as_ref().map(|lease| lease.address));
                        prop_assert!(message.encode().len() <= 1472);
                    }
                    Action::Send(..) | Action::Probe(_) => {}
                }
            }
            prop_assert_eq!(machine.lease(now), told.as_ref());
            prop_assert!(told.as_ref().is_none_or(|lease| lease.is_valid(now)));
            if machine.phase() != "no carrier" && machine.phase() != "bound" {
                let due = machine.deadline();
                prop_assert!(due.is_some_and(|due| due >= now), "{machine:?} at {now:?}");
                // A deadline that was served moves on, or the loop would spin.
                prop_assert!(!is_timeout || due.is_some_and(|due| due > now), "{machine:?}");
            }
        }
    }
}

fn xid_of(machine: &Machine) -> Option<u32> {
    match &machine.state {
        State::Selecting(e) | State::Requesting(e, ..) | State::Rebooting(e, _) => Some(e.xid),
        State::Renewing(e) | State::Rebinding(e) => Some(e.xid),
        _ => None,
    }
}

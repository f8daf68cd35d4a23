//! Rounds against servers on loopback, with a model of the clock: what a node would do whose
//! servers are good, silent, tired of it, or wildly wrong.

use std::net::UdpSocket;
use std::thread::JoinHandle;

use super::*;
use crate::time::clock::{ModelClock, NANOS, SystemClock};
use crate::time::packet;

const MS: i64 = 1_000_000;
const BUILT: i64 = 1_700_000_000 * NANOS;
const HOUR: i64 = 3_600 * NANOS;

/// How a server of these tests answers; they all listen on one port and loopback addresses of
/// their own, as servers of the world listen on port 123.
#[derive(Clone, Copy)]
enum Manner {
    /// With the machine's time and this much more.
    WrongBy(i64),
    Kiss(&'static [u8; 4]),
    Unsynchronised,
    /// First with an answer to a question that nobody asked, then with the right time.
    AfterAForgery,
    Silent,
}

struct World {
    folder: tempfile::TempDir,
    servers: Vec<Server>,
    port: u16,
}

struct Server {
    stop: std::sync::mpsc::Sender<()>,
    thread: Option<JoinHandle<usize>>,
}

impl World {
    /// One server for each manner, on 127.0.0.2 and on.
    fn with(manners: &[Manner]) -> Self {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let servers = manners.iter().zip(2..).map(|(manner, n)| {
            let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, n], port))).unwrap();
            Server::start(socket, *manner)
        });
        Self { servers: servers.collect(), port, folder: tempfile::tempdir().unwrap() }
    }

    fn daemon(&self, clock: ModelClock) -> Daemon<ModelClock> {
        let configured = (0..self.servers.len()).map(|n| format!("127.0.0.{}", n + 2)).collect();
        self.daemon_with(clock, configured, 53)
    }

    fn daemon_with(
        &self,
        clock: ModelClock,
        configured: Vec<String>,
        dns_port: u16,
    ) -> Daemon<ModelClock> {
        let place = |name| self.folder.path().join(name);
        let places = Places {
            network: place("network.json"),
            resolv_conf: place("resolv.conf"),
            saved: place("time"),
            rtc: place("rtc"),
            ntp_port: self.port,
            dns_port,
        };
        Daemon::new(clock, Wakeups::default(), places, configured, BUILT)
    }

    /// How many questions each server got.
    fn questions(mut self) -> Vec<usize> {
        let stop = |server: &mut Server| {
            server.stop.send(()).unwrap();
            server.thread.take().unwrap().join().unwrap()
        };
        self.servers.iter_mut().map(stop).collect()
    }
}

impl Server {
    fn start(socket: UdpSocket, manner: Manner) -> Self {
        let (stop, stopped) = std::sync::mpsc::channel();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let thread = std::thread::spawn(move || {
            let mut questions = 0;
            let mut buffer = [0; 100];
            while stopped.try_recv().is_err() {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                assert_eq!(length, packet::LENGTH);
                questions += 1;
                for answer in answers(&buffer[..length], manner) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
            questions
        });
        Self { stop, thread: Some(thread) }
    }
}

fn answers(question: &[u8], manner: Manner) -> Vec<Vec<u8>> {
    let now = SystemClock.now();
    let right = packet::server_answer(question, 2, now, now);
    match manner {
        Manner::WrongBy(offset) => {
            vec![packet::server_answer(question, 2, now + offset, now + offset)]
        }
        Manner::Kiss(code) => {
            let mut kiss = packet::server_answer(question, 0, now, now);
            kiss[12..16].copy_from_slice(code);
            vec![kiss]
        }
        Manner::Unsynchronised => vec![packet::server_answer(question, 16, now, now)],
        Manner::AfterAForgery => {
            let forged = packet::server_answer(&[9; 48], 2, now + HOUR, now + HOUR);
            vec![forged, b"x".to_vec(), right]
        }
        Manner::Silent => vec![],
    }
}

/// Within what a busy machine may add to an exchange on loopback.
fn is_right(clock: &ModelClock) -> bool {
    clock.wrong_by.abs() < 400 * MS
}

#[test]
fn a_clock_in_1970_is_set_by_the_first_round_and_saved() {
    let world = World::with(&[Manner::WrongBy(0), Manner::WrongBy(0), Manner::WrongBy(0)]);
    let mut daemon = world.daemon(ModelClock::in_1970());
    assert_eq!(daemon.round(), Ok(Duration::from_secs(64)));
    assert!(is_right(&daemon.clock) && daemon.clock.is_synchronised());
    assert_eq!(daemon.clock.steps.len(), 1);
    let saved = saved::read(&world.folder.path().join("time")).expect("saved at once");
    assert!((saved - SystemClock.now()).abs() < 60 * NANOS);
    assert_eq!(daemon.status, "synchronised with 3 of 3 servers");
}

#[test]
fn later_rounds_slew_what_is_small() {
    let world = World::with(&[Manner::WrongBy(200 * MS)]);
    let mut clock = ModelClock::wrong_by(0);
    clock.synchronised = true;
    let mut daemon = world.daemon(clock);
    daemon.round().unwrap();
    assert!(daemon.clock.steps.is_empty());
    assert_eq!(daemon.clock.slews.len(), 1);
    assert!((daemon.clock.slews[0] - 200 * MS).abs() < 100 * MS);
}

#[test]
fn a_wildly_wrong_server_is_outvoted_by_two_good_ones() {
    let century = 100 * 365 * 24 * HOUR;
    for wrong in [-century / 2, -HOUR, HOUR, century] {
        let world = World::with(&[Manner::WrongBy(0), Manner::WrongBy(wrong), Manner::WrongBy(0)]);
        let mut daemon = world.daemon(ModelClock::in_1970());
        daemon.round().unwrap();
        assert!(is_right(&daemon.clock), "{wrong}: {}", daemon.clock.wrong_by);
    }
}

#[test]
fn a_server_in_1970_cannot_take_the_clock_there() {
    let world = World::with(&[Manner::WrongBy(-SystemClock.now())]);
    let mut daemon = world.daemon(ModelClock::wrong_by(0));
    assert_eq!(daemon.round(), Ok(Duration::from_secs(8)));
    assert!(daemon.clock.steps.is_empty() && daemon.clock.slews.is_empty());
    assert_eq!(
        daemon.status,
        "not synchronised: the servers show a time before this image was built"
    );
}

#[test]
fn silent_and_unsynchronised_servers_move_nothing_and_are_asked_less_and_less() {
    let world = World::with(&[Manner::Silent, Manner::Unsynchronised]);
    let mut daemon = world.daemon(ModelClock::in_1970());
    assert_eq!(daemon.round(), Ok(Duration::from_secs(8)));
    assert_eq!(daemon.round(), Ok(Duration::from_secs(16)));
    assert!(daemon.clock.steps.is_empty() && !daemon.clock.is_synchronised());
    assert_eq!(daemon.status, "not synchronised: none of 2 servers gave the time");
    assert_eq!(world.questions(), [2, 2]);
}

#[test]
fn a_server_that_says_no_is_not_asked_again() {
    let world = World::with(&[Manner::Kiss(b"DENY"), Manner::Kiss(b"RATE"), Manner::WrongBy(0)]);
    let mut daemon = world.daemon(ModelClock::in_1970());
    for _ in 0..3 {
        daemon.round().unwrap();
    }
    assert!(is_right(&daemon.clock));
    assert_eq!(world.questions(), [1, 1, 3]);
}

#[test]
fn a_forged_answer_does_not_count() {
    let world = World::with(&[Manner::AfterAForgery]);
    let mut daemon = world.daemon(ModelClock::in_1970());
    daemon.round().unwrap();
    assert!(is_right(&daemon.clock));
}

#[test]
fn nobody_at_the_address_is_noticed_at_once() {
    let world = World::with(&[]);
    let mut daemon = world.daemon_with(ModelClock::in_1970(), vec!["127.0.0.9".into()], 53);
    let began = Instant::now();
    assert_eq!(daemon.round(), Ok(Duration::from_secs(8)));
    assert!(began.elapsed() < exchange::NTP_PATIENCE, "a refusal ends the wait");
}

#[test]
fn servers_are_found_by_name_and_from_dhcp() {
    let world = World::with(&[Manner::WrongBy(0), Manner::WrongBy(0)]);
    let resolver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns_port = resolver.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let addresses = [IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 3])];
        for _ in 0..2 {
            let mut buffer = [0; 600];
            let (length, from) = resolver.recv_from(&mut buffer).unwrap();
            resolver.send_to(&dns::server_answer(&buffer[..length], &addresses), from).unwrap();
        }
    });
    let folder = world.folder.path();
    fs::write(folder.join("network.json"), r#"{"ntp": ["ntp.example"]}"#).unwrap();
    // The first name server is not there.
    fs::write(folder.join("resolv.conf"), "nameserver 127.0.0.77\nnameserver 127.0.0.1\n").unwrap();
    let mut daemon = world.daemon_with(ModelClock::in_1970(), vec![], dns_port);
    daemon.round().unwrap();
    answering.join().unwrap();
    assert!(is_right(&daemon.clock));
    assert_eq!(daemon.status, "synchronised with 2 of 2 servers");
}

#[test]
fn a_stop_saves_the_time_and_ends_the_service() {
    let world = World::with(&[Manner::Silent]);
    let mut daemon = world.daemon(ModelClock::wrong_by(0));
    daemon.wakeups = Wakeups::stopped();
    daemon.run();
    assert!(saved::read(&world.folder.path().join("time")).is_some());
}

#[test]
fn a_network_that_comes_late_is_worth_a_round_and_one_that_stays_is_not() {
    let world = World::with(&[Manner::WrongBy(0)]);
    let mut daemon = world.daemon_with(ModelClock::in_1970(), vec![], 53);
    assert_eq!(daemon.round(), Ok(Duration::from_secs(8)));
    assert_eq!(daemon.status, "not synchronised: no server is known");
    assert!(daemon.is_worth_a_round(), "while nobody answers, any change is");
    fs::write(world.folder.path().join("network.json"), r#"{"ntp": ["127.0.0.2"]}"#).unwrap();
    daemon.round().unwrap();
    assert!(is_right(&daemon.clock) && !daemon.is_worth_a_round());
    fs::write(world.folder.path().join("network.json"), r#"{"ntp": ["127.0.0.3"]}"#).unwrap();
    assert!(daemon.is_worth_a_round());
}

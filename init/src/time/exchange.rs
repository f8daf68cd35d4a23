//! Sends questions by UDP and collects the answers: of NTP servers, all at once, and of name
//! servers. Thin: what the bytes mean is decided in `packet` and `dns`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rustix::rand::{GetRandomFlags, getrandom};

use super::clock::Clock;
use super::dns::{self, Family};
use super::packet::{self, Answer};
use super::select::Sample;
use super::sources::Outcome;
use super::wakeups::{Stopped, Wakeups};

/// Answers of NTP servers that take longer are useless: their delay is their error.
pub(crate) const NTP_PATIENCE: Duration = Duration::from_secs(3);
/// How long one name server may take for one name.
pub(crate) const DNS_PATIENCE: Duration = Duration::from_secs(2);
/// A datagram without extensions that we did not ask for.
const DATAGRAM: usize = 1232;

struct Pending {
    socket: UdpSocket,
    place: usize,
    cookie: u64,
    sent: i64,
}

/// Asks every server at `addresses` for the time; one outcome for each, in their order.
/// `pivot` is a time near the present, in nanoseconds since 1970.
pub(crate) fn ask_time(
    addresses: &[SocketAddr],
    clock: &impl Clock,
    pivot: i64,
    wakeups: &mut Wakeups,
) -> Result<Vec<Outcome>, Stopped> {
    let deadline = Instant::now() + NTP_PATIENCE;
    let mut outcomes = vec![Outcome::Silent; addresses.len()];
    // Whom we cannot even send to is silent.
    let send = |(place, address): (usize, &SocketAddr)| send_time(place, *address, clock).ok();
    let mut pending: Vec<Pending> = addresses.iter().enumerate().filter_map(send).collect();
    while !pending.is_empty() {
        let sockets: Vec<&UdpSocket> = pending.iter().map(|pending| &pending.socket).collect();
        let ready = wakeups.readable(&sockets, deadline)?;
        if ready.is_empty() {
            break;
        }
        for n in ready.into_iter().rev() {
            let asked = &pending[n];
            if let Some(outcome) = receive_time(asked, clock, pivot) {
                outcomes[asked.place] = outcome;
                pending.swap_remove(n);
            }
        }
    }
    Ok(outcomes)
}

fn send_time(place: usize, address: SocketAddr, clock: &impl Clock) -> io::Result<Pending> {
    let socket = connect(address)?;
    let mut cookie = [0; 8];
    getrandom(&mut cookie, GetRandomFlags::empty())?;
    let cookie = u64::from_ne_bytes(cookie);
    let sent = clock.now();
    socket.send(&packet::request(cookie))?;
    Ok(Pending { socket, place, cookie, sent })
}

/// `None` when what came was no answer to our question: a forger must not end the wait.
fn receive_time(asked: &Pending, clock: &impl Clock, pivot: i64) -> Option<Outcome> {
    let mut buffer = [0; DATAGRAM];
    let length = match asked.socket.recv(&mut buffer) {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
        // The host or a router said that nobody is there.
        Err(_) => return Some(Outcome::Silent),
    };
    let returned = clock.now();
    Some(match packet::parse(buffer.get(..length)?, asked.cookie, pivot)? {
        Answer::Time { received, sent, root_distance } => {
            Outcome::Sample(Sample::new(asked.sent, received, sent, returned, root_distance))
        }
        Answer::Kiss(code) => Outcome::Kiss(code),
        Answer::Unfit(why) => Outcome::Unfit(why),
    })
}

/// The addresses of `name`, both families, from the first of `name_servers` that answers.
pub(crate) fn look_up(
    name: &str,
    name_servers: &[SocketAddr],
    wakeups: &mut Wakeups,
) -> Result<Vec<IpAddr>, Stopped> {
    for server in name_servers {
        let found = ask_addresses(name, *server, wakeups)?;
        if let Some(found) = found.filter(|found| !found.is_empty()) {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// `None` when the name server did not answer.
fn ask_addresses(
    name: &str,
    server: SocketAddr,
    wakeups: &mut Wakeups,
) -> Result<Option<Vec<IpAddr>>, Stopped> {
    let deadline = Instant::now() + DNS_PATIENCE;
    let Ok((socket, mut asked)) = send_questions(name, server) else { return Ok(None) };
    let mut found = None::<Vec<IpAddr>>;
    while !asked.is_empty() {
        if wakeups.readable(&[&socket], deadline)?.is_empty() {
            break;
        }
        let mut buffer = [0; DATAGRAM];
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => break,
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        let answered = asked.iter().enumerate().find_map(|(n, id)| {
            let addresses = dns::answer(bytes, *id, name)?;
            Some((n, addresses))
        });
        if let Some((n, addresses)) = answered {
            asked.swap_remove(n);
            found.get_or_insert_default().extend(addresses);
        }
    }
    Ok(found)
}

/// A socket on which `name` was asked for in both families, and the questions' ids.
fn send_questions(name: &str, server: SocketAddr) -> io::Result<(UdpSocket, Vec<u16>)> {
    let socket = connect(server)?;
    let mut random = [0; 2];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let first = u16::from_ne_bytes(random);
    let mut ids = Vec::new();
    for (id, family) in [(first, Family::V4), (first.wrapping_add(1), Family::V6)] {
        let question = dns::question(id, name, family).ok_or(io::ErrorKind::InvalidInput)?;
        socket.send(&question)?;
        ids.push(id);
    }
    Ok((socket, ids))
}

/// Whether there is a route there. Nothing is sent.
pub(crate) fn is_reachable(address: SocketAddr) -> bool {
    connect(address).is_ok()
}

/// A socket of its own for each peer: the kernel drops what others send, and reports refusals.
fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(address)?;
    Ok(socket)
}

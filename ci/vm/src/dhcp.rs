//! A DHCPv4 server on a link whose far end is the scenario: silent until it is told to answer.
//!
//! Must never answer anyone but the machine it was made for. RFC 2131, and RFC 791 for the frames.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The address that the server gives.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
const LEASE_SECONDS: u32 = 600;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// A server for one machine; it ends with its owner.
pub struct Server {
    port: u16,
    machine_port: u16,
    answers: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    asked: Mutex<Receiver<()>>,
}

impl Server {
    /// Listens for the machine with that hardware address.
    pub fn listen(client: [u8; 6]) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = socket.local_addr()?.port();
        // QEMU binds this one itself, so it is found free and let go.
        let machine_port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let (answers, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (asked_sender, asked) = channel();
        let (may_answer, must_end) = (Arc::clone(&answers), Arc::clone(&ended));
        std::thread::spawn(move || {
            serve(&socket, client, machine_port, &may_answer, &must_end, &asked_sender);
        });
        Ok(Self { port, machine_port, answers, ended, asked: Mutex::new(asked) })
    }

    /// The port to which QEMU sends.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port from which QEMU sends.
    pub fn machine_port(&self) -> u16 {
        self.machine_port
    }

    /// True once the machine has asked for an address.
    pub fn wait_for_discover(&self, wait: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.recv_timeout(wait).is_ok()
    }

    /// Ends the silence.
    pub fn answer_from_now_on(&self) {
        self.answers.store(true, Ordering::Relaxed);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn serve(
    socket: &UdpSocket,
    client: [u8; 6],
    machine_port: u16,
    answers: &AtomicBool,
    ended: &AtomicBool,
    asked: &Sender<()>,
) {
    let mut frame = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        let Ok((length, _)) = socket.recv_from(&mut frame) else { continue };
        let Some(question) = parse(&frame[..length], client) else { continue };
        // Decided first: whoever hears of the question may then end the silence for the next one.
        let may_answer = answers.load(Ordering::Relaxed);
        if question.kind == DISCOVER {
            // Nobody may be waiting any more.
            let _ = asked.send(());
        }
        if may_answer {
            // A lost answer is the network's right: the client asks again.
            let _ = socket.send_to(&answer(&question), (Ipv4Addr::LOCALHOST, machine_port));
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Question {
    kind: u8,
    transaction: [u8; 4],
    client: [u8; 6],
}

/// A discover or request of `client`, from an Ethernet frame.
fn parse(frame: &[u8], client: [u8; 6]) -> Option<Question> {
    let ip = frame.strip_prefix(frame.get(..12)?)?.strip_prefix(&[0x08, 0x00])?;
    let header = usize::from(ip.first()? & 0x0f) * 4;
    let udp = (*ip.get(9)? == 17).then(|| ip.get(header..))??;
    let bootp = (udp.get(2..4)? == [0, 67]).then(|| udp.get(8..))??;
    if bootp.get(28..34)? != client || bootp.get(236..240)? != MAGIC {
        return None;
    }
    let kind = option(bootp.get(240..)?, 53)?.first().copied()?;
    matches!(kind, DISCOVER | REQUEST).then_some(())?;
    Some(Question { kind, transaction: bootp.get(4..8)?.try_into().ok()?, client })
}

const MAGIC: [u8; 4] = [99, 130, 83, 99];

fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            [255, ..] | [] | [_] => return None,
            [code, length, rest @ ..] => {
                let (value, after) = rest.split_at_checked(usize::from(*length))?;
                if *code == wanted {
                    return Some(value);
                }
                options = after;
            }
        }
    }
}

/// The Ethernet frame that answers a question.
fn answer(question: &Question) -> Vec<u8> {
    let mut bootp = vec![2, 1, 6, 0];
    bootp.extend(question.transaction);
    bootp.extend([0; 8]);
    bootp.extend(ADDRESS.octets());
    bootp.extend(GATEWAY.octets());
    bootp.extend([0; 4]);
    bootp.extend(question.client);
    bootp.resize(236, 0);
    bootp.extend(MAGIC);
    let kind = if question.kind == DISCOVER { OFFER } else { ACK };
    let options: [(u8, &[u8]); 6] = [
        (53, &[kind]),
        (54, &GATEWAY.octets()),
        (51, &LEASE_SECONDS.to_be_bytes()),
        (1, &[255, 255, 255, 0]),
        (3, &GATEWAY.octets()),
        (6, &NAME_SERVER.octets()),
    ];
    for (code, value) in options {
        bootp.extend([code, value.len() as u8]);
        bootp.extend(value);
    }
    bootp.push(255);

    let mut udp = vec![0, 67, 0, 68];
    udp.extend((bootp.len() as u16 + 8).to_be_bytes());
    // A checksum of zero says that there is none.
    udp.extend([0, 0]);
    udp.extend(bootp);

    let mut ip = vec![0x45, 0];
    ip.extend((udp.len() as u16 + 20).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(GATEWAY.octets());
    ip.extend(Ipv4Addr::BROADCAST.octets());
    let checksum = internet_checksum(&ip);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    ip.extend(udp);

    let mut frame = question.client.to_vec();
    frame.extend([0x52, 0x54, 0, 0, 0, 1, 0x08, 0x00]);
    frame.extend(ip);
    frame
}

/// RFC 1071, over an even number of bytes.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 9];

    /// A client's frame: an answer turned round.
    fn question_frame(kind: u8) -> Vec<u8> {
        let question = Question { kind, transaction: [1, 2, 3, 4], client: CLIENT };
        let mut frame = answer(&question);
        frame[14 + 20 + 2..14 + 20 + 4].copy_from_slice(&[0, 67]);
        let kind_at = 14 + 20 + 8 + 240 + 2;
        frame[kind_at] = kind;
        frame
    }

    #[test]
    fn discover_and_request_are_understood() {
        for kind in [DISCOVER, REQUEST] {
            let question = Question { kind, transaction: [1, 2, 3, 4], client: CLIENT };
            assert_eq!(parse(&question_frame(kind), CLIENT), Some(question));
        }
    }

    #[test]
    fn other_machines_other_messages_and_short_frames_are_left_alone() {
        let frame = question_frame(DISCOVER);
        assert_eq!(parse(&frame, [2, 0, 0, 0, 0, 8]), None);
        assert_eq!(parse(&question_frame(7), CLIENT), None);
        for length in 0..frame.len() - 50 {
            assert_eq!(parse(&frame[..length], CLIENT), None, "{length} bytes");
        }
    }

    #[test]
    fn an_answers_header_checks_out_and_carries_the_address() {
        let question = Question { kind: REQUEST, transaction: [1, 2, 3, 4], client: CLIENT };
        let frame = answer(&question);
        assert_eq!(internet_checksum(&frame[14..34]), 0);
        let bootp = &frame[14 + 20 + 8..];
        assert_eq!(bootp[16..20], ADDRESS.octets());
        assert_eq!(option(&bootp[240..], 53), Some(&[ACK][..]));
    }

    #[test]
    fn a_server_is_silent_until_told() {
        let server = Server::listen(CLIENT).unwrap();
        let machine = UdpSocket::bind((Ipv4Addr::LOCALHOST, server.machine_port())).unwrap();
        machine.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let far = (Ipv4Addr::LOCALHOST, server.port());
        machine.send_to(&question_frame(DISCOVER), far).unwrap();
        assert!(server.wait_for_discover(Duration::from_secs(20)));
        server.answer_from_now_on();
        machine.send_to(&question_frame(REQUEST), far).unwrap();
        let mut frame = [0; 2048];
        let length = machine.recv(&mut frame).unwrap();
        let bootp = &frame[14 + 20 + 8..length];
        assert_eq!(option(&bootp[240..], 53), Some(&[ACK][..]), "the discover was answered");
    }
}

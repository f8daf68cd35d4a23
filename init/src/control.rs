//! The control socket: one JSON object a line in, one out. Root only.
//! Carries messages; what they do is the node's. Never blocks: a slow client is
//! dropped.

use crate::clock::Moment;
use rustix::net::sockopt::socket_peercred;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// Where the socket is.
pub(crate) const SOCKET: &str = "/run/holm/control.sock";
const MOST_CONNECTIONS: usize = 8;
const LONGEST_REQUEST: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// How the node is.
    Status {},
    /// Start again, in order.
    Reboot {
        /// Start the slot that is to be tried, where the firmware has to be told.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        trial: bool,
    },
    /// Switch off, in order.
    Poweroff {},
    /// Stop a service and start it again.
    Restart {
        /// Its name.
        service: String,
    },
    /// Holm's last messages.
    Log {
        /// How many.
        #[serde(default = "default_lines")]
        lines: usize,
    },
}

fn default_lines() -> usize {
    50
}

/// Reads a request; the error says what would be right.
pub(crate) fn parse(line: &[u8]) -> Result<Request, String> {
    serde_json::from_slice(line).map_err(|error| {
        format!(
            "cannot read the request: {error}; it must be one of {{\"op\":\"status\"}}, \
             {{\"op\":\"reboot\"}}, {{\"op\":\"reboot\",\"trial\":true}}, {{\"op\":\"poweroff\"}}, \
             {{\"op\":\"restart\",\"service\":NAME}}, {{\"op\":\"log\",\"lines\":NUMBER}}"
        )
    })
}

/// How the node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Status {
    /// Milliseconds since the kernel started.
    pub(crate) uptime_ms: u64,
    /// When the node became ready, in milliseconds since the kernel started.
    pub(crate) ready_ms: Option<u64>,
    /// The phases of the boot that failed, each with its reason.
    pub(crate) failed_phases: Vec<FailedPhase>,
    /// Whether a hardware watchdog is armed.
    pub(crate) watchdog: bool,
    /// Whether the node is on its way down.
    pub(crate) shutting_down: bool,
    /// The services.
    pub(crate) services: Vec<ServiceStatus>,
}

/// A phase of the boot that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailedPhase {
    /// Its name.
    pub(crate) name: String,
    /// Why.
    pub(crate) reason: String,
}

/// How a service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ServiceStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its state in one word.
    pub(crate) state: String,
    /// Its process, while it runs.
    pub(crate) pid: Option<i32>,
    /// How often it was started.
    pub(crate) starts: u32,
    /// How it last ended.
    pub(crate) last_exit: Option<String>,
    /// What it says about itself.
    pub(crate) status: String,
}

struct Connection {
    stream: UnixStream,
    request: Vec<u8>,
    deadline: Moment,
    over: bool,
}

/// The socket and whoever is connected to it.
#[derive(Default)]
pub(crate) struct Control {
    listener: Option<UnixListener>,
    connections: Vec<Connection>,
}

impl Control {
    /// Opens the socket.
    pub(crate) fn open() -> io::Result<Self> {
        let _ = std::fs::remove_file(SOCKET);
        let listener = UnixListener::bind(SOCKET)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: Some(listener), connections: Vec::new() })
    }

    /// The socket, for the poll.
    pub(crate) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(UnixListener::as_fd)
    }

    /// The connections, for the poll.
    pub(crate) fn connections(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.connections.iter().map(|connection| connection.stream.as_fd())
    }

    /// When the next connection has been slow for too long.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.connections.iter().map(|connection| connection.deadline).min()
    }

    /// Lets in who is waiting and is root; turns others away.
    pub(crate) fn accept(&mut self, now: Moment) {
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            let is_root = socket_peercred(&stream).is_ok_and(|peer| peer.uid.is_root());
            let room = self.connections.len() < MOST_CONNECTIONS;
            if is_root && room && stream.set_nonblocking(true).is_ok() {
                let deadline = now + PATIENCE;
                self.connections.push(Connection {
                    stream,
                    request: Vec::new(),
                    deadline,
                    over: false,
                });
            }
        }
    }

    /// The next whole request of a connection, if there is one.
    pub(crate) fn request(&mut self, index: usize, now: Moment) -> Option<Vec<u8>> {
        let connection = self.connections.get_mut(index)?;
        let mut buffer = [0u8; 512];
        match connection.stream.read(&mut buffer) {
            Ok(0) => connection.over = true,
            Ok(length) => connection.request.extend_from_slice(&buffer[..length]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => connection.over = true,
        }
        let end = connection.request.iter().position(|&byte| byte == b'\n');
        if end.is_none() && connection.request.len() > LONGEST_REQUEST {
            connection.over = true;
        }
        let rest = connection.request.split_off(end? + 1);
        connection.deadline = now + PATIENCE;
        Some(std::mem::replace(&mut connection.request, rest))
    }

    /// Answers on a connection. What the socket does not take at once is lost,
    /// and the connection with it.
    pub(crate) fn reply(&mut self, index: usize, mut answer: String) {
        answer.push('\n');
        if let Some(connection) = self.connections.get_mut(index) {
            let written = connection.stream.write(answer.as_bytes());
            connection.over |= written.ok() != Some(answer.len());
        }
    }

    /// Drops who has left or is too slow.
    pub(crate) fn tidy(&mut self, now: Moment) {
        self.connections.retain(|connection| !connection.over && now < connection.deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_of_the_contract_are_read() {
        let read = |text: &str| parse(text.as_bytes()).unwrap();
        assert_eq!(read(r#"{"op":"status"}"#), Request::Status {});
        assert_eq!(read(r#"{"op":"reboot"}"#), Request::Reboot { trial: false });
        assert_eq!(read(r#"{"op":"reboot","trial":true}"#), Request::Reboot { trial: true });
        assert_eq!(read(r#"{"op":"poweroff"}"#), Request::Poweroff {});
        assert_eq!(read(r#"{"op":"log"}"#), Request::Log { lines: 50 });
        assert_eq!(
            read(r#"{"op":"restart","service":"agent"}"#),
            Request::Restart { service: "agent".into() }
        );
    }

    #[test]
    fn wrong_request_is_told_what_would_be_right() {
        let error = parse(br#"{"op":"halt"}"#).unwrap_err();
        assert!(error.contains("halt") && error.contains(r#"{"op":"poweroff"}"#), "{error}");
        assert!(parse(br#"{"op":"reboot","now":true}"#).unwrap_err().contains("now"));
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn request_may_come_in_parts_and_several_at_once() {
        let (mut client, stream) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let now = Moment(1000);
        let mut control = Control::default();
        let request = Vec::new();
        control.connections.push(Connection { stream, request, deadline: now, over: false });
        client.write_all(b"on").unwrap();
        assert_eq!(control.request(0, now), None);
        client.write_all(b"e\ntwo\n").unwrap();
        assert_eq!(control.request(0, now), Some(b"one\n".to_vec()));
        assert_eq!(control.request(0, now), Some(b"two\n".to_vec()));
        control.reply(0, "done".into());
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"done\n");
    }

    #[test]
    fn silent_client_and_endless_request_are_dropped() {
        let (mut client, stream) = UnixStream::pair().unwrap();
        let (_idle, silent) = UnixStream::pair().unwrap();
        let now = Moment(1000);
        let mut control = Control::default();
        for stream in [stream, silent] {
            stream.set_nonblocking(true).unwrap();
            let deadline = now + PATIENCE;
            control.connections.push(Connection {
                stream,
                request: Vec::new(),
                deadline,
                over: false,
            });
        }
        client.write_all(&[b'x'; LONGEST_REQUEST + 512]).unwrap();
        for _ in 0..4 {
            assert_eq!(control.request(0, now), None);
        }
        control.tidy(now);
        assert_eq!(control.connections.len(), 1);
        control.tidy(now + PATIENCE);
        assert!(control.connections.is_empty());
    }

    proptest! {
        #[test]
        fn any_request_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }
    }
}

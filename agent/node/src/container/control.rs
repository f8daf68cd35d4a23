//! What the agent and a shim say to each other: one JSON line there, one back.
//!
//! Both ends are ours and the folder is root's alone, so nothing is versioned beyond JSON's own
//! tolerance; a silent peer costs [`PATIENCE`], never more.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How long a shim waits for the rest of an order.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How long the agent waits for an answer: a start reads the program from a slow card.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
const MAX_MESSAGE_BYTES: u64 = 64 * 1024;

/// An order to a shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Start the container.
    Start,
    /// Send a signal.
    Signal {
        /// Its number.
        number: i32,
        /// To every process, not only the first.
        all: bool,
    },
}

/// Why a shim could not do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The configuration can never work.
    pub invalid: bool,
    /// For a person, with all causes.
    pub text: String,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = if failure.invalid { ErrorKind::InvalidInput } else { ErrorKind::Other };
        Error::new(kind, failure.text)
    }
}

/// A shim's answer.
pub type Answer<T> = Result<T, Failure>;

/// Sends an order to the shim that listens at `socket`, and waits for the answer.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` when no shim listens; `TimedOut`; the shim's own failure.
pub fn order(socket: &Path, request: &Request) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    send(&mut stream, request)?;
    receive::<Answer<()>>(&mut stream)?.map_err(Error::from)
}

/// Writes one message.
///
/// # Errors
/// The peer is gone, or takes nothing.
pub fn send<T: Serialize>(mut stream: impl Write, message: &T) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    stream.flush()
}

/// Reads one message.
///
/// # Errors
/// `TimedOut`, `UnexpectedEof`, or `InvalidData`.
pub fn receive<T: DeserializeOwned>(stream: impl Read) -> std::io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_MESSAGE_BYTES)).read_until(b'\n', &mut line).map_err(
        |error| match error.kind() {
            // What a socket's timeout looks like.
            ErrorKind::WouldBlock => Error::new(ErrorKind::TimedOut, "no answer in time"),
            _ => error,
        },
    )?;
    if line.is_empty() {
        return Err(Error::new(ErrorKind::UnexpectedEof, "the shim ended without an answer"));
    }
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn answered(answer: &Answer<()>) -> std::io::Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let request: Request = receive(&mut stream).unwrap();
                assert_eq!(request, Request::Signal { number: 15, all: true });
                send(&mut stream, answer).unwrap();
            });
            order(&socket, &Request::Signal { number: 15, all: true })
        })
    }

    #[test]
    fn an_order_is_answered() {
        answered(&Ok(())).unwrap();
    }

    #[test]
    fn a_failure_comes_back_with_its_text_and_kind() {
        let failure = |invalid| Failure { invalid, text: "because".into() };
        let error = answered(&Err(failure(true))).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::InvalidInput, "because")
        );
        assert_eq!(answered(&Err(failure(false))).unwrap_err().kind(), ErrorKind::Other);
    }

    #[test]
    fn nobody_there_and_nothing_said_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let error = order(&dir.path().join("s"), &Request::Start).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = receive::<Request>(&b""[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let error = receive::<Request>(&b"nonsense\n"[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}

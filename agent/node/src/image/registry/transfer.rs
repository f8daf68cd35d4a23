//! The body of an answer, as long as it makes progress.
//!
//! Must never wait longer for a drip than for silence.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use ureq::BodyReader;

use super::RegistryError;
use super::session::Session;

pub(super) struct Transfer {
    pub url: String,
    reader: BodyReader<'static>,
    /// Time spent waiting for the network, and what came in it: the disk's time does not count.
    waited: Duration,
    received: u64,
}

impl Transfer {
    pub fn new(url: String, reader: BodyReader<'static>) -> Self {
        Self { url, reader, waited: Duration::ZERO, received: 0 }
    }

    /// Reads some bytes; none at the end.
    pub fn receive(
        &mut self,
        session: &Session<'_>,
        buf: &mut [u8],
    ) -> Result<usize, RegistryError> {
        if session.cancel.is_cancelled() {
            return Err(RegistryError::Cancelled);
        }
        let started = Instant::now();
        let n = loop {
            match self.reader.read(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(|e| self.body_error(e))?,
            }
        };
        self.waited += started.elapsed();
        self.received += n as u64;
        let time = session.stall_timeout();
        if n > 0 && self.waited >= time {
            let seconds = time.as_secs().max(1);
            let bytes = session.limits.slowest_bytes_per_second.saturating_mul(seconds);
            if self.received < bytes {
                return Err(RegistryError::Stalled { url: self.url.clone(), bytes, seconds });
            }
            (self.waited, self.received) = (Duration::ZERO, 0);
        }
        Ok(n)
    }

    /// The whole body, or the first `limit` bytes of it.
    pub fn collect(&mut self, session: &Session<'_>, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while (bytes.len() as u64) < limit {
            let left = usize::try_from(limit - bytes.len() as u64).unwrap_or(usize::MAX);
            let want = buffer.len().min(left);
            match self.receive(session, &mut buffer[..want])? {
                0 => break,
                n => bytes.extend_from_slice(&buffer[..n]),
            }
        }
        Ok(bytes)
    }

    pub fn body_error(&self, source: io::Error) -> RegistryError {
        RegistryError::Body { url: self.url.clone(), source }
    }
}

//! A blob as a stream that goes on after interruptions: where a connection breaks or stalls, the
//! rest is asked for, of the same endpoint or the next.
//!
//! Must never give more than the announced length, and never end early without an error.

use std::io::{self, Read};

use crate::image::manifest::Descriptor;

use super::RegistryError;
use super::session::{Session, text, worse};
use super::transfer::Transfer;

/// Less than this between two interruptions is no progress: a registry may not hold a pull for ever
/// by giving a byte for each connection.
const PROGRESS: u64 = 16 * 1024;

/// A blob that is being read.
pub(crate) struct Blob<'s> {
    session: &'s Session<'s>,
    path: String,
    size: u64,
    offset: u64,
    endpoint: usize,
    body: Option<Transfer>,
    /// Attempts since `progress_at`.
    failures: u32,
    progress_at: u64,
    /// Endpoints that do not have it.
    refused: Vec<bool>,
    /// What went wrong so far, the most telling of it.
    worst: RegistryError,
    /// Why the stream ended.
    failed: Option<RegistryError>,
}

impl<'s> Blob<'s> {
    /// Starts at `endpoint`, the one that has served so far.
    pub fn new(
        session: &'s Session<'s>,
        repository: &str,
        blob: &Descriptor,
        endpoint: usize,
    ) -> Self {
        Self {
            session,
            path: format!("{repository}/blobs/{}", blob.digest),
            size: blob.size,
            offset: 0,
            endpoint,
            body: None,
            failures: 0,
            progress_at: 0,
            refused: vec![false; session.endpoints()],
            worst: RegistryError::Cancelled,
            failed: None,
        }
    }

    /// Why reading failed, and the endpoint that was asked last.
    pub fn into_failure(self) -> (Option<RegistryError>, usize) {
        (self.failed, self.endpoint)
    }

    fn open(&mut self) -> Result<Transfer, RegistryError> {
        let from = (self.offset > 0).then_some(self.offset);
        let answer = self.session.get(self.endpoint, &self.path, "*/*", from)?;
        let url = answer.url;
        let partial = match (answer.response.status().as_u16(), from) {
            (206, Some(offset)) => {
                let range = text(answer.response.headers(), "content-range");
                let start =
                    range.and_then(|r| r.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
                if start != Some(offset) {
                    return Err(RegistryError::Challenge {
                        url,
                        why: format!("bytes from {offset} on were asked for, {range:?} came"),
                    });
                }
                true
            }
            (200, _) => false,
            _ => return Err(self.session.status_error(url, answer.response)),
        };
        let skip = if partial { 0 } else { self.offset };
        let rest = self.size - self.offset + skip;
        let length = answer.response.body().content_length();
        if let Some(actual) = length.filter(|&length| length != rest) {
            return Err(RegistryError::Length { url, expected: rest, actual });
        }
        let mut transfer = Transfer::new(url, answer.response.into_body().into_reader());
        // The registry knows no ranges: pass over what is here already.
        let mut left = skip;
        let mut buffer = [0; 4096];
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = self.receive(&mut transfer, &mut buffer[..want])?;
            left -= n as u64;
        }
        Ok(transfer)
    }

    /// Reads at least one byte, or fails.
    fn receive(&self, transfer: &mut Transfer, buf: &mut [u8]) -> Result<usize, RegistryError> {
        match transfer.receive(self.session, buf)? {
            0 => {
                let early = io::Error::new(io::ErrorKind::UnexpectedEof, "ended early");
                Err(transfer.body_error(early))
            }
            n => Ok(n),
        }
    }

    /// After a failure: waits and moves on, or gives up.
    fn recover(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.body = None;
        if self.offset - self.progress_at >= PROGRESS {
            (self.failures, self.progress_at) = (0, self.offset);
        }
        self.failures += 1;
        if matches!(error, RegistryError::Cancelled) {
            return Err(error);
        }
        let transient = error.is_transient();
        self.refused[self.endpoint] |= !transient;
        let doublings = (self.failures - 1).min(16);
        let wait = self.session.limits.retry_first.saturating_mul(1 << doublings);
        let wait = self.session.pause(&error, wait.min(self.session.limits.retry_longest));
        tracing::debug!(%error, offset = self.offset, "blob transfer failed");
        let known = std::mem::replace(&mut self.worst, RegistryError::Cancelled);
        self.worst = worse(known, error);
        let count = self.session.endpoints();
        let others = (1..=count).map(|step| (self.endpoint + step) % count);
        let next = others.into_iter().find(|&n| !self.refused[n] && self.session.is_useful(n));
        match next {
            Some(next) if self.failures < self.session.limits.attempts.max(1) => {
                self.endpoint = next;
            }
            _ => return Err(std::mem::replace(&mut self.worst, RegistryError::Cancelled)),
        }
        if transient && self.session.cancel.wait(wait) {
            return Err(RegistryError::Cancelled);
        }
        Ok(())
    }

    fn next(&mut self, buf: &mut [u8]) -> Result<usize, RegistryError> {
        loop {
            let result = match self.body.take() {
                Some(mut transfer) => {
                    let result = self.receive(&mut transfer, buf);
                    self.body = Some(transfer);
                    result
                }
                None => match self.open() {
                    Ok(transfer) => {
                        self.body = Some(transfer);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match result {
                Ok(n) => return Ok(n),
                Err(error) => self.recover(error)?,
            }
        }
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.offset).unwrap_or(usize::MAX);
        let want = buf.len().min(left);
        if want == 0 {
            return Ok(0);
        }
        match self.next(&mut buf[..want]) {
            Ok(n) => {
                self.offset += n as u64;
                Ok(n)
            }
            Err(error) => {
                let text = error.to_string();
                self.failed = Some(error);
                Err(io::Error::other(text))
            }
        }
    }
}

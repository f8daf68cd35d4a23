//! The container's output: read from its pipes or its terminal, cut into lines, put in its log.
//!
//! Must never leave a pipe unread for long: the container would stall on a full one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags};

use super::deadline;
use super::lines::{LineSplitter, Stream};
use super::log_file::LogFile;

/// As much as is read at once: a quarter of a pipe.
const READ_BYTES: usize = 16 * 1024;
/// Reads after the deadline of a drain: enough for what a pipe held by then.
const LAST_READS: u32 = 8;

struct Source {
    fd: OwnedFd,
    splitter: LineSplitter,
}

/// The open streams of one container and its log.
pub struct Streams {
    sources: Vec<Source>,
    log: LogFile,
    input: Vec<u8>,
    lines: Vec<u8>,
}

impl Streams {
    /// `sources` must not block.
    pub fn new(sources: Vec<(OwnedFd, Stream)>, mut log: LogFile) -> Self {
        log.open();
        let source = |(fd, stream)| Source { fd, splitter: LineSplitter::new(stream) };
        let sources = sources.into_iter().map(source).collect();
        Streams { sources, log, input: vec![0; READ_BYTES], lines: Vec::new() }
    }

    /// What to wait for; each index is one for [`Streams::pump`].
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sources.iter().map(|source| source.fd.as_fd())
    }

    /// Reads once from the stream at `index`, and returns whether it has ended; an ended one is
    /// removed, and those behind it move up.
    pub fn pump(&mut self, index: usize) -> bool {
        let Some(source) = self.sources.get_mut(index) else { return true };
        let read = rustix::io::read(&source.fd, &mut self.input);
        let now = Timestamp::now();
        self.lines.clear();
        let ended = match read {
            Ok(length @ 1..) => {
                source.splitter.push(&self.input[..length], now, &mut self.lines);
                false
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => false,
            // The end of a pipe, or EIO: a terminal whose last user has closed it.
            Ok(_) | Err(_) => {
                source.splitter.finish(now, &mut self.lines);
                true
            }
        };
        if !self.lines.is_empty() {
            self.log.append(&self.lines, now);
        }
        if ended {
            self.sources.remove(index);
        }
        ended
    }

    /// Reads all that is left, until every writer has closed its end or the time has come.
    pub fn drain(&mut self, until: Instant) {
        let mut late = 0;
        while !self.sources.is_empty() && late < LAST_READS {
            late += u32::from(deadline::left(until).is_zero());
            let mut fds: Vec<PollFd<'_>> =
                self.descriptors().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            if !matches!(deadline::poll(&mut fds, until), Ok(1..)) {
                break;
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            // From the back, since an ended one is removed.
            for index in (0..ready.len()).rev().filter(|index| ready[*index]) {
                self.pump(index);
            }
        }
        let now = Timestamp::now();
        for mut source in self.sources.drain(..) {
            self.lines.clear();
            source.splitter.finish(now, &mut self.lines);
            self.log.append(&self.lines, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::time::Duration;

    fn log_of(path: &std::path::Path) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(path).unwrap();
        let line = |line: &str| {
            let (_, rest) = line.split_once(' ').unwrap();
            let (stream, text) = rest.split_once(" F ").unwrap();
            (stream.to_owned(), text.to_owned())
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn both_streams_end_up_in_one_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let (out, out_writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let (err, err_writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let sources = vec![(out, Stream::Stdout), (err, Stream::Stderr)];
        let mut streams = Streams::new(sources, LogFile::new(path.clone(), 1000, 2));
        assert!(path.exists());
        assert!(!streams.pump(0));
        rustix::io::write(&out_writer, b"one\nhalf").unwrap();
        rustix::io::write(&err_writer, b"bad\n").unwrap();
        assert!(!streams.pump(0));
        drop(out_writer);
        assert!(streams.pump(0));
        drop(err_writer);
        streams.drain(Instant::now() + Duration::from_secs(10));
        let pairs = [("stdout", "one"), ("stdout", "half"), ("stderr", "bad")];
        assert_eq!(log_of(&path), pairs.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(streams.descriptors().count(), 0);
    }

    #[test]
    fn a_writer_that_never_closes_does_not_hold_the_drain_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let (out, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let sources = vec![(out, Stream::Stdout)];
        let mut streams = Streams::new(sources, LogFile::new(path.clone(), 1000, 2));
        rustix::io::write(&writer, b"last words").unwrap();
        streams.drain(Instant::now());
        drop(writer);
        assert_eq!(log_of(&path), [("stdout".to_owned(), "last words".to_owned())]);
    }
}

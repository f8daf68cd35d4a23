//! Writes a stream to a target and reads it back. The first MiB, with the partition table, is
//! zeroed first and written last: a target that was not finished and found right never boots, and
//! never looks like a disk with something on it.

use std::io;
use std::ops::Range;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::extents::Extent;
use super::piece::{PIECE, Piece, is_zero};
use super::stream::{Part, Stream};
use super::table::HEAD;
use super::target::Target;
use super::{Error, Stage};
use crate::digest::Digest;

/// What was done, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Size of the image.
    pub image: u64,
    /// Written.
    pub written: u64,
    /// Made zero without being written.
    pub zeroed: u64,
    /// Time until all of it was on the medium.
    pub writing: Duration,
    /// Time to read it back.
    pub verifying: Duration,
}

/// What the target must hold: a range, with the digest of its bytes or, without one, zeros.
type Written = (Range<u64>, Option<Digest>);

/// Writes all of `stream` and reads it back. `progress` is called with the bytes done in a stage.
pub fn write(
    stream: Stream,
    target: &mut dyn Target,
    progress: &mut dyn FnMut(Stage, u64),
) -> Result<Report, Error> {
    let started = Instant::now();
    let mut writer = Writer {
        target,
        zeros: Piece::zeroed(PIECE),
        body: vec![],
        head: vec![],
        report: Report::default(),
    };
    // Not joined on failure: it may wait for a pipe that never ends. It holds nothing of the target.
    let (to, parts) = mpsc::sync_channel(2);
    let (give, spare) = mpsc::channel();
    thread::spawn(move || stream.run(&to, &spare));
    writer.clear_head()?;
    loop {
        match parts.recv() {
            Ok(Ok(Part::End(size))) => {
                writer.report.image = size;
                break;
            }
            Ok(Ok(part)) => {
                let done = writer.take(part, &give)?;
                progress(Stage::Writing, done);
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(Error::Stopped),
        }
    }
    let size = writer.report.image;
    writer.target.set_size(size).map_err(|error| writer.failed("size", size, error))?;
    writer.settle()?;
    let written = started.elapsed();
    let body = std::mem::take(&mut writer.body);
    writer.verify(&body, progress)?;
    let verified = Instant::now();
    let head = writer.write_head()?;
    writer.settle()?;
    writer.report.writing = written + verified.elapsed();
    writer.verify(&head, progress)?;
    writer.target.complete().map_err(|error| writer.failed("name", 0, error))?;
    writer.report.verifying = started.elapsed().saturating_sub(writer.report.writing);
    Ok(writer.report)
}

struct Writer<'a> {
    target: &'a mut dyn Target,
    zeros: Piece,
    body: Vec<Written>,
    /// Extents of the head with their bytes.
    head: Vec<(Extent, Option<Digest>, Vec<u8>)>,
    report: Report,
}

impl Writer<'_> {
    /// Until the end, nothing must be found where the partition table was.
    fn clear_head(&mut self) -> Result<(), Error> {
        let size = self.target.size().unwrap_or(u64::MAX);
        self.zero(0..size.min(HEAD as u64))?;
        self.report.written = 0;
        self.report.zeroed = 0;
        self.settle()
    }

    /// Carries out one part; returns how many bytes of the target it determined.
    fn take(&mut self, part: Part, spare: &mpsc::Sender<Piece>) -> Result<u64, Error> {
        let mut done = 0;
        match part {
            Part::End(_) => {}
            Part::Zeros(extents) => {
                for extent in extents {
                    done += length(&extent.range);
                    self.take_extent(extent, None, &[])?;
                }
            }
            Part::Bytes { at, piece, extents } => {
                for (extent, digest) in extents {
                    done += length(&extent.range);
                    let bytes =
                        (extent.range.start - at) as usize..(extent.range.end - at) as usize;
                    self.take_extent(extent, digest, &piece[bytes])?;
                }
                // Nobody takes it when all was read.
                let _ = spare.send(piece);
            }
        }
        Ok(done)
    }

    fn take_extent(
        &mut self,
        extent: Extent,
        digest: Option<Digest>,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let range = extent.range.clone();
        if let Some(has) = self.target.size().filter(|has| *has < range.end) {
            return Err(Error::TooSmall { has, needs: range.end });
        }
        if range.start < HEAD as u64 {
            let bytes = if extent.is_zero { vec![] } else { bytes.to_vec() };
            self.head.push((extent, digest, bytes));
            return Ok(());
        }
        match extent.is_zero {
            true => self.zero(range.clone())?,
            false => self.write(range.start, bytes)?,
        }
        self.body.push((range, digest));
        Ok(())
    }

    /// Zeros of the head are there since the beginning.
    fn write_head(&mut self) -> Result<Vec<Written>, Error> {
        let head = std::mem::take(&mut self.head);
        for (extent, _, bytes) in head.iter().filter(|(extent, ..)| !extent.is_zero) {
            let mut piece = Piece::zeroed(bytes.len());
            piece.copy_from_slice(bytes);
            self.write(extent.range.start, &piece)?;
        }
        Ok(head.into_iter().map(|(extent, digest, _)| (extent.range, digest)).collect())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        write_all(self.target, at, bytes).map_err(|(at, error)| self.failed("write", at, error))?;
        self.report.written += bytes.len() as u64;
        Ok(())
    }

    fn zero(&mut self, range: Range<u64>) -> Result<(), Error> {
        let zeroed = self.target.zero(range.clone());
        if zeroed.map_err(|error| self.failed("write", range.start, error))? {
            self.report.zeroed += length(&range);
            return Ok(());
        }
        let mut at = range.start;
        while at < range.end {
            let part = (range.end - at).min(PIECE as u64);
            let zeros = &self.zeros[..part as usize];
            let written = write_all(self.target, at, zeros);
            written.map_err(|(at, error)| self.failed("write", at, error))?;
            self.report.written += part;
            at += part;
        }
        Ok(())
    }

    /// All of it onto the medium, and reads from there.
    fn settle(&mut self) -> Result<(), Error> {
        let settled = self.target.flush().and_then(|()| self.target.forget());
        settled.map_err(|error| self.failed("write", 0, error))
    }

    fn verify(
        &mut self,
        written: &[Written],
        progress: &mut dyn FnMut(Stage, u64),
    ) -> Result<(), Error> {
        let mut piece = Piece::zeroed(PIECE);
        for (range, digest) in written {
            let mut at = range.start;
            while at < range.end {
                let part = (range.end - at).min(PIECE as u64);
                piece.set_length(part as usize);
                let whole = read_exact(self.target, at, &mut piece);
                let whole = whole.map_err(|(at, error)| self.failed("read back", at, error))?;
                let is_right = match digest {
                    Some(digest) => Digest::of(&piece) == *digest,
                    None => is_zero(&piece),
                };
                if !whole || !is_right {
                    return Err(Error::Differs { at, end: at + part });
                }
                progress(Stage::Verifying, part);
                at += part;
            }
        }
        Ok(())
    }

    /// What a failed call to the target means.
    fn failed(&self, what: &'static str, at: u64, source: io::Error) -> Error {
        let is_gone = matches!(
            source.raw_os_error().map(Errno::from_raw_os_error),
            Some(Errno::NODEV | Errno::NXIO | Errno::NOMEDIUM)
        );
        if is_gone || self.target.is_gone() {
            return Error::Gone { at };
        }
        match source.kind() {
            io::ErrorKind::StorageFull => Error::Full { at },
            _ => Error::Target { what, at, source },
        }
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// Writes through short transfers; an error comes with its place.
fn write_all(target: &mut dyn Target, at: u64, bytes: &[u8]) -> Result<(), (u64, io::Error)> {
    let mut done = 0;
    while done < bytes.len() {
        let at = at + done as u64;
        match target.write_at(at, &bytes[done..]) {
            Ok(0) => return Err((at, io::ErrorKind::WriteZero.into())),
            Ok(length) => done += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((at, error)),
        }
    }
    Ok(())
}

/// Reads through short transfers; false where the target ends before.
fn read_exact(target: &mut dyn Target, at: u64, to: &mut [u8]) -> Result<bool, (u64, io::Error)> {
    let mut done = 0;
    while done < to.len() {
        let at = at + done as u64;
        match target.read_at(at, &mut to[done..]) {
            Ok(0) => return Ok(false),
            Ok(length) => done += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((at, error)),
        }
    }
    Ok(true)
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;

//! A part as a stream: chunk by chunk, from what the node has, else from a place by ranges. Every
//! chunk is verified before a byte of it is handed out.
//!
//! Holds one chunk, its packed form, and a connection. Where a server knows no ranges, its one
//! answer is read through and what is not needed is dropped.

use std::io::{self, Read};
use std::thread;

use holm_payload::chunk::digest_of;
use holm_payload::plan::{self, Run};
use holm_payload::{Chunk, Index};

use crate::place::{Body, FetchError, Place};
use crate::seeds::Seeds;
use crate::settings::{Settings, Traffic};

/// What parts are read from.
pub(crate) struct Sources<'a> {
    pub index: &'a Index,
    pub seeds: &'a Seeds,
    pub places: &'a [Place],
    /// The data's file below a place.
    pub data: &'a str,
    pub settings: &'a Settings,
    pub traffic: &'a Traffic,
}

/// The stream of one part.
pub(crate) struct PartReader<'a> {
    sources: Sources<'a>,
    part: usize,
    /// The chunk that comes next, by its place in the part.
    next: usize,
    runs: Vec<Run>,
    /// Which of the places is asked.
    turn: usize,
    transfer: Option<Transfer>,
    failures: u32,
    /// The chunk that is handed out, and how much of it is gone.
    chunk: Vec<u8>,
    gone: usize,
    packed: Vec<u8>,
}

struct Transfer {
    body: Body,
    /// Where in the data the next byte lies.
    at: u64,
    /// Where the answer ends; without ranges it goes on to the end of the data.
    end: u64,
}

impl<'a> PartReader<'a> {
    /// Reads the part from its byte `offset` on; at its end, or past it, there is nothing.
    pub fn new(sources: Sources<'a>, part: usize, offset: u64) -> Self {
        let uses = sources.index.parts.get(part).map_or(&[][..], Vec::as_slice);
        let (mut next, mut begin) = (0, 0);
        for number in uses {
            let length = length_of(sources.index, *number);
            if begin + length > offset {
                break;
            }
            begin += length;
            next += 1;
        }
        let runs = plan::runs(sources.index, part, next, |number| sources.seeds.has(number));
        let mut reader = Self {
            sources,
            part,
            next,
            runs,
            turn: 0,
            transfer: None,
            failures: 0,
            chunk: Vec::new(),
            gone: 0,
            packed: Vec::new(),
        };
        // The first chunk may begin before the offset.
        reader.gone = usize::try_from(offset.saturating_sub(begin)).unwrap_or(usize::MAX);
        reader
    }

    /// Makes the next chunk ready. `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let uses = self.sources.index.parts.get(self.part).map_or(&[][..], Vec::as_slice);
        let Some(number) = uses.get(self.next).copied() else { return Ok(false) };
        let Some(chunk) = self.sources.index.chunks.get(number as usize).copied() else {
            return Ok(false);
        };
        let run = self.runs.iter().find(|run| run.places.contains(&self.next)).cloned();
        if run.is_none() && self.from_seed(number, chunk) {
            self.sources.traffic.add_reused(u64::from(chunk.length));
        } else {
            let only = Run {
                places: self.next..self.next + 1,
                begin: chunk.offset,
                end: chunk.offset + u64::from(chunk.stored),
            };
            self.from_places(chunk, &run.unwrap_or(only)).map_err(io::Error::other)?;
        }
        self.next += 1;
        Ok(true)
    }

    fn from_seed(&mut self, number: u32, chunk: Chunk) -> bool {
        self.chunk.resize(chunk.length as usize, 0);
        let read = self.sources.seeds.read(number, &mut self.chunk);
        matches!(read, Some(Ok(()))) && digest_of(&self.chunk) == chunk.digest
    }

    /// From the place whose turn it is, then from the others, until failures outnumber what is
    /// allowed. A chunk that came resets the count: on a bad line much may fail on the way.
    fn from_places(&mut self, chunk: Chunk, run: &Run) -> Result<(), FetchError> {
        loop {
            let error = match self.from_place(chunk, run) {
                Ok(()) => {
                    self.failures = 0;
                    return Ok(());
                }
                Err(error) => error,
            };
            self.transfer = None;
            self.failures += 1;
            if self.failures >= self.sources.settings.failures.max(1) {
                return Err(error);
            }
            self.turn += 1;
            // Another place is asked at once; a pause comes when all had their turn.
            let rounds = self.failures as usize / self.sources.places.len().max(1);
            if self.turn.is_multiple_of(self.sources.places.len().max(1)) {
                let times = 1u32 << rounds.saturating_sub(1).min(6);
                thread::sleep(self.sources.settings.pause.saturating_mul(times));
            }
        }
    }

    fn from_place(&mut self, chunk: Chunk, run: &Run) -> Result<(), FetchError> {
        let fits = |transfer: &Transfer| transfer.at <= chunk.offset && chunk.offset < transfer.end;
        let mut transfer = match self.transfer.take().filter(fits) {
            Some(transfer) => transfer,
            None => self.begin(chunk.offset, run.end)?,
        };
        let url = transfer.body.url.clone();
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FetchError::Short(url.clone()),
            _ => FetchError::Broken { url: url.clone(), source: error },
        };
        skip(&mut transfer.body, chunk.offset - transfer.at).map_err(broken)?;
        self.packed.resize(chunk.stored as usize, 0);
        transfer.body.read_exact(&mut self.packed).map_err(broken)?;
        transfer.at = chunk.offset + u64::from(chunk.stored);
        let is_whole = unpack(chunk, &self.packed, &mut self.chunk);
        if !is_whole || digest_of(&self.chunk) != chunk.digest {
            return Err(FetchError::Digest(format!("chunk at byte {} of {url}", chunk.offset)));
        }
        self.transfer = Some(transfer).filter(|transfer| transfer.at < transfer.end);
        Ok(())
    }

    fn begin(&self, from: u64, to: u64) -> Result<Transfer, FetchError> {
        let places = self.sources.places;
        let missing = || FetchError::Missing(self.sources.data.to_owned());
        let place = places.get(self.turn % places.len().max(1)).ok_or_else(missing)?;
        let whole = from == 0 && to >= self.sources.index.stored_length();
        let body = place.get(self.sources.data, (!whole).then_some(from..to))?;
        let at = body.begin;
        let end = if body.is_range { to } else { self.sources.index.stored_length() };
        Ok(Transfer { body, at, end })
    }
}

impl Read for PartReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.chunk.is_empty() || self.gone >= self.chunk.len() {
            // What is still to be skipped of a first chunk stays; a chunk that is through does not.
            if !self.chunk.is_empty() {
                self.gone = 0;
            }
            if !self.advance()? {
                self.chunk.clear();
                return Ok(0);
            }
        }
        let rest = &self.chunk[self.gone..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.gone += count;
        Ok(count)
    }
}

fn length_of(index: &Index, number: u32) -> u64 {
    index.chunks.get(number as usize).map_or(0, |chunk| u64::from(chunk.length))
}

fn skip(from: &mut Body, count: u64) -> io::Result<()> {
    let skipped = io::copy(&mut from.take(count), &mut io::sink())?;
    if skipped == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Whether `packed` unpacks to as many bytes as the chunk has.
fn unpack(chunk: Chunk, packed: &[u8], into: &mut Vec<u8>) -> bool {
    if chunk.is_plain() {
        into.clear();
        into.extend_from_slice(packed);
        return true;
    }
    into.resize(chunk.length as usize, 0);
    // Never more than the chunk's length, whatever the frame says of itself.
    let unpacked = zstd::bulk::decompress_to_buffer(packed, into.as_mut_slice());
    unpacked.is_ok_and(|length| length == chunk.length as usize)
}

//! The image on its way: checked against its block map, the boot partition edited in memory, and
//! cut into extents. Decides everything that the writer does, and touches no target.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender};

use super::bmap::{BlockMap, Check};
use super::document::{self, Changes};
use super::extents::{self, Extent};
use super::piece::{PIECE, Piece};
use super::ranges::Ranges;
use super::source::{Run, Source};
use super::table::HEAD;
use super::volume::Volume;
use super::{Error, source};
use crate::digest::Digest;

/// What is put on the boot partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// The node document instead of the image's own, and what to call it in problems.
    pub document: Option<(String, Vec<u8>)>,
    /// What else the document is to say.
    pub changes: Changes,
    /// Further files by their paths there, with `/` between names.
    pub files: Vec<(String, Vec<u8>)>,
}

/// The name of the node document on the boot partition.
pub const DOCUMENT: &str = "holm.toml";

impl Edits {
    /// Whether the image goes out as it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Puts everything on the partition.
    fn apply(&self, volume: &mut Volume) -> Result<(), Error> {
        let mut files = self.files.clone();
        if self.document.is_some() || !self.changes.is_empty() {
            let (name, text) = match &self.document {
                Some((name, text)) => (name.as_str(), text.clone()),
                None => {
                    let found = volume.read_file(DOCUMENT).map_err(Error::Boot)?;
                    ("the image's holm.toml", found.unwrap_or_default())
                }
            };
            let text = document::amend(&text, name, &self.changes).map_err(Error::Document)?;
            files.push((DOCUMENT.to_owned(), text.into_bytes()));
        }
        volume.put(&files).map_err(Error::Boot)
    }
}

/// Part of the image, ready to be written.
#[derive(Debug)]
pub enum Part {
    /// Bytes from `at`, and which of them go where; extents of zeros among them have no digest.
    Bytes {
        /// Where the piece stands in the image.
        at: u64,
        /// The bytes.
        piece: Piece,
        /// What of it counts.
        extents: Vec<(Extent, Option<Digest>)>,
    },
    /// Zeros.
    Zeros(Vec<Extent>),
    /// All was sent; the image's size.
    End(u64),
}

/// An image with everything that happens to it.
pub struct Stream {
    source: Source,
    check: Option<Check>,
    wanted: Option<Ranges>,
    edits: Edits,
    /// The boot partition while it passes, and its place.
    boot: Option<(Range<u64>, Volume)>,
    least_zeros: u64,
}

/// The reader of the parts has gone, for a reason of its own.
struct Gone;

/// What ends the stream early.
enum Stop {
    Gone,
    Failed(Error),
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<source::Error> for Stop {
    fn from(error: source::Error) -> Self {
        Self::Failed(Error::Source(error))
    }
}

impl Stream {
    /// Prepares the way of an image. Fails where it takes no edits.
    pub fn new(
        source: Source,
        map: Option<&BlockMap>,
        edits: Edits,
        least_zeros: u64,
    ) -> Result<Self, Error> {
        let boot = match (edits.is_empty(), &source.table.document) {
            (true, _) => None,
            (false, None) => return Err(Error::NoBoot),
            (false, Some(range)) => Some((range.clone(), Volume::new(range.end - range.start))),
        };
        let check = map.map(Check::new);
        let wanted = map.map(BlockMap::wanted);
        Ok(Self { source, check, wanted, edits, boot, least_zeros })
    }

    /// Sends all parts, in the order of the image but for the edited partition, which comes when it
    /// is complete. Pieces come back through `spare`. Ends when nobody listens any more.
    pub fn run(mut self, to: &SyncSender<Result<Part, Error>>, spare: &Receiver<Piece>) {
        let end = match self.pass(to, spare) {
            Ok(()) => Ok(Part::End(self.source.position())),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Gone) => return,
        };
        let _ = to.send(end);
    }

    fn pass(
        &mut self,
        to: &SyncSender<Result<Part, Error>>,
        spare: &Receiver<Piece>,
    ) -> Result<(), Stop> {
        let mut pool = Pool { made: 0, spare };
        let send = |part| to.send(Ok(part)).map_err(|_| Stop::Gone);
        loop {
            let mut piece = pool.take()?;
            let Some(run) = self.source.next(&mut piece)? else {
                let ended = self.check.as_ref().map_or(Ok(()), Check::end);
                return ended.map_err(|error| Stop::Failed(Error::Map(error)));
            };
            let (Run::Bytes(range) | Run::Zeros(range)) = &run;
            let range = range.clone();
            if let Some(check) = &mut self.check {
                let checked = match run {
                    Run::Bytes(_) => check.bytes(range.start, &piece),
                    Run::Zeros(_) => check.zeros(range.clone()),
                };
                checked.map_err(|error| Stop::Failed(Error::Map(error)))?;
            }
            // What is not of the partition that is edited goes on; that stays until it is complete.
            let inside = match &mut self.boot {
                None => range.end..range.end,
                Some((boot, volume)) => {
                    let start = boot.start.clamp(range.start, range.end);
                    let end = boot.end.clamp(range.start, range.end);
                    if matches!(run, Run::Bytes(_)) && start < end {
                        let bytes = (start - range.start) as usize..(end - range.start) as usize;
                        volume.load(start - boot.start, &piece[bytes]);
                    }
                    start..end
                }
            };
            let outside = [range.start..inside.start, inside.end..range.end];
            match run {
                Run::Bytes(_) => {
                    let at = range.start;
                    let extents = self.extents(at, &piece, &outside);
                    send(Part::Bytes { at, piece, extents })?;
                }
                Run::Zeros(_) => {
                    let zeros = outside.into_iter().flat_map(split_head);
                    let wanted = self.wanted.as_ref();
                    send(Part::Zeros(
                        zeros.flat_map(|z| extents::split_zeros(z, wanted)).collect(),
                    ))?;
                    pool.give_back(piece);
                }
            }
            if let Some((boot, volume)) = self.boot.take_if(|(boot, _)| boot.end <= range.end) {
                self.edit(boot, volume, &mut pool, &send)?;
            }
        }
    }

    fn edit(
        &mut self,
        boot: Range<u64>,
        mut volume: Volume,
        pool: &mut Pool,
        send: &impl Fn(Part) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.edits.apply(&mut volume).map_err(Stop::Failed)?;
        if let Some(wanted) = &mut self.wanted {
            for page in volume.changed() {
                wanted.insert(boot.start + page.start..boot.start + page.end);
            }
        }
        let mut at = 0;
        while at < volume.size() {
            let length = (volume.size() - at).min(PIECE as u64);
            let place = boot.start + at..boot.start + at + length;
            let mut piece = pool.take()?;
            piece.set_length(length as usize);
            if volume.copy(at, &mut piece) {
                let extents = self.extents(place.start, &piece, std::slice::from_ref(&place));
                send(Part::Bytes { at: place.start, piece, extents })?;
            } else {
                let zeros = split_head(place).into_iter();
                let wanted = self.wanted.as_ref();
                send(Part::Zeros(zeros.flat_map(|z| extents::split_zeros(z, wanted)).collect()))?;
                pool.give_back(piece);
            }
            at += length;
        }
        Ok(())
    }

    fn extents(
        &self,
        at: u64,
        bytes: &[u8],
        parts: &[Range<u64>],
    ) -> Vec<(Extent, Option<Digest>)> {
        let slice =
            |range: &Range<u64>| &bytes[(range.start - at) as usize..(range.end - at) as usize];
        let parts = parts.iter().cloned().flat_map(split_head);
        let extents = parts.flat_map(|part| {
            extents::split(part.start, slice(&part), self.wanted.as_ref(), self.least_zeros)
        });
        extents
            .map(|extent| {
                let digest = (!extent.is_zero).then(|| Digest::of(slice(&extent.range)));
                (extent, digest)
            })
            .collect()
    }
}

/// The head is written apart, so that nothing may lie on both sides of its border.
fn split_head(range: Range<u64>) -> [Range<u64>; 2] {
    let border = (HEAD as u64).clamp(range.start, range.end.max(range.start));
    [range.start..border, border..range.end]
}

/// A few pieces that go round, so that memory is bounded and stays warm.
struct Pool<'a> {
    made: usize,
    spare: &'a Receiver<Piece>,
}

impl Pool<'_> {
    fn take(&mut self) -> Result<Piece, Gone> {
        let mut piece = match self.spare.try_recv() {
            Ok(piece) => piece,
            Err(_) if self.made < 4 => {
                self.made += 1;
                Piece::zeroed(PIECE)
            }
            Err(_) => self.spare.recv().map_err(|_| Gone)?,
        };
        piece.set_length(PIECE);
        Ok(piece)
    }

    /// A piece that was not sent may be made again.
    fn give_back(&mut self, piece: Piece) {
        drop(piece);
        self.made -= 1;
    }
}

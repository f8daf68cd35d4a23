//! Writes an image to a disk or a file, so that one image serves many nodes: looked at first,
//! edited in flight, read back in the end. The disk is behind a trait; all that is decided is
//! decided in pure code. Must never write to a disk in use, nor change the image.

pub mod beside;
pub mod bmap;
pub mod device;
pub mod document;
mod extents;
mod piece;
mod ranges;
#[cfg(test)]
mod samples;
pub mod source;
mod stream;
pub mod table;
pub mod target;
mod volume;
mod write;

use std::io;
use std::path::{Path, PathBuf};

pub use document::{Changes, Wifi};
pub use stream::Edits;
pub use write::Report;

use bmap::BlockMap;
use source::Source;
use stream::Stream;
use target::Target;

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The target is written.
    Writing,
    /// The target is read back.
    Verifying,
}

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image is broken.
    #[error(transparent)]
    Source(source::Error),
    /// What lies beside it is, or says that the image is.
    #[error(transparent)]
    Beside(beside::Error),
    /// The block map beside the image cannot be used.
    #[error(
        "the block map {0} cannot be used; make it anew with `holm-image bmap`, or take it away"
    )]
    BlockMap(PathBuf, #[source] bmap::ParseError),
    /// The block map is of another image.
    #[error(
        "the block map {map} is of an image of {named} bytes, and this one has {found}; make it \
         anew with `holm-image bmap`, or take it away"
    )]
    OtherMap {
        /// The map.
        map: PathBuf,
        /// The size that it names.
        named: u64,
        /// The image's size.
        found: u64,
    },
    /// The image's bytes are not those that the block map names.
    #[error("the image is broken, or its block map is of another one")]
    Map(#[source] bmap::Differs),
    /// There is no partition for a node document.
    #[error("the image has no FAT boot partition that a node document could go to")]
    NoBoot,
    /// Its boot partition could not be edited.
    #[error("cannot edit the boot partition")]
    Boot(#[source] volume::Error),
    /// The node document is not valid.
    #[error(transparent)]
    Document(document::Error),
    /// The target ends before the image does.
    #[error("the target is too small: it has {has} bytes, the image needs at least {needs}")]
    TooSmall {
        /// What the target has, in bytes.
        has: u64,
        /// What was about to be written.
        needs: u64,
    },
    /// Nothing fits any more.
    #[error("no space is left on the target after {at} bytes")]
    Full {
        /// Where it ended.
        at: u64,
    },
    /// The device was taken away, or lost its connection.
    #[error("the device is gone: taken out, or its connection broke after {at} bytes")]
    Gone {
        /// Where that was seen.
        at: u64,
    },
    /// The target failed.
    #[error("cannot {what} the target at byte {at}; if it is a card or stick, it may be worn out")]
    Target {
        /// What was tried.
        what: &'static str,
        /// Where.
        at: u64,
        /// Why it failed.
        source: io::Error,
    },
    /// The target does not hold what was written.
    #[error(
        "the target does not hold what was written: bytes {at} to {end} differ when read back; it \
         is worn out, or smaller than it claims"
    )]
    Differs {
        /// First byte that was looked at.
        at: u64,
        /// First byte behind.
        end: u64,
    },
    /// The part that reads the image ended without a word.
    #[error("reading the image stopped unexpectedly; this is a fault of holm-image")]
    Stopped,
}

/// An image that was looked at, with its block map.
pub struct Image {
    source: Source,
    map: Option<BlockMap>,
}

impl Image {
    /// Opens the file at `path` and compares it with the checksum beside it, where there is one.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let source = Source::open(path).map_err(Error::Source)?;
        let map = match beside::block_map(path).map_err(Error::Beside)? {
            None => None,
            Some((at, text)) => {
                let map = BlockMap::parse(&text);
                Some((at.clone(), map.map_err(|error| Error::BlockMap(at, error))?))
            }
        };
        if let Some((at, map)) = &map {
            let found = source.least_size();
            // An image in a stream may have more behind its last partition than was seen yet.
            let fits = map.image_size == found || source.size.is_none() && map.image_size > found;
            if !fits {
                return Err(Error::OtherMap { map: at.clone(), named: map.image_size, found });
            }
        }
        beside::check(path).map_err(Error::Beside)?;
        Ok(Self { source, map: map.map(|(_, map)| map) })
    }

    /// Takes what comes out of `reader`; nothing lies beside it.
    pub fn stream(reader: Box<dyn io::Read + Send>) -> Result<Self, Error> {
        let source = Source::stream(reader).map_err(Error::Source)?;
        Ok(Self { source, map: None })
    }

    /// What a target must have at least, in bytes.
    pub fn least_size(&self) -> u64 {
        self.source.least_size()
    }

    /// Whether a block map tells what may be left out.
    pub fn has_map(&self) -> bool {
        self.map.is_some()
    }

    /// How much there is to write, in bytes, as far as that is known.
    pub fn total(&self) -> u64 {
        self.map.as_ref().map_or(self.least_size(), |map| map.wanted().total())
    }
}

/// Writes `image` with `edits` to `target` and reads it back. `progress` is called with the bytes
/// done in each stage. On an error the target holds no partition table, and a file no name.
pub fn flash(
    image: Image,
    edits: Edits,
    target: &mut dyn Target,
    progress: &mut dyn FnMut(Stage, u64),
) -> Result<Report, Error> {
    if let Some(has) = target.size().filter(|has| *has < image.least_size()) {
        return Err(Error::TooSmall { has, needs: image.least_size() });
    }
    let least_zeros = target.least_zeros();
    let stream = Stream::new(image.source, image.map.as_ref(), edits, least_zeros)?;
    write::write(stream, target, progress)
}

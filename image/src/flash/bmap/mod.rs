//! Block maps in bmaptool's format 2.0: which blocks of an image must be written, each range with
//! its SHA-256. Must never leave out a block that matters, be it all zeros.

mod check;
mod create;
mod ext4;
mod fat;
mod needed;
mod text;

pub use check::{Check, Differs};
pub use create::{Error as CreateError, create};
pub use text::Error as ParseError;

use std::ops::Range;

use super::ranges::Ranges;
use crate::digest::Digest;

/// Block size of the maps made here.
pub const BLOCK: u64 = 4096;

/// Which blocks of an image must be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMap {
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Size of a block in bytes.
    pub block_size: u64,
    /// Ranges of blocks in order, and the digest of each one's bytes.
    pub ranges: Vec<(Range<u64>, Digest)>,
}

impl BlockMap {
    /// The map out of the text of a file.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        text::parse(text)
    }

    /// The text of a file.
    pub fn text(&self) -> String {
        text::write(self)
    }

    /// A range of blocks in bytes.
    fn bytes(&self, blocks: &Range<u64>) -> Range<u64> {
        blocks.start * self.block_size..(blocks.end * self.block_size).min(self.image_size)
    }

    /// What is to be written, in bytes.
    pub fn wanted(&self) -> Ranges {
        let mut wanted = Ranges::new();
        self.ranges.iter().for_each(|(blocks, _)| wanted.insert(self.bytes(blocks)));
        wanted
    }
}

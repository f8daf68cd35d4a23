//! Makes the block map of a raw image.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::super::extents;
use super::super::piece::{PIECE, Piece};
use super::super::ranges::Ranges;
use super::super::source::{self, Run, Source};
use super::{BLOCK, BlockMap, needed};
use crate::digest::Digest;

/// Why an image gets no block map.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image is of no use, or is packed.
    #[error("cannot map the image; it must be a raw one")]
    Source(#[source] source::Error),
    /// It cannot be read.
    #[error("cannot read the image")]
    Read(#[source] io::Error),
}

/// Maps the raw image at `path`: every block that is not zero, and every zero that something reads.
pub fn create(path: &Path) -> Result<BlockMap, Error> {
    let mut source = Source::open(path).map_err(Error::Source)?;
    let disk = File::open(path).map_err(Error::Read)?;
    let image_size = disk.metadata().map_err(Error::Read)?.len();
    if source.size != Some(image_size) {
        return Err(Error::Source(source::Error::Format("xz or zstd")));
    }
    let mut data = Ranges::new();
    let mut piece = Piece::zeroed(PIECE);
    while let Some(run) = source.next(&mut piece).map_err(Error::Source)? {
        if let Run::Bytes(range) = run {
            let parts = extents::split(range.start, &piece, None, extents::BLOCK);
            parts.into_iter().filter(|part| !part.is_zero).for_each(|part| data.insert(part.range));
        }
        piece.set_length(PIECE);
    }
    let table = &source.table;
    let needed = needed::needed(&disk, image_size, table, &data).map_err(Error::Read)?;
    let blocks = needed.in_units(BLOCK, image_size.div_ceil(BLOCK));
    let map = BlockMap { image_size, block_size: BLOCK, ranges: Vec::new() };
    let digest = |blocks: Range<u64>| {
        let digest = digest(&disk, map.bytes(&blocks), &mut piece)?;
        Ok((blocks, digest))
    };
    let ranges = blocks.iter().map(digest).collect::<io::Result<_>>().map_err(Error::Read)?;
    Ok(BlockMap { ranges, ..map })
}

fn digest(disk: &File, range: Range<u64>, piece: &mut Piece) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut at = range.start;
    while at < range.end {
        let length = (range.end - at).min(PIECE as u64);
        piece.set_length(length as usize);
        disk.read_exact_at(piece, at)?;
        hash.update(&**piece);
        at += length;
    }
    Ok(Digest::from(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::samples;

    #[test]
    fn map_holds_every_block_that_is_not_zero_with_its_digest() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("image");
        let image = samples::image();
        std::fs::write(&path, &image).expect("written");
        let map = create(&path).expect("mapped");
        let wanted = map.wanted();
        for (n, block) in (0..).zip(image.chunks(BLOCK as usize)) {
            let is_mapped = wanted.within(n * BLOCK..n * BLOCK + 1).next().is_some();
            assert!(is_mapped || block.iter().all(|byte| *byte == 0), "block {n}");
        }
        for (blocks, digest) in &map.ranges {
            let range = map.bytes(blocks);
            assert_eq!(*digest, Digest::of(&image[range.start as usize..range.end as usize]));
        }
        assert_eq!(BlockMap::parse(&map.text()).expect("valid"), map);
    }

    #[test]
    fn packed_image_and_other_files_get_none() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("image");
        std::fs::write(&path, zstd::encode_all(&samples::image()[..], 1).expect("packed"))
            .expect("written");
        assert!(matches!(create(&path), Err(Error::Source(source::Error::Format(_)))));
        std::fs::write(&path, "text").expect("written");
        assert!(matches!(create(&path), Err(Error::Source(source::Error::Table(_)))));
    }
}

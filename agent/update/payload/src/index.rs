//! The index of a release's chunks: which chunk is where in a part, and where in the data.
//!
//! All numbers little-endian:
//!
//! ```text
//! magic     8   "HOLMIDX1"
//! sizes    12   least, average and most bytes of a chunk
//! chunks    4   n
//! parts     4   m
//! chunk  n*40   SHA-256, length, stored length
//! part      4   k, then
//! use     k*4   numbers of chunks, in the part's order       … m times
//! ```
//!
//! The data are the stored chunks one after another: as they are where the two lengths are the
//! same, one zstd frame each elsewhere. The index is a target, so its bytes are signed for; what
//! is checked here are mistakes of the publisher.

use crate::chunk::{Digest, Sizes};

const MAGIC: &[u8; 8] = b"HOLMIDX1";

/// Chunks in one index: at 8 KiB each, 8 GiB.
const MOST_CHUNKS: u32 = 1 << 20;
const MOST_PARTS: u32 = 1 << 10;

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// What it is known by.
    pub digest: Digest,
    /// Bytes of its content.
    pub length: u32,
    /// Bytes in the data.
    pub stored: u32,
    /// Where in the data.
    pub offset: u64,
}

impl Chunk {
    /// Whether the data have it as it is.
    pub fn is_plain(&self) -> bool {
        self.length == self.stored
    }
}

/// The parsed index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// How the parts were cut.
    pub sizes: Sizes,
    /// All chunks, in the order of the data.
    pub chunks: Vec<Chunk>,
    /// For each part the numbers of its chunks.
    pub parts: Vec<Vec<u32>>,
}

/// Why bytes are no index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It does not begin as one.
    #[error("not an index of chunks")]
    Magic,
    /// It ends too early or too late.
    #[error("the index does not end where it says")]
    Length,
    /// A number makes no sense.
    #[error("the index has an impossible {0}")]
    Number(&'static str),
}

impl Index {
    /// Bytes of the whole data.
    pub fn stored_length(&self) -> u64 {
        self.chunks.last().map_or(0, |last| last.offset + u64::from(last.stored))
    }

    /// Bytes of a part's content.
    pub fn part_length(&self, part: usize) -> u64 {
        let uses = self.parts.get(part).map_or(&[][..], Vec::as_slice);
        uses.iter().filter_map(|n| self.chunks.get(*n as usize)).map(|c| u64::from(c.length)).sum()
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Sizes { least, average, most } = self.sizes;
        let mut bytes = MAGIC.to_vec();
        let counts = [self.chunks.len() as u32, self.parts.len() as u32];
        for number in [least, average, most].into_iter().chain(counts) {
            bytes.extend(number.to_le_bytes());
        }
        for chunk in &self.chunks {
            bytes.extend(chunk.digest);
            bytes.extend(chunk.length.to_le_bytes());
            bytes.extend(chunk.stored.to_le_bytes());
        }
        for part in &self.parts {
            bytes.extend((part.len() as u32).to_le_bytes());
            bytes.extend(part.iter().flat_map(|number| number.to_le_bytes()));
        }
        bytes
    }

    /// Parses the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(IndexError::Magic)?;
        let sizes = Sizes {
            least: number(&mut rest)?,
            average: number(&mut rest)?,
            most: number(&mut rest)?,
        };
        if !sizes.are_sane() {
            return Err(IndexError::Number("size of chunks"));
        }
        let (chunk_count, part_count) = (number(&mut rest)?, number(&mut rest)?);
        if chunk_count > MOST_CHUNKS || part_count > MOST_PARTS {
            return Err(IndexError::Number("count"));
        }
        // Room only for what is really there: a count costs nothing to write.
        let mut chunks = Vec::with_capacity((chunk_count as usize).min(rest.len() / 40));
        let mut offset = 0;
        for _ in 0..chunk_count {
            let (digest, more) = rest.split_first_chunk::<32>().ok_or(IndexError::Length)?;
            rest = more;
            let (length, stored) = (number(&mut rest)?, number(&mut rest)?);
            if length == 0 || length > sizes.most || stored == 0 || stored > length {
                return Err(IndexError::Number("length of a chunk"));
            }
            chunks.push(Chunk { digest: *digest, length, stored, offset });
            offset += u64::from(stored);
        }
        let mut parts = Vec::with_capacity(part_count as usize);
        for _ in 0..part_count {
            let count = number(&mut rest)? as usize;
            if count > rest.len() / 4 {
                return Err(IndexError::Length);
            }
            let uses = (0..count).map(|_| number(&mut rest)).collect::<Result<Vec<u32>, _>>()?;
            if uses.iter().any(|number| *number >= chunk_count) {
                return Err(IndexError::Number("number of a chunk"));
            }
            parts.push(uses);
        }
        if rest.is_empty() { Ok(Self { sizes, chunks, parts }) } else { Err(IndexError::Length) }
    }
}

fn number(rest: &mut &[u8]) -> Result<u32, IndexError> {
    let (bytes, more) = rest.split_first_chunk::<4>().ok_or(IndexError::Length)?;
    *rest = more;
    Ok(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index() -> Index {
        let chunk =
            |n: u8, length, stored, offset| Chunk { digest: [n; 32], length, stored, offset };
        Index {
            sizes: Sizes::PUBLISHED,
            chunks: vec![chunk(1, 9000, 400, 0), chunk(2, 50, 50, 400), chunk(3, 10, 9, 450)],
            parts: vec![vec![0, 1, 0], vec![], vec![2]],
        }
    }

    #[test]
    fn index_survives_the_round_trip() {
        let index = index();
        assert_eq!(Index::parse(&index.to_bytes()), Ok(index.clone()));
        assert_eq!(index.stored_length(), 459);
        assert_eq!(index.part_length(0), 18050);
        assert_eq!(index.part_length(7), 0);
        assert!(index.chunks[1].is_plain() && !index.chunks[0].is_plain());
    }

    #[test]
    fn every_cut_of_an_index_is_an_error() {
        let bytes = index().to_bytes();
        for end in 0..bytes.len() {
            assert!(Index::parse(&bytes[..end]).is_err(), "{end}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(Index::parse(&longer), Err(IndexError::Length));
    }

    #[test]
    fn numbers_that_a_node_could_not_work_with_are_refused() {
        for change in [
            (|index| index.sizes.most = 1 << 30) as fn(&mut Index),
            |index| index.chunks[0].length = 1 << 20,
            |index| index.chunks[0].length = 0,
            |index| index.chunks[1].stored = 51,
            |index| index.parts[0][0] = 3,
        ] {
            let mut index = index();
            change(&mut index);
            let parsed = Index::parse(&index.to_bytes());
            assert!(matches!(parsed, Err(IndexError::Number(_))), "{parsed:?}");
        }
        // A huge count reserves nothing.
        let mut bytes = index().to_bytes();
        bytes[20..24].copy_from_slice(&MOST_CHUNKS.to_le_bytes());
        assert!(Index::parse(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Index::parse(&bytes);
            let _ = Index::parse(&[&index().to_bytes()[..28], &bytes[..]].concat());
        }
    }
}

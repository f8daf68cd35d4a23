//! Parts become data and an index: cut, every chunk once, packed. Reads and writes only what it is
//! given, and packs by what it is given: the same input makes the same bytes.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use crate::chunk::{Digest, Hash, Sizes, digest_of, split};
use crate::index::{Chunk, Index};

/// Collects the parts of one release.
pub struct Packer<W, P> {
    index: Index,
    numbers: HashMap<Digest, u32>,
    data: W,
    pack: P,
}

/// A part that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl<W: Write, P: FnMut(&[u8]) -> io::Result<Vec<u8>>> Packer<W, P> {
    /// Writes the data to `data`, each chunk as `pack` makes it where that is shorter.
    pub fn new(sizes: Sizes, data: W, pack: P) -> Self {
        let index = Index { sizes, chunks: Vec::new(), parts: Vec::new() };
        Self { index, numbers: HashMap::new(), data, pack }
    }

    /// Adds a part.
    pub fn add(&mut self, part: impl Read) -> io::Result<Packed> {
        let (mut size, mut hash, mut uses) = (0, Hash::default(), Vec::new());
        let Self { index, numbers, data, pack } = self;
        let sizes = index.sizes;
        let mut end = index.stored_length();
        split(part, sizes, |_, content| {
            size += content.len() as u64;
            hash.update(content);
            let digest = digest_of(content);
            let number = match numbers.get(&digest) {
                Some(number) => *number,
                None => {
                    let packed = pack(content)?;
                    let stored = if packed.len() < content.len() { &packed } else { content };
                    data.write_all(stored)?;
                    let lengths = (u32::try_from(content.len()), u32::try_from(stored.len()));
                    let (Ok(length), Ok(stored)) = lengths else {
                        return Err(io::Error::other("a chunk of more than 4 GiB"));
                    };
                    index.chunks.push(Chunk { digest, length, stored, offset: end });
                    end += u64::from(stored);
                    let number = u32::try_from(index.chunks.len() - 1).map_err(io::Error::other)?;
                    numbers.insert(digest, number);
                    number
                }
            };
            uses.push(number);
            Ok(())
        })?;
        index.parts.push(uses);
        Ok(Packed { size, sha256: hash.finish() })
    }

    /// The index, and what the data were written to.
    pub fn finish(self) -> (Index, W) {
        (self.index, self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_from_data_and_index() {
        let first: Vec<u8> = (0..200_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let second = [&first[100_000..], b"and more"].concat();
        let half = |chunk: &[u8]| Ok(chunk.iter().step_by(2).copied().collect());
        let mut packer = Packer::new(Sizes::PUBLISHED, Vec::new(), |chunk: &[u8]| {
            if chunk.len().is_multiple_of(2) { half(chunk) } else { Ok(chunk.to_vec()) }
        });
        let one = packer.add(&first[..]).unwrap();
        let two = packer.add(&second[..]).unwrap();
        let none = packer.add(&[][..]).unwrap();
        let (index, data) = packer.finish();
        assert_eq!((one.size, one.sha256), (first.len() as u64, digest_of(&first)));
        assert_eq!((two.size, none.size), (second.len() as u64, 0));
        assert_eq!(index.stored_length(), data.len() as u64);
        assert_eq!(Index::parse(&index.to_bytes()), Ok(index.clone()));
        assert_eq!(index.part_length(1), two.size);
        // The tail that both share is there once.
        let shared = index.parts[1].iter().filter(|number| index.parts[0].contains(number)).count();
        assert!(shared * 2 > index.parts[1].len(), "{shared} of {}", index.parts[1].len());
        let plain = index.chunks.iter().filter(|chunk| chunk.is_plain()).count();
        assert!(plain > 0 && plain < index.chunks.len());
    }
}

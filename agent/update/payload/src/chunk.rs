//! Content-defined chunks: cuts follow the content, so that what moved is still found.
//!
//! FastCDC of 2020. Cuts decide only how much is found again, never what is right: every chunk is
//! known by its SHA-256.

use std::io::{self, Read};

use fastcdc::v2020::{Error as CutError, StreamCDC};
use ring::digest::{Context, SHA256, digest};

/// A SHA-256.
pub type Digest = [u8; 32];

/// Bounds of a chunk's length, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// No chunk but a part's last is shorter.
    pub least: u32,
    /// What the length tends to; a power of two.
    pub average: u32,
    /// No chunk is longer.
    pub most: u32,
}

impl Sizes {
    /// The sizes that parts are published with. Smaller chunks find more again, but each takes 44
    /// bytes of the index.
    pub const PUBLISHED: Self = Self { least: 2 << 10, average: 8 << 10, most: 64 << 10 };

    /// Whether a node can work with them: they come from an index.
    pub fn are_sane(self) -> bool {
        let Self { least, average, most } = self;
        (256..=1 << 20).contains(&least)
            && (1 << 10..=4 << 20).contains(&average)
            && most <= 1 << 20
            && least <= average
            && average <= most
    }
}

/// The SHA-256 of `bytes`.
pub fn digest_of(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// A SHA-256 over bytes that come in pieces.
#[derive(Clone)]
pub struct Hash(Context);

impl Default for Hash {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hash {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Digest {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }
}

/// Cuts what `from` holds and hands each chunk with its offset to `take`.
pub fn split(
    from: impl Read,
    sizes: Sizes,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let [least, average, most] = [sizes.least, sizes.average, sizes.most].map(|n| n as usize);
    for chunk in StreamCDC::new(from, least, average, most) {
        let chunk = chunk.map_err(|error| match error {
            CutError::IoError(error) => error,
            other => io::Error::other(other),
        })?;
        take(chunk.offset, &chunk.data)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize, mut state: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            bytes.push((state >> 56) as u8);
        }
        bytes
    }

    fn cut(bytes: &[u8]) -> Vec<(u64, Digest, usize)> {
        let mut chunks = Vec::new();
        split(bytes, Sizes::PUBLISHED, |offset, chunk| {
            chunks.push((offset, digest_of(chunk), chunk.len()));
            Ok(())
        })
        .unwrap();
        chunks
    }

    #[test]
    fn chunks_follow_each_other_and_keep_their_bounds() {
        let bytes = noise(1 << 20, 1);
        let chunks = cut(&bytes);
        let mut at = 0;
        for (i, (offset, _, length)) in chunks.iter().enumerate() {
            assert_eq!(*offset, at);
            at += *length as u64;
            assert!(*length <= Sizes::PUBLISHED.most as usize);
            assert!(*length >= Sizes::PUBLISHED.least as usize || i + 1 == chunks.len());
        }
        assert_eq!(at, bytes.len() as u64);
        assert!(chunks.len() > 60, "{}", chunks.len());
    }

    #[test]
    fn most_chunks_are_found_again_after_an_insertion() {
        let old = noise(1 << 20, 2);
        let mut new = old.clone();
        new.splice(300_000..300_000, noise(777, 3));
        let known: Vec<Digest> = cut(&old).into_iter().map(|(_, digest, _)| digest).collect();
        let new = cut(&new);
        let lacking = new.iter().filter(|(_, digest, _)| !known.contains(digest)).count();
        assert!(lacking <= 4, "{lacking} of {}", new.len());
    }

    #[test]
    fn nothing_has_no_chunks() {
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn hash_in_pieces_is_the_hash_of_the_whole() {
        let mut hash = Hash::default();
        hash.update(b"ab");
        hash.update(b"c");
        assert_eq!(hash.finish(), digest_of(b"abc"));
    }

    #[test]
    fn sizes_from_an_index_are_bounded() {
        assert!(Sizes::PUBLISHED.are_sane());
        for (least, average, most) in
            [(0, 8192, 65536), (2048, 8192, u32::MAX), (8192, 2048, 65536), (2048, 65536, 8192)]
        {
            assert!(!Sizes { least, average, most }.are_sane());
        }
    }
}

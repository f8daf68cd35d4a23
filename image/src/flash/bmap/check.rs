//! Compares an image with the checksums of its block map, while the image passes by.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::BlockMap;
use crate::digest::Digest;

/// The comparison, as far as it came.
pub struct Check {
    /// What is still to come, nearest last; in bytes.
    open: Vec<(Range<u64>, Digest)>,
    hash: Sha256,
}

/// A range of the image that is not what the map says, in bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the image does not fit its block map: bytes {} to {} are others", .0.start, .0.end)]
pub struct Differs(Range<u64>);

impl Check {
    /// Begins at the start of the image.
    pub fn new(map: &BlockMap) -> Self {
        let ranges = map.ranges.iter().rev();
        let open = ranges.map(|(blocks, digest)| (map.bytes(blocks), *digest)).collect();
        Self { open, hash: Sha256::new() }
    }

    /// Takes the next bytes of the image; `at` goes on where the last call ended.
    pub fn bytes(&mut self, at: u64, bytes: &[u8]) -> Result<(), Differs> {
        self.pass(at..at + bytes.len() as u64, |hash, part| {
            hash.update(&bytes[(part.start - at) as usize..(part.end - at) as usize]);
        })
    }

    /// Takes a run of zeros.
    pub fn zeros(&mut self, range: Range<u64>) -> Result<(), Differs> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        self.pass(range, |hash, part| {
            let mut left = part.end - part.start;
            while left > 0 {
                let length = left.min(ZEROS.len() as u64);
                hash.update(&ZEROS[..length as usize]);
                left -= length;
            }
        })
    }

    /// The image ended: nothing may be left to compare.
    pub fn end(&self) -> Result<(), Differs> {
        self.open.last().map_or(Ok(()), |(open, _)| Err(Differs(open.clone())))
    }

    fn pass(
        &mut self,
        range: Range<u64>,
        take: impl Fn(&mut Sha256, Range<u64>),
    ) -> Result<(), Differs> {
        while let Some((open, digest)) = self.open.last() {
            let part = open.start.max(range.start)..open.end.min(range.end);
            if !part.is_empty() {
                take(&mut self.hash, part);
            }
            if range.end < open.end {
                break;
            }
            let found: [u8; 32] = self.hash.finalize_reset().into();
            if found != *digest.bytes() {
                return Err(Differs(open.clone()));
            }
            self.open.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image() -> (Vec<u8>, BlockMap) {
        let mut image = vec![0; 20 * 512];
        image[..1024].fill(1);
        image[5 * 512..7 * 512].fill(2);
        let digest = |blocks: Range<u64>| {
            let bytes = blocks.start as usize * 512..blocks.end as usize * 512;
            (blocks, Digest::of(&image[bytes]))
        };
        let ranges = vec![digest(0..2), digest(5..12), digest(19..20)];
        (image.clone(), BlockMap { image_size: 20 * 512, block_size: 512, ranges })
    }

    fn pass(image: &[u8], map: &BlockMap, pieces: &[usize]) -> Result<(), Differs> {
        let mut check = Check::new(map);
        let (mut at, mut pieces) = (0, pieces.iter().cycle());
        while at < image.len() {
            let end = (at + pieces.next().copied().unwrap_or(1).max(1)).min(image.len());
            let part = &image[at..end];
            match part.iter().all(|byte| *byte == 0) {
                true => check.zeros(at as u64..end as u64)?,
                false => check.bytes(at as u64, part)?,
            }
            at = end;
        }
        check.end()
    }

    #[test]
    fn image_that_ends_within_the_map_is_seen() {
        let (image, map) = image();
        assert_eq!(pass(&image[..19 * 512], &map, &[700]), Err(Differs(19 * 512..20 * 512)));
    }

    proptest! {
        #[test]
        fn only_changes_in_mapped_blocks_are_seen(
            pieces in proptest::collection::vec(1_usize..3000, 1..8), at in 0_usize..20 * 512,
        ) {
            let (mut image, map) = image();
            prop_assert_eq!(pass(&image, &map, &pieces), Ok(()));
            image[at] ^= 0x40;
            let block = at as u64 / 512;
            let is_mapped = map.ranges.iter().any(|(blocks, _)| blocks.contains(&block));
            prop_assert_eq!(pass(&image, &map, &pieces).is_err(), is_mapped);
        }
    }
}

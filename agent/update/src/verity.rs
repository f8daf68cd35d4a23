//! The root hash of a verity device, computed from its data as it is read. Pure.
//! Format: <https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity>, type 1 with SHA-256 and
//! blocks of 4096 bytes, as `holm-image` makes it.

use sha2::{Digest as _, Sha256};

/// Bytes of a data block and of a hash block.
pub const BLOCK: usize = 4096;
const DIGEST: usize = 32;

/// Why a superblock is not one of Holm's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerityError {
    /// There is none.
    #[error("no verity superblock where the hash tree begins")]
    Missing,
    /// A field has another value than Holm's images.
    #[error("verity superblock has the unusable {0}")]
    Field(&'static str),
}

/// What the superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Data blocks.
    pub data_blocks: u64,
    /// Goes before each block into its digest.
    pub salt: Vec<u8>,
}

impl Superblock {
    /// Reads the superblock from the first bytes of the tree, at least 512.
    ///
    /// # Errors
    /// See [`VerityError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, VerityError> {
        let bytes = bytes.get(..512).ok_or(VerityError::Missing)?;
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|index| bytes[at + index]));
        if &bytes[..8] != b"verity\0\0" || word(8) != 1 {
            return Err(VerityError::Missing);
        }
        if word(12) != 1 {
            return Err(VerityError::Field("type: it must be 1"));
        }
        if bytes[32..64].split(|byte| *byte == 0).next() != Some(b"sha256") {
            return Err(VerityError::Field("algorithm: it must be sha256"));
        }
        if word(64) as usize != BLOCK || word(68) as usize != BLOCK {
            return Err(VerityError::Field("block size: it must be 4096"));
        }
        let data_blocks = u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[72 + i]));
        let salt_size = usize::from(u16::from_le_bytes([bytes[80], bytes[81]]));
        let salt = bytes.get(88..88 + salt_size).ok_or(VerityError::Field("salt size"))?.to_vec();
        Ok(Self { data_blocks, salt })
    }
}

/// Takes in data blocks in order, keeps one hash block for each level, and gives the root hash.
#[derive(Debug, Clone)]
pub struct Tree {
    salt: Vec<u8>,
    levels: Vec<Level>,
}

#[derive(Debug, Clone)]
struct Level {
    block: Vec<u8>,
    /// Blocks that were full and went one level up.
    passed: u64,
}

impl Tree {
    /// A tree over no data yet.
    pub fn new(salt: Vec<u8>) -> Self {
        Self { salt, levels: Vec::new() }
    }

    /// Takes in the next data block, [`BLOCK`] bytes.
    pub fn add(&mut self, data: &[u8]) {
        let digest = self.digest(data);
        self.push(0, digest);
    }

    /// The root hash; `None` without any data.
    pub fn finish(mut self) -> Option<[u8; DIGEST]> {
        let mut level = 0;
        loop {
            let last = self.levels.get(level)?;
            if last.passed == 0 && self.levels.len() == level + 1 {
                // A single data block has no tree: its digest is the root.
                let single = level == 0 && last.block.len() == DIGEST;
                let root = if single {
                    last.block.as_slice().try_into().ok()?
                } else {
                    self.digest(&padded(&last.block))
                };
                return Some(root);
            }
            if !last.block.is_empty() {
                let digest = self.digest(&padded(&last.block));
                self.levels[level].block.clear();
                self.push(level + 1, digest);
            }
            level += 1;
        }
    }

    fn push(&mut self, level: usize, digest: [u8; DIGEST]) {
        if self.levels.len() == level {
            self.levels.push(Level { block: Vec::with_capacity(BLOCK), passed: 0 });
        }
        let full = self.levels[level].block.len() == BLOCK;
        if full {
            let parent = self.digest(&self.levels[level].block);
            self.levels[level].block.clear();
            self.levels[level].passed += 1;
            self.push(level + 1, parent);
        }
        self.levels[level].block.extend_from_slice(&digest);
    }

    fn digest(&self, block: &[u8]) -> [u8; DIGEST] {
        Sha256::new().chain_update(&self.salt).chain_update(block).finalize().into()
    }
}

fn padded(block: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    block.resize(BLOCK, 0);
    block
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tree level by level, the plain way.
    fn plain(salt: &[u8], blocks: &[Vec<u8>]) -> [u8; 32] {
        let digest = |block: &[u8]| -> [u8; 32] {
            Sha256::new().chain_update(salt).chain_update(block).finalize().into()
        };
        let mut level: Vec<[u8; 32]> = blocks.iter().map(|block| digest(block)).collect();
        while level.len() > 1 {
            level = level.chunks(128).map(|chunk| digest(&padded(&chunk.concat()))).collect();
        }
        level[0]
    }

    fn tree(salt: &[u8], blocks: &[Vec<u8>]) -> Option<[u8; 32]> {
        let mut tree = Tree::new(salt.to_vec());
        blocks.iter().for_each(|block| tree.add(block));
        tree.finish()
    }

    /// A superblock as `veritysetup` writes it.
    pub(crate) fn superblock(data_blocks: u64, salt: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(b"verity\0\0");
        bytes[8] = 1;
        bytes[12] = 1;
        bytes[32..38].copy_from_slice(b"sha256");
        bytes[64..68].copy_from_slice(&4096u32.to_le_bytes());
        bytes[68..72].copy_from_slice(&4096u32.to_le_bytes());
        bytes[72..80].copy_from_slice(&data_blocks.to_le_bytes());
        bytes[80..82].copy_from_slice(&(salt.len() as u16).to_le_bytes());
        bytes[88..88 + salt.len()].copy_from_slice(salt);
        bytes
    }

    #[test]
    fn every_shape_of_tree_has_the_root_of_the_plain_way() {
        for count in [1, 2, 127, 128, 129, 255, 256, 257, 128 * 128, 128 * 128 + 1] {
            let blocks: Vec<Vec<u8>> =
                (0..count).map(|index: usize| vec![(index % 251) as u8; BLOCK]).collect();
            assert_eq!(tree(b"salt", &blocks), Some(plain(b"salt", &blocks)), "{count} blocks");
        }
        assert_eq!(tree(b"", &[]), None);
    }

    #[test]
    fn superblock_is_read_and_a_foreign_one_is_refused() {
        let good = superblock(7, b"0123");
        let expected = Superblock { data_blocks: 7, salt: b"0123".to_vec() };
        assert_eq!(Superblock::decode(&good), Ok(expected));
        assert_eq!(Superblock::decode(&good[..100]), Err(VerityError::Missing));
        for (at, value) in [(0, 0), (8, 2), (12, 0), (32, 0), (65, 8), (69, 8), (81, 9)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(Superblock::decode(&bad).is_err(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn one_changed_byte_changes_the_root(count in 1usize..300, at in any::<prop::sample::Index>()) {
            let mut blocks = vec![vec![7; BLOCK]; count];
            let before = tree(b"x", &blocks);
            blocks[at.index(count)][at.index(BLOCK)] ^= 1;
            prop_assert_ne!(tree(b"x", &blocks), before);
        }
    }
}

//! What an ext4 superblock says that matters before and after the mount. Pure.
//! Layout: <https://docs.kernel.org/filesystems/ext4/super.html>.

/// Where the superblock is.
pub(crate) const OFFSET: u64 = 1024;
/// Its size.
pub(crate) const SIZE: usize = 1024;
const MAGIC: u16 = 0xef53;
/// In `s_state`: the kernel found an error.
const HAS_ERRORS: u16 = 2;
const INCOMPAT_64BIT: u32 = 0x80;

/// What a superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// Whether the kernel has found errors that nobody has repaired yet.
    pub(crate) has_errors: bool,
    /// Bytes in a block.
    pub(crate) block_size: u64,
    /// Blocks in the file system.
    pub(crate) blocks: u64,
    /// The file system's label.
    pub(crate) label: String,
}

impl Superblock {
    /// Reads a superblock; none if there is no ext4 file system.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SIZE)?;
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from(half(at)) | (u32::from(half(at + 2)) << 16);
        let shift = word(0x18);
        if half(0x38) != MAGIC || shift > 6 {
            return None;
        }
        let high = if word(0x60) & INCOMPAT_64BIT != 0 { word(0x150) } else { 0 };
        let label = bytes[0x78..0x88].iter().copied().take_while(|&byte| byte != 0);
        Some(Self {
            has_errors: half(0x3a) & HAS_ERRORS != 0,
            block_size: 1024 << shift,
            blocks: u64::from(word(0x4)) | (u64::from(high) << 32),
            label: String::from_utf8_lossy(&label.collect::<Vec<_>>()).into_owned(),
        })
    }

    /// How many blocks the file system can have on a partition of `bytes` bytes,
    /// if that is more than it has.
    pub(crate) fn room_to_grow(&self, bytes: u64) -> Option<u64> {
        let blocks = bytes / self.block_size;
        (blocks > self.blocks).then_some(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        bytes[4..8].copy_from_slice(&1000u32.to_le_bytes());
        bytes[0x18] = 2;
        bytes[0x38..0x3a].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[0x3a] = 1;
        bytes[0x78..0x7c].copy_from_slice(b"data");
        bytes
    }

    #[test]
    fn sizes_and_label_are_read() {
        let found = Superblock::decode(&bytes()).unwrap();
        assert_eq!((found.block_size, found.blocks), (4096, 1000));
        assert_eq!(found.label, "data");
        assert!(!found.has_errors);
    }

    #[test]
    fn high_half_counts_only_with_the_64bit_feature() {
        let mut bytes = bytes();
        bytes[0x150] = 1;
        assert_eq!(Superblock::decode(&bytes).unwrap().blocks, 1000);
        bytes[0x60] = INCOMPAT_64BIT as u8;
        assert_eq!(Superblock::decode(&bytes).unwrap().blocks, (1 << 32) + 1000);
    }

    #[test]
    fn error_flag_is_seen() {
        let mut bytes = bytes();
        bytes[0x3a] = 3;
        assert!(Superblock::decode(&bytes).unwrap().has_errors);
    }

    #[test]
    fn other_content_is_no_superblock() {
        assert_eq!(Superblock::decode(&[0; SIZE]), None);
        assert_eq!(Superblock::decode(&[]), None);
        let mut odd = bytes();
        odd[0x18] = 60;
        assert_eq!(Superblock::decode(&odd), None);
    }

    #[test]
    fn file_system_grows_to_whole_blocks_and_never_shrinks() {
        let found = Superblock::decode(&bytes()).unwrap();
        assert_eq!(found.room_to_grow(4096 * 1001 + 5), Some(1001));
        assert_eq!(found.room_to_grow(4096 * 1000 + 5), None);
        assert_eq!(found.room_to_grow(0), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), SIZE)) {
            let mut bytes = bytes;
            bytes[0x38..0x3a].copy_from_slice(&MAGIC.to_le_bytes());
            let _ = Superblock::decode(&bytes).map(|found| found.room_to_grow(u64::MAX));
        }
    }
}

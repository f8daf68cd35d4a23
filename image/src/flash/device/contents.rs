//! What a disk holds, by its first and last bytes, for the question before it is overwritten.
//! Pure. Must never call a disk blank that has a byte of anything.

use std::fmt;

use crate::flash::piece::is_zero;
use crate::flash::table;

/// What seems to be on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Nothing where every format begins or ends.
    Blank,
    /// A partition table with so many partitions.
    Partitions(usize),
    /// A file system, or a volume of another format, without a table.
    FileSystem(&'static str),
    /// Something.
    Unknown,
    /// It could not be read.
    Unread,
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("is blank"),
            Self::Partitions(1) => f.write_str("has 1 partition"),
            Self::Partitions(n) => write!(f, "has {n} partitions"),
            Self::FileSystem(name) => write!(f, "holds {name}"),
            Self::Unknown => f.write_str("holds data"),
            Self::Unread => f.write_str("may hold data"),
        }
    }
}

/// Bytes that tell a format, and where they stand.
const MAGIC: [(usize, &[u8], &str); 9] = [
    (0x438, &[0x53, 0xef], "an ext file system"),
    (0x36, b"FAT", "a FAT file system"),
    (0x52, b"FAT32", "a FAT file system"),
    (3, b"EXFAT", "an exFAT file system"),
    (3, b"NTFS", "an NTFS file system"),
    (0, b"XFSB", "an XFS file system"),
    (0x10040, b"_BHRfS_M", "a btrfs file system"),
    (0, b"LUKS", "an encrypted volume"),
    (0x8001, b"CD001", "a CD's file system"),
];

/// Judges by the first MiB and the last one.
pub fn describe(head: &[u8], tail: &[u8]) -> Contents {
    let is_there = |(at, bytes, _): &&(usize, &[u8], &str)| {
        head.get(*at..).is_some_and(|rest| rest.starts_with(bytes))
    };
    if let Some((_, _, name)) = MAGIC.iter().find(is_there) {
        return Contents::FileSystem(name);
    }
    match table::parse(head) {
        Ok(table) => Contents::Partitions(table.partitions.len() + table.frames.len()),
        Err(table::Error::Damaged(_)) => Contents::Unknown,
        // Fresh or discarded flash reads as zeros, or as ones.
        Err(table::Error::Missing) if is_erased(head) && is_erased(tail) => Contents::Blank,
        Err(table::Error::Missing) => Contents::Unknown,
    }
}

fn is_erased(bytes: &[u8]) -> bool {
    is_zero(bytes) || bytes.iter().all(|byte| *byte == 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::samples;

    #[test]
    fn erased_disk_is_blank_in_zeros_and_in_ones() {
        let (zeros, ones) = (vec![0; 1 << 20], vec![0xff; 1 << 20]);
        assert_eq!(describe(&zeros, &zeros), Contents::Blank);
        assert_eq!(describe(&ones, &ones), Contents::Blank);
    }

    #[test]
    fn single_byte_at_either_end_is_data() {
        let zeros = vec![0; 1 << 20];
        for at in [0, 77_777, (1 << 20) - 1] {
            let mut bytes = zeros.clone();
            bytes[at] = 1;
            assert_eq!(describe(&bytes, &zeros), Contents::Unknown);
            assert_eq!(describe(&zeros, &bytes), Contents::Unknown);
        }
    }

    #[test]
    fn formats_are_told_apart() {
        let image = samples::image();
        assert_eq!(describe(&image[..1 << 20], &[]).to_string(), "has 3 partitions");
        let fat = samples::fat(16 << 20, &[]);
        assert_eq!(describe(&fat[..1 << 20], &[]).to_string(), "holds a FAT file system");
        let mut ext4 = vec![0; 4096];
        ext4[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(describe(&ext4, &[]), Contents::FileSystem("an ext file system"));
        let mut damaged = image[..1 << 20].to_vec();
        damaged[600] ^= 1;
        assert_eq!(describe(&damaged, &[]), Contents::Unknown);
    }
}

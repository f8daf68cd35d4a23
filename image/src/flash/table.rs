//! What the first MiB of an image says of the whole: how large the image must be, where its
//! partitions are, and on which of them the node document lies. Pure; never trusts a number.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Range;

use gpt::disk::LogicalBlockSize;
use gpt::header::{self, Header};
use gpt::partition_types;

/// How much of the image's start is looked at, and written last.
pub const HEAD: usize = 1 << 20;

/// Images have the sectors of cards, sticks and nearly all disks.
pub const SECTOR: u64 = 512;

/// A partition table, as far as writing it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What the image has at least, in bytes; a shorter one was cut.
    pub size: u64,
    /// The partitions, in bytes from the start of the image, in the order of the table.
    pub partitions: Vec<Range<u64>>,
    /// Those that are only a frame for others (MBR's extended ones).
    pub frames: Vec<Range<u64>>,
    /// The FAT partition that takes the node document.
    pub document: Option<Range<u64>>,
}

/// Why the start of an image is not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no partition table at all.
    #[error("there is no partition table: this is no disk image")]
    Missing,
    /// There is one, and it is damaged.
    #[error("the partition table is damaged: {0}")]
    Damaged(String),
}

/// Reads the table at the start of an image; `head` are its first bytes, [`HEAD`] or fewer.
pub fn parse(head: &[u8]) -> Result<Table, Error> {
    let entries = head.get(446..510).filter(|_| head.get(510..512) == Some(&[0x55, 0xaa]));
    let has_gpt = head.get(512..520) == Some(b"EFI PART");
    match (has_gpt, entries) {
        (true, _) => parse_gpt(head),
        (false, None) => Err(Error::Missing),
        (false, Some(entries)) => parse_mbr(entries),
    }
}

fn parse_gpt(head: &[u8]) -> Result<Table, Error> {
    let damaged = |what: &dyn std::fmt::Display| Error::Damaged(what.to_string());
    let mut head = Cursor::new(head);
    let header = header::read_header_from_arbitrary_device(&mut head, LogicalBlockSize::Lb512);
    let header = header.map_err(|error| damaged(&error))?;
    // The crate takes these two for granted.
    if header.part_size != 128 || header.num_parts > 1024 {
        return Err(damaged(&"its entries have an unknown form"));
    }
    let size = LogicalBlockSize::Lb512;
    let entries = gpt::partition::file_read_partitions(&mut head, &header, size);
    let entries = entries.map_err(|error| damaged(&error))?;
    let size = end_of_disk(&header).ok_or_else(|| damaged(&"its second copy lies nowhere"))?;
    let mut table = Table { size, partitions: vec![], frames: vec![], document: None };
    let mut system = None;
    for entry in entries.values().filter(|entry| entry.is_used()) {
        let end = entry.last_lba.checked_add(1).and_then(|lba| lba.checked_mul(SECTOR));
        let start = entry.first_lba.checked_mul(SECTOR);
        let range = match (start, end) {
            (Some(start), Some(end)) if start < end && end <= size => start..end,
            _ => return Err(damaged(&format!("partition {} leaves the disk", entry.name))),
        };
        if entry.name == "boot" && table.document.is_none() {
            table.document = Some(range.clone());
        }
        if entry.part_type_guid == partition_types::EFI && system.is_none() {
            system = Some(range.clone());
        }
        table.partitions.push(range);
    }
    table.document = table.document.or(system);
    Ok(table)
}

/// The second copy of the table stands in the last sector.
fn end_of_disk(header: &Header) -> Option<u64> {
    let end = header.backup_lba.checked_add(1)?.checked_mul(SECTOR)?;
    (header.backup_lba > 1).then_some(end)
}

/// The four entries of a master boot record.
fn parse_mbr(entries: &[u8]) -> Result<Table, Error> {
    let mut table = Table { size: SECTOR, partitions: vec![], frames: vec![], document: None };
    for (kind, range) in mbr_entries(entries) {
        table.size = table.size.max(range.end);
        match kind {
            0xee => return Err(Error::Damaged("it announces a GPT, and there is none".into())),
            0x05 | 0x0f | 0x85 => table.frames.push(range),
            kind => {
                // The firmware of a Raspberry Pi begins at the first FAT partition.
                if is_fat(kind) && table.document.is_none() {
                    table.document = Some(range.clone());
                }
                table.partitions.push(range);
            }
        }
    }
    // A boot sector of a file system ends in the same two bytes as a table.
    if table.partitions.is_empty() && table.frames.is_empty() {
        return Err(Error::Missing);
    }
    Ok(table)
}

/// Whether a partition's type is one of FAT's.
fn is_fat(kind: u8) -> bool {
    matches!(kind, 0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e | 0xef)
}

/// The primary partitions of FAT in the master boot record that begins `head`, by their numbers.
pub fn fat_partitions(head: &[u8; 512]) -> BTreeMap<u32, Range<u64>> {
    if head[510..] != [0x55, 0xaa] {
        return BTreeMap::new();
    }
    let entries = head[446..510].chunks_exact(16);
    let numbered = (1..).zip(entries.map(|entry| mbr_entries(entry).next()));
    numbered
        .filter_map(|(number, entry)| Some((number, entry?)))
        .filter(|(_, (kind, _))| is_fat(*kind))
        .map(|(number, (_, range))| (number, range))
        .collect()
}

/// The entries in use of a boot record, each with its type; places count from the disk's start.
pub(super) fn mbr_entries(entries: &[u8]) -> impl Iterator<Item = (u8, Range<u64>)> {
    entries.chunks_exact(16).filter_map(|entry| {
        let number = |at: usize| {
            let bytes = entry[at..at + 4].try_into().unwrap_or_default();
            u64::from(u32::from_le_bytes(bytes)) * SECTOR
        };
        let (kind, start, length) = (entry[4], number(8), number(12));
        (kind != 0 && start != 0 && length != 0).then(|| (kind, start..start + length))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flash::samples;

    const MIB: u64 = 1 << 20;

    #[test]
    fn gpt_names_the_boot_partition_and_the_size_of_the_image() {
        let image =
            samples::gpt(64 * MIB, &[("root-a", MIB..9 * MIB), ("boot", 9 * MIB..49 * MIB)]);
        let table = parse(&image[..HEAD]).expect("a table");
        assert_eq!(table.size, 64 * MIB);
        assert_eq!(table.document, Some(9 * MIB..49 * MIB));
        assert_eq!(table.partitions, [MIB..9 * MIB, 9 * MIB..49 * MIB]);
    }

    #[test]
    fn mbr_names_its_first_fat_partition() {
        let entries = [(0x83, MIB..2 * MIB), (0x0c, 2 * MIB..40 * MIB), (0x0f, 40 * MIB..50 * MIB)];
        let table = parse(&samples::mbr(&entries)).expect("a table");
        assert_eq!(table.size, 50 * MIB);
        assert_eq!(table.document, Some(2 * MIB..40 * MIB));
        assert_eq!(table.frames.first(), Some(&(40 * MIB..50 * MIB)));
    }

    #[test]
    fn fat_partitions_keep_their_numbers() {
        let entries = [(0x83, MIB..2 * MIB), (0x0c, 2 * MIB..4 * MIB), (0x0f, 4 * MIB..5 * MIB)];
        let record = samples::mbr(&entries)[..512].try_into().expect("one sector");
        assert_eq!(fat_partitions(&record), BTreeMap::from([(2, 2 * MIB..4 * MIB)]));
        assert_eq!(fat_partitions(&[0; 512]), BTreeMap::new());
    }

    #[test]
    fn file_that_is_no_disk_image_is_told_so() {
        let mut boot_sector = vec![0; 4096];
        boot_sector[510..512].copy_from_slice(&[0x55, 0xaa]);
        for head in [&b""[..], b"MZ, some program", &[0; 4096], &boot_sector] {
            assert_eq!(parse(head), Err(Error::Missing));
        }
        let alone = samples::mbr(&[(0xee, 512..MIB)]);
        assert!(matches!(parse(&alone), Err(Error::Damaged(_))));
    }

    #[test]
    fn single_wrong_byte_in_header_or_entries_is_seen() {
        let image = samples::gpt(8 * MIB, &[("boot", MIB..2 * MIB)]);
        for at in [512 + 40, 1024 + 33, 1024 + 60] {
            let mut head = image[..HEAD].to_vec();
            head[at] ^= 1;
            assert!(matches!(parse(&head), Err(Error::Damaged(_))), "{at}");
        }
        assert!(matches!(parse(&image[..1024]), Err(Error::Damaged(_))), "cut within the entries");
    }

    proptest! {
        #[test]
        fn no_head_makes_it_panic(at in 0_usize..20_000, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut head = samples::gpt(8 * MIB, &[("boot", MIB..2 * MIB)]);
            head.truncate(at + bytes.len());
            head[at..].copy_from_slice(&bytes);
            let _ = parse(&head);
            let _ = parse(&bytes);
        }
    }
}

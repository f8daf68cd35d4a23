//! Which bytes of a disk image matter, zeros among them. An image's zeros are of two kinds: those
//! that a file system reads, and those that nobody ever wrote. Only the latter may be left out.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::super::ranges::Ranges;
use super::super::table::{self, HEAD, Table};
use super::{ext4, fat};

/// What matters of the image `disk` of `size` bytes; `data` are its bytes that are not zero.
pub(super) fn needed(disk: &File, size: u64, table: &Table, data: &Ranges) -> io::Result<Ranges> {
    let mut needed = data.clone();
    // The tables at either end, with what boot loaders keep behind the first.
    needed.insert(0..size.min(HEAD as u64));
    needed.insert(size.saturating_sub(HEAD as u64)..size);
    let mut partitions = table.partitions.clone();
    for frame in &table.frames {
        partitions.extend(logical(disk, frame)?);
    }
    for partition in partitions {
        let partition = partition.start.min(size)..partition.end.min(size);
        if partition.is_empty() {
            continue;
        }
        of_partition(disk, &partition, data)?.iter().for_each(|range| needed.insert(range));
    }
    Ok(needed)
}

fn of_partition(disk: &File, partition: &Range<u64>, data: &Ranges) -> io::Result<Ranges> {
    let mut start = vec![0; 4096.min(partition.end - partition.start) as usize];
    disk.read_exact_at(&mut start, partition.start)?;
    let known = if fat::is_fat(&start) {
        Some(fat::needed(disk, partition)?)
    } else if ext4::is_ext4(&start) {
        Some(ext4::needed(disk, partition)?)
    } else {
        None
    };
    let whole = |range: Range<u64>| {
        let mut ranges = Ranges::new();
        ranges.insert(range);
        ranges
    };
    Ok(match known {
        Some(Some(needed)) => needed,
        // A file system that was only recognised: all of it.
        Some(None) => whole(partition.clone()),
        None => unknown(partition, data),
    })
}

/// Nobody reads behind the last byte of a format that is not known here, but whoever looks for
/// signatures: those stand at the ends of a partition.
fn unknown(partition: &Range<u64>, data: &Ranges) -> Ranges {
    let edge = HEAD as u64;
    let end = data.within(partition.clone()).last().map_or(partition.start, |last| last.end);
    let mut needed = Ranges::new();
    needed.insert(partition.start..end.max(partition.start + edge).min(partition.end));
    needed.insert(partition.end.saturating_sub(edge).max(partition.start)..partition.end);
    needed
}

/// The partitions within an extended one: a chain of boot records.
fn logical(disk: &File, frame: &Range<u64>) -> io::Result<Vec<Range<u64>>> {
    let mut found = Vec::new();
    let mut record = frame.start;
    // A chain that is a circle must end.
    for _ in 0..128 {
        let mut sector = [0; 512];
        disk.read_exact_at(&mut sector, record)?;
        let mut entries = table::mbr_entries(&sector[446..478]);
        let Some((_, part)) = entries.next().filter(|_| sector[510..] == [0x55, 0xaa]) else {
            break;
        };
        found.push(record + part.start..(record + part.end).min(frame.end));
        let Some((_, next)) = entries.next() else { break };
        record = frame.start + next.start;
        if record + 512 > frame.end {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
// Sets of one range are what is meant.
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;
    use crate::flash::samples::{self, MIB};

    fn file(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().expect("temporary file");
        file.write_all_at(bytes, 0).expect("written");
        file
    }

    fn ranges(parts: &[Range<u64>]) -> Ranges {
        let mut ranges = Ranges::new();
        parts.iter().for_each(|part| ranges.insert(part.clone()));
        ranges
    }

    #[test]
    fn unknown_format_counts_up_to_its_last_byte_and_at_its_ends() {
        let data = ranges(&[5 * MIB..5 * MIB + 4096, 20 * MIB..21 * MIB]);
        let found = unknown(&(2 * MIB..10 * MIB), &data);
        assert_eq!(found, ranges(&[2 * MIB..5 * MIB + 4096, 9 * MIB..10 * MIB]));
        let empty = unknown(&(11 * MIB..19 * MIB), &data);
        assert_eq!(empty, ranges(&[11 * MIB..12 * MIB, 18 * MIB..19 * MIB]));
        let small = unknown(&(11 * MIB..11 * MIB + 512), &data);
        assert_eq!(small, ranges(&[11 * MIB..11 * MIB + 512]));
    }

    #[test]
    fn logical_partitions_are_followed_and_circles_end() {
        let mut disk = vec![0; 40 * MIB as usize];
        let first = samples::mbr(&[(0x83, MIB..5 * MIB), (0x05, 10 * MIB..20 * MIB)]);
        let second = samples::mbr(&[(0x83, MIB..3 * MIB), (0x05, 10 * MIB..20 * MIB)]);
        disk[8 << 20..(8 << 20) + 512].copy_from_slice(&first);
        disk[18 << 20..(18 << 20) + 512].copy_from_slice(&second);
        let found = logical(&file(&disk), &(8 * MIB..40 * MIB)).expect("read");
        assert_eq!(found[..2], [9 * MIB..13 * MIB, 19 * MIB..21 * MIB]);
        assert_eq!(found.len(), 128, "the second names itself as the next");
    }

    #[test]
    fn image_needs_its_tables_its_fat_and_all_data() {
        let image = samples::image();
        let table = table::parse(&image[..HEAD]).expect("a table");
        let data = ranges(&[17 * MIB..19 * MIB]);
        let found = needed(&file(&image), image.len() as u64, &table, &data).expect("read");
        for part in [0..MIB, 23 * MIB..24 * MIB, 17 * MIB..19 * MIB, MIB..MIB + 16384] {
            let parts: Vec<_> = found.within(part.clone()).collect();
            assert_eq!(parts, [part]);
        }
        assert!(found.total() < 9 * MIB, "{}", found.total());
    }
}

//! The master boot record with an extended partition: three FAT partitions that the firmware of a
//! Raspberry Pi can name, and the others as logical ones in the fourth. Pure.
//! Must never place a logical partition right behind another: its boot record lies before it.

use super::layout::{Partition, Role};

/// Marks a disk as Holm's: on it, the number of a partition says what it is for. PID 1 knows it.
pub const SIGNATURE: u32 = u32::from_le_bytes(*b"HOLM");

const SECTOR: u64 = 512;
/// Partition types.
const FAT32: u8 = 0x0c;
const LINUX: u8 = 0x83;
const EXTENDED: u8 = 0x0f;
/// Nobody has counted cylinders for decades: this says that the numbers of sectors count.
const NO_GEOMETRY: [u8; 3] = [0xfe, 0xff, 0xff];

/// The boot records of a disk, each with its place in bytes. `gap` is the room before each logical
/// partition, in whose first sector its record lies.
pub fn records(partitions: &[Partition], size: u64, gap: u64) -> Vec<(u64, [u8; 512])> {
    let (logical, primary): (Vec<&Partition>, Vec<&Partition>) =
        partitions.iter().partition(|partition| partition.role.is_logical());
    let mut main = empty();
    main[440..444].copy_from_slice(&SIGNATURE.to_le_bytes());
    for (index, partition) in primary.iter().enumerate() {
        entry(&mut main, index, kind(partition.role), partition.start, partition.size);
    }
    let Some(first) = logical.first() else { return vec![(0, main)] };
    let frame = first.start - gap;
    entry(&mut main, primary.len(), EXTENDED, frame, size - frame);
    let mut records = vec![(0, main)];
    for (index, partition) in logical.iter().enumerate() {
        let mut record = empty();
        let place = partition.start - gap;
        // Counted from this record.
        entry(&mut record, 0, kind(partition.role), gap, partition.size);
        if let Some(next) = logical.get(index + 1) {
            // Counted from the start of the extended partition.
            entry(&mut record, 1, EXTENDED, next.start - gap - frame, gap + next.size);
        }
        records.push((place, record));
    }
    records
}

fn kind(role: Role) -> u8 {
    match role {
        Role::Boot | Role::Select | Role::BootA | Role::BootB => FAT32,
        Role::RootA | Role::RootB | Role::State | Role::Data => LINUX,
    }
}

fn empty() -> [u8; 512] {
    let mut record = [0; 512];
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    record
}

fn entry(record: &mut [u8; 512], index: usize, kind: u8, start: u64, size: u64) {
    let entry = &mut record[446 + 16 * index..462 + 16 * index];
    entry[1..4].copy_from_slice(&NO_GEOMETRY);
    entry[4] = kind;
    entry[5..8].copy_from_slice(&NO_GEOMETRY);
    // The plan of the disk has kept it below 2 TiB.
    let sectors = |bytes: u64| u32::try_from(bytes / SECTOR).unwrap_or(u32::MAX).to_le_bytes();
    entry[8..12].copy_from_slice(&sectors(start));
    entry[12..16].copy_from_slice(&sectors(size));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::MIB;

    fn partition(role: Role, start: u64, size: u64) -> Partition {
        Partition { role, start: start * MIB, size: size * MIB, guid: [0; 16] }
    }

    fn partitions() -> Vec<Partition> {
        vec![
            partition(Role::Select, 1, 4),
            partition(Role::BootA, 5, 6),
            partition(Role::BootB, 11, 6),
            partition(Role::RootA, 18, 3),
            partition(Role::RootB, 22, 3),
            partition(Role::State, 26, 2),
            partition(Role::Data, 29, 7),
        ]
    }

    fn disk() -> Vec<u8> {
        let mut disk = vec![0; 36 << 20];
        for (at, record) in records(&partitions(), 36 * MIB, MIB) {
            disk[at as usize..at as usize + 512].copy_from_slice(&record);
        }
        disk
    }

    /// Walks the chain of boot records as kernels do: (number, type, start, size).
    fn read(disk: &[u8]) -> Vec<(u32, u8, u64, u64)> {
        let entries = |at: u64| -> Vec<(u8, u64, u64)> {
            let record = &disk[at as usize..at as usize + 512];
            assert_eq!(record[510..], [0x55, 0xaa], "at {at}");
            let number = |entry: &[u8], at: usize| {
                u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|i| entry[at + i]))) * 512
            };
            let all = record[446..510].chunks_exact(16);
            all.map(|entry| (entry[4], number(entry, 8), number(entry, 12))).collect()
        };
        let mut found = Vec::new();
        let mut frame = None;
        for (number, (kind, start, size)) in (1..).zip(entries(0)) {
            match kind {
                0 => {}
                0x0f => frame = Some((start, size)),
                kind => found.push((number, kind, start, size)),
            }
        }
        let (frame, length) = frame.expect("an extended partition");
        let mut at = frame;
        for number in 5.. {
            let record = entries(at);
            let (kind, start, size) = record[0];
            assert!(at + start + size <= frame + length, "{number} leaves its frame");
            found.push((number, kind, at + start, size));
            let (kind, next, size) = record[1];
            if kind == 0 {
                break;
            }
            assert!(next + size <= length, "the link to {} leaves the frame", number + 1);
            at = frame + next;
        }
        found
    }

    #[test]
    fn every_partition_is_found_by_its_number() {
        let disk = disk();
        assert_eq!(&disk[440..444], b"HOLM");
        let planned: Vec<_> = partitions()
            .iter()
            .map(|one| {
                let kind = if one.role.is_logical() { 0x83 } else { 0x0c };
                (one.role.number(), kind, one.start, one.size)
            })
            .collect();
        assert_eq!(read(&disk), planned);
    }

    #[test]
    fn extended_partition_frames_all_logical_ones_to_the_end() {
        let disk = disk();
        let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| disk[at + i]));
        let fourth = 446 + 3 * 16;
        assert_eq!(disk[fourth + 4], 0x0f);
        assert_eq!((number(fourth + 8), number(fourth + 12)), (17 * 2048, 19 * 2048));
    }

    #[test]
    fn disk_without_logical_partitions_needs_one_record() {
        assert_eq!(records(&partitions()[..3], 36 * MIB, MIB).len(), 1);
    }
}

use super::*;
use crate::gpt::table::ENTRY_SIZE;
use proptest::prelude::*;

/// A disk in memory, written block by block.
#[derive(Clone)]
struct Image {
    block_size: usize,
    bytes: Vec<u8>,
}

impl Image {
    fn write(&mut self, block: u64, bytes: &[u8]) {
        let at = block as usize * self.block_size;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn blocks(&self) -> u64 {
        (self.bytes.len() / self.block_size) as u64
    }

    /// What the kernel's partition scan accepts: a right primary table.
    fn read(&self) -> Result<Disk, crate::gpt::table::Error> {
        self.read_at(1)
    }

    fn read_at(&self, block: u64) -> Result<Disk, crate::gpt::table::Error> {
        let at = block as usize * self.block_size;
        let header = Header::decode(&self.bytes[at..at + self.block_size], block)?;
        let from = header.entries_at as usize * self.block_size;
        let entries = self.bytes[from..from + header.entries_size()].to_vec();
        header.check_entries(&entries)?;
        Ok(Disk { block_size: self.block_size, blocks: self.blocks(), header, entries })
    }
}

const MIB: u64 = 1 << 20;

fn entry(label: &str, first: u64, last: u64) -> Vec<u8> {
    let mut bytes = vec![0u8; ENTRY_SIZE];
    bytes[..16].fill(0x11);
    bytes[16..32].fill(label.len() as u8);
    bytes[32..40].copy_from_slice(&first.to_le_bytes());
    bytes[40..48].copy_from_slice(&last.to_le_bytes());
    for (at, unit) in label.encode_utf16().enumerate() {
        bytes[56 + at * 2..58 + at * 2].copy_from_slice(&unit.to_le_bytes());
    }
    bytes
}

/// A disk of `now` MiB, made as an image of `made` MiB: state, then data.
fn image(block_size: usize, made: u64, now: u64) -> Image {
    let per_mib = MIB / block_size as u64;
    let mut image = Image { block_size, bytes: vec![0; (now * MIB) as usize] };
    let mut table = vec![0u8; 128 * ENTRY_SIZE];
    let taken = (table.len() / block_size) as u64;
    let last_block = made * per_mib - 1;
    table[..ENTRY_SIZE].copy_from_slice(&entry("state", per_mib, 2 * per_mib - 1));
    let data = entry("data", 2 * per_mib, (made - 1) * per_mib - 1);
    table[ENTRY_SIZE..2 * ENTRY_SIZE].copy_from_slice(&data);
    let primary = Header {
        own: 1,
        alternate: last_block,
        first_usable: 2 + taken,
        last_usable: last_block - taken - 1,
        disk_id: [7; 16],
        entries_at: 2,
        entry_count: 128,
        entries_checksum: crc32fast::hash(&table),
    };
    let entries_at = last_block - taken;
    let backup = Header { own: last_block, alternate: 1, entries_at, ..primary.clone() };
    image.write(1, &primary.encode(block_size));
    image.write(2, &table);
    image.write(entries_at, &table);
    image.write(last_block, &backup.encode(block_size));
    image
}

fn apply(image: &mut Image, steps: &[Step]) {
    for step in steps {
        if let Step::Write(block, bytes) = step {
            image.write(*block, bytes);
        }
    }
}

fn last_of(disk: &Disk, label: &str) -> u64 {
    entries(&disk.entries).iter().find(|entry| entry.label == label).unwrap().last
}

#[test]
fn data_grows_to_the_aligned_end_of_the_disk() {
    let mut image = image(512, 8, 64);
    let growth = plan(&image.read().unwrap(), "data").unwrap().unwrap();
    assert_eq!((growth.number, growth.start), (2, 2 * MIB));
    assert_eq!(growth.length, 61 * MIB);
    apply(&mut image, &growth.steps);
    let disk = image.read().unwrap();
    assert_eq!(last_of(&disk, "data"), 63 * 2048 - 1);
    assert_eq!(last_of(&disk, "state"), 2 * 2048 - 1);
    assert_eq!(disk.header.entries_at, 2);
    assert_eq!(disk.header.alternate, image.blocks() - 1);
    let backup = image.read_at(image.blocks() - 1).unwrap();
    assert_eq!(backup.entries, disk.entries);
    assert_eq!(backup.header.alternate, 1);
}

#[test]
fn grown_disk_is_left_alone() {
    let mut image = image(512, 8, 64);
    let growth = plan(&image.read().unwrap(), "data").unwrap().unwrap();
    apply(&mut image, &growth.steps);
    assert_eq!(plan(&image.read().unwrap(), "data"), Ok(None));
}

#[test]
fn disk_of_the_images_own_size_is_left_alone() {
    let image = image(4096, 8, 8);
    assert_eq!(plan(&image.read().unwrap(), "data"), Ok(None));
}

#[test]
fn only_the_last_partition_grows() {
    let disk = image(512, 8, 64).read().unwrap();
    assert_eq!(plan(&disk, "state"), Err(Error::NotLast("state".into(), "data".into())));
    assert_eq!(plan(&disk, "media"), Err(Error::Missing("media".into())));
}

#[test]
fn table_without_spare_room_is_not_touched() {
    let mut disk = image(512, 8, 64).read().unwrap();
    disk.entries[32..40].copy_from_slice(&34u64.to_le_bytes());
    assert_eq!(plan(&disk, "data"), Err(Error::NoSpareRoom(34)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The power goes at any moment: between two flushes any of the writes may
    /// have reached the disk. The table is right then, says the old or the new
    /// size, and the next boot finishes the work.
    #[test]
    fn any_power_cut_leaves_a_table_that_the_next_boot_finishes(
        big_blocks: bool,
        grown in 10u64..40,
        flushes in 0usize..6,
        reached in prop::collection::vec(any::<bool>(), 4),
    ) {
        let block_size = if big_blocks { 4096 } else { 512 };
        let mut image = image(block_size, 8, grown);
        let before = last_of(&image.read().unwrap(), "data");
        let growth = plan(&image.read().unwrap(), "data").unwrap().unwrap();
        let per_block = block_size as u64;
        let after = (growth.start + growth.length) / per_block - 1;
        let mut passed = 0;
        let mut writes = reached.iter();
        for step in &growth.steps {
            match step {
                Step::Flush => passed += 1,
                Step::Write(block, bytes) if passed < flushes => image.write(*block, bytes),
                Step::Write(block, bytes) if passed == flushes => {
                    if *writes.next().unwrap_or(&false) {
                        image.write(*block, bytes);
                    }
                }
                Step::Write(..) => {}
            }
        }
        let cut = image.read().unwrap();
        prop_assert!([before, after].contains(&last_of(&cut, "data")));
        if let Some(rest) = plan(&cut, "data").unwrap() {
            apply(&mut image, &rest.steps);
        }
        let disk = image.read().unwrap();
        prop_assert_eq!(last_of(&disk, "data"), after);
        prop_assert_eq!(disk.header.entries_at, 2);
        prop_assert_eq!(plan(&disk, "data"), Ok(None));
        prop_assert_eq!(image.read_at(image.blocks() - 1).unwrap().entries, disk.entries);
    }

    /// The primary entries may even be torn in the middle of a write.
    #[test]
    fn torn_write_of_entries_is_survived(at in 0usize..12, blocks in 0usize..33) {
        let mut image = image(512, 8, 16);
        let growth = plan(&image.read().unwrap(), "data").unwrap().unwrap();
        let mut done = 0;
        for step in &growth.steps {
            let Step::Write(block, bytes) = step else { continue };
            let whole = done < at;
            let length = if whole { bytes.len() } else { bytes.len().min(blocks * 512) };
            image.write(*block, &bytes[..length]);
            done += 1;
            if !whole { break; }
        }
        prop_assert!(image.read().is_ok());
    }
}

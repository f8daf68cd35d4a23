use super::super::table::entries;
use super::*;
use proptest::prelude::*;

const MIB: u64 = 2048;

/// A disk in memory, of which only boot records are kept.
#[derive(Clone)]
struct Image {
    sectors: u64,
    written: std::collections::BTreeMap<u64, [u8; SECTOR]>,
}

impl Image {
    /// A card made for 40 MiB: a primary partition, then root, state and data as logical ones.
    fn new(mebibytes: u64) -> Self {
        let mut image = Self { sectors: mebibytes * MIB, written: [].into() };
        let extended = 0x0f;
        image.put(0, &[(0x0c, MIB, 3 * MIB), (extended, 4 * MIB, 36 * MIB)]);
        image.put(4 * MIB, &[(0x83, MIB, 7 * MIB), (extended, 8 * MIB, 8 * MIB)]);
        image.put(12 * MIB, &[(0x83, MIB, 7 * MIB), (extended, 16 * MIB, 20 * MIB)]);
        image.put(20 * MIB, &[(0x83, MIB, 19 * MIB)]);
        image
    }

    fn put(&mut self, at: u64, wanted: &[(u8, u64, u64)]) {
        let mut record = [0; SECTOR];
        record[510..].copy_from_slice(&[0x55, 0xaa]);
        for (index, (kind, start, length)) in wanted.iter().enumerate() {
            let place = 446 + 16 * index;
            record[place + 4] = *kind;
            record[place + 8..place + 12].copy_from_slice(&(*start as u32).to_le_bytes());
            set_length(&mut record, index, *length as u32);
        }
        self.written.insert(at, record);
    }

    fn read(&self) -> Disk {
        let mut sector = |at: u64| Ok(self.written.get(&at).copied().unwrap_or([0; SECTOR]));
        Disk::read_from("card", self.sectors, &mut sector).unwrap()
    }

    fn apply(&mut self, step: &Step) {
        if let Step::Write(at, bytes) = step {
            let record = bytes.as_slice().try_into().expect("one sector");
            self.written.insert(*at, record);
        }
    }

    /// Where data begins and ends; every partition must lie within its frame.
    fn data(&self) -> (u64, u64) {
        let disk = self.read();
        assert_eq!(disk.records.len(), 4, "the chain is whole");
        let main = entries(&disk.records[0].bytes).unwrap();
        let outer = (u64::from(main[1].start), u64::from(main[1].start + main[1].length));
        assert!(outer.1 <= self.sectors, "the frame leaves the disk");
        let mut frame = outer;
        let mut found = (0, 0);
        for record in &disk.records[1..] {
            let [own, link, ..] = entries(&record.bytes).unwrap();
            found =
                (record.at + u64::from(own.start), record.at + u64::from(own.start + own.length));
            assert!(frame.0 <= found.0 && found.1 <= frame.1, "{found:?} leaves {frame:?}");
            let start = outer.0 + u64::from(link.start);
            frame = (start, start + u64::from(link.length));
            assert!(link.kind == 0 || frame.1 <= outer.1, "{frame:?} leaves {outer:?}");
        }
        found
    }
}

fn grow(image: &mut Image) -> Growth {
    let growth = plan(&image.read(), 7).unwrap().unwrap();
    growth.steps.iter().for_each(|step| image.apply(step));
    growth
}

#[test]
fn data_grows_to_the_aligned_end_of_the_card() {
    let mut image = Image::new(64);
    image.sectors += 5;
    let growth = grow(&mut image);
    assert_eq!(image.data(), (21 * MIB, 64 * MIB));
    assert_eq!((growth.number, growth.start, growth.length), (7, 21 << 20, 43 << 20));
    assert_eq!(plan(&image.read(), 7), Ok(None), "once is enough");
}

#[test]
fn card_of_the_images_own_size_is_left_alone() {
    assert_eq!(plan(&Image::new(40).read(), 7), Ok(None));
}

#[test]
fn frames_are_written_before_what_they_frame() {
    let growth = plan(&Image::new(64).read(), 7).unwrap().unwrap();
    let writes: Vec<_> = growth
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Write(at, _) => Some(*at),
            Step::Flush => None,
        })
        .collect();
    assert_eq!(writes, [0, 12 * MIB, 20 * MIB]);
    assert_eq!(growth.steps.len(), 6, "a flush after each");
}

#[test]
fn only_the_last_logical_partition_grows() {
    let disk = Image::new(64).read();
    assert_eq!(plan(&disk, 6), Err(Error::NotLast(6)));
    assert_eq!(plan(&disk, 1), Err(Error::NotLast(1)));
    let mut image = Image::new(64);
    image.put(0, &[(0x0f, 4 * MIB, 36 * MIB), (0x0c, 50 * MIB, MIB)]);
    assert_eq!(plan(&image.read(), 7), Err(Error::Frame), "a primary one lies behind");
    assert_eq!(plan(&Disk { records: vec![], ..disk }, 7), Err(Error::NotLast(7)));
}

#[test]
fn end_stays_within_what_a_record_can_say() {
    let mut image = Image::new(40);
    image.sectors = 8 << 30;
    let growth = plan(&image.read(), 7).unwrap().unwrap();
    assert_eq!(growth.start + growth.length, 2 << 40);
}

#[test]
fn ring_of_records_is_an_error_and_no_loop() {
    let mut image = Image::new(40);
    image.put(20 * MIB, &[(0x83, MIB, 19 * MIB), (0x0f, 8 * MIB, 8 * MIB)]);
    let mut sector = |at: u64| Ok(image.written.get(&at).copied().unwrap_or([0; SECTOR]));
    assert!(Disk::read_from("card", image.sectors, &mut sector).is_err());
}

proptest! {
    /// The power goes at any moment. Records are single sectors, so each is old or new.
    #[test]
    fn any_power_cut_leaves_a_table_that_the_next_boot_finishes(
        mebibytes in 41u64..4096,
        flushes in 0usize..4,
        reached: bool,
    ) {
        let mut image = Image::new(mebibytes);
        let growth = plan(&image.read(), 7).unwrap().unwrap();
        let mut passed = 0;
        for step in &growth.steps {
            match step {
                Step::Flush => passed += 1,
                step if passed < flushes || (passed == flushes && reached) => image.apply(step),
                Step::Write(..) => {}
            }
        }
        let (start, end) = image.data();
        prop_assert!(start == 21 * MIB && (end == 40 * MIB || end == mebibytes * MIB));
        if let Some(rest) = plan(&image.read(), 7).unwrap() {
            prop_assert_eq!(rest.length, growth.length);
            rest.steps.iter().for_each(|step| image.apply(step));
        }
        prop_assert_eq!(image.data(), (21 * MIB, mebibytes * MIB));
        prop_assert_eq!(plan(&image.read(), 7), Ok(None));
    }

    #[test]
    fn any_records_are_survived(bytes in prop::collection::vec(any::<u8>(), SECTOR), at in 0u64..4) {
        let mut image = Image::new(40);
        let mut record: [u8; SECTOR] = bytes.try_into().expect("one sector");
        record[510..].copy_from_slice(&[0x55, 0xaa]);
        image.written.insert([0, 4, 12, 20][at as usize] * MIB, record);
        let mut sector = |at: u64| Ok(image.written.get(&at).copied().unwrap_or([0; SECTOR]));
        if let Ok(disk) = Disk::read_from("card", image.sectors, &mut sector) {
            let _ = plan(&disk, 7);
        }
    }
}

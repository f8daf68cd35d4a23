//! Decodes boot records. Pure.
//! Never takes a disk for Holm's that does not say so.

/// Bytes of a boot record, and the unit of everything in it.
pub(crate) const SECTOR: usize = 512;
/// In the place of the disk's signature: the numbers of partitions mean what [`label`] says.
const SIGNATURE: [u8; 4] = *b"HOLM";
/// The type that a GPT gives the one partition of the record before it.
const PROTECTIVE: u8 = 0xee;

/// One of the four entries of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its place in the record, from zero.
    pub(crate) index: usize,
    /// The type; zero for an unused entry.
    pub(crate) kind: u8,
    /// The first sector, counted from what the record is relative to.
    pub(crate) start: u32,
    /// Sectors.
    pub(crate) length: u32,
}

impl Entry {
    /// Whether it only frames other partitions.
    pub(crate) fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// The entries of a record; none when it lacks a record's last two bytes.
pub(crate) fn entries(record: &[u8; SECTOR]) -> Option<[Entry; 4]> {
    if record[510..] != [0x55, 0xaa] {
        return None;
    }
    Some([0, 1, 2, 3].map(|index| {
        let at = 446 + 16 * index;
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| record[at + i]));
        Entry { index, kind: record[at + 4], start: word(at + 8), length: word(at + 12) }
    }))
}

/// Sets the length of an entry, in sectors.
pub(crate) fn set_length(record: &mut [u8; SECTOR], index: usize, length: u32) {
    let at = 446 + 16 * index + 12;
    record[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

/// Whether a disk's first sector says that its partitions are Holm's.
pub(crate) fn is_holms(record: &[u8; SECTOR]) -> bool {
    let has_table =
        entries(record).is_some_and(|entries| entries.iter().all(|entry| entry.kind != PROTECTIVE));
    has_table && record[440..444] == SIGNATURE
}

/// What the partition of a number is for on such a disk.
pub(crate) fn label(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "select",
        2 => "boot-a",
        3 => "boot-b",
        5 => "root-a",
        6 => "root-b",
        7 => "state",
        8 => "data",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> [u8; SECTOR] {
        let mut record = [0; SECTOR];
        record[440..444].copy_from_slice(b"HOLM");
        record[450] = 0x0c;
        record[454..458].copy_from_slice(&2048u32.to_le_bytes());
        record[510..].copy_from_slice(&[0x55, 0xaa]);
        record
    }

    #[test]
    fn holms_disk_is_known_by_its_signature() {
        assert!(is_holms(&record()));
        let mut other = record();
        other[440] = 0;
        assert!(!is_holms(&other), "another's card");
        let mut before_gpt = record();
        before_gpt[450] = PROTECTIVE;
        assert!(!is_holms(&before_gpt), "the names of a GPT count");
        assert!(!is_holms(&[0; SECTOR]));
    }

    #[test]
    fn entries_are_read_and_lengths_set() {
        let mut record = record();
        set_length(&mut record, 0, 7);
        let entry = entries(&record).unwrap()[0];
        assert_eq!(entry, Entry { index: 0, kind: 0x0c, start: 2048, length: 7 });
        assert!(!entry.is_extended());
        record[510] = 0;
        assert_eq!(entries(&record), None);
    }

    #[test]
    fn frame_of_the_logical_partitions_has_no_name() {
        assert_eq!(label(4), None);
        assert_eq!((label(1), label(5), label(8)), (Some("select"), Some("root-a"), Some("data")));
        assert_eq!((label(0), label(9)), (None, None));
    }
}

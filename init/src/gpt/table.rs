//! Decodes and encodes a partition table. Pure.
//! Never accepts a table whose checksums are wrong.

/// A header's bytes that its checksum covers.
pub(crate) const HEADER_SIZE: usize = 92;
/// The size of an entry that every tool writes; others are refused.
pub(crate) const ENTRY_SIZE: usize = 128;
const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: [u8; 4] = [0, 0, 1, 0];
const MOST_ENTRIES: u32 = 1024;

/// Why bytes are no partition table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The signature or the revision is not there.
    #[error("no GUID partition table header")]
    NoHeader,
    /// A checksum is wrong.
    #[error("checksum of the partition table {0} is wrong")]
    Checksum(&'static str),
    /// A field has a value that Holm does not handle.
    #[error("partition table field {0} has the unusable value {1}")]
    Field(&'static str, u64),
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// The block this header is in.
    pub(crate) own: u64,
    /// The block of the other header.
    pub(crate) alternate: u64,
    /// The first block that partitions may use.
    pub(crate) first_usable: u64,
    /// The last block that partitions may use.
    pub(crate) last_usable: u64,
    /// The disk's id.
    pub(crate) disk_id: [u8; 16],
    /// The first block of the entries.
    pub(crate) entries_at: u64,
    /// How many entries there are, used or not.
    pub(crate) entry_count: u32,
    /// The checksum of the entries.
    pub(crate) entries_checksum: u32,
}

impl Header {
    /// Reads a header from the block at `block`.
    pub(crate) fn decode(bytes: &[u8], block: u64) -> Result<Self, Error> {
        let head = bytes.get(..HEADER_SIZE).ok_or(Error::NoHeader)?;
        if &head[..8] != SIGNATURE || head[8..12] != REVISION {
            return Err(Error::NoHeader);
        }
        if u32_at(head, 12) as usize != HEADER_SIZE {
            return Err(Error::Field("header size", u64::from(u32_at(head, 12))));
        }
        let mut blank = head.to_vec();
        blank[16..20].fill(0);
        if crc32fast::hash(&blank) != u32_at(head, 16) {
            return Err(Error::Checksum("header"));
        }
        let header = Self {
            own: u64_at(head, 24),
            alternate: u64_at(head, 32),
            first_usable: u64_at(head, 40),
            last_usable: u64_at(head, 48),
            disk_id: id_at(head, 56),
            entries_at: u64_at(head, 72),
            entry_count: u32_at(head, 80),
            entries_checksum: u32_at(head, 88),
        };
        if header.own != block {
            return Err(Error::Field("own block", header.own));
        }
        if u32_at(head, 84) as usize != ENTRY_SIZE {
            return Err(Error::Field("entry size", u64::from(u32_at(head, 84))));
        }
        if header.entry_count == 0 || header.entry_count > MOST_ENTRIES {
            return Err(Error::Field("entry count", u64::from(header.entry_count)));
        }
        Ok(header)
    }

    /// The header as one block of `block_size` bytes.
    pub(crate) fn encode(&self, block_size: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(block_size);
        bytes.extend_from_slice(SIGNATURE);
        bytes.extend_from_slice(&REVISION);
        bytes.extend_from_slice(&(HEADER_SIZE as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        for field in [self.own, self.alternate, self.first_usable, self.last_usable] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&self.disk_id);
        bytes.extend_from_slice(&self.entries_at.to_le_bytes());
        bytes.extend_from_slice(&self.entry_count.to_le_bytes());
        bytes.extend_from_slice(&(ENTRY_SIZE as u32).to_le_bytes());
        bytes.extend_from_slice(&self.entries_checksum.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
        bytes.resize(block_size.max(HEADER_SIZE), 0);
        bytes
    }

    /// How many bytes the entries take.
    pub(crate) fn entries_size(&self) -> usize {
        self.entry_count as usize * ENTRY_SIZE
    }

    /// Whether `entries` are those that this header vouches for.
    pub(crate) fn check_entries(&self, entries: &[u8]) -> Result<(), Error> {
        let whole = entries.len() == self.entries_size();
        let right = whole && crc32fast::hash(entries) == self.entries_checksum;
        right.then_some(()).ok_or(Error::Checksum("entries"))
    }
}

/// A used entry, with its index counted from zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Counted from zero: partition number minus one.
    pub(crate) index: usize,
    /// The partition's own id, in the usual lower-case form.
    pub(crate) id: String,
    /// Its first block.
    pub(crate) first: u64,
    /// Its last block.
    pub(crate) last: u64,
    /// Its name.
    pub(crate) label: String,
}

/// The used entries, in the order of the table.
pub(crate) fn entries(bytes: &[u8]) -> Vec<Entry> {
    let all = bytes.chunks_exact(ENTRY_SIZE).enumerate();
    all.filter(|(_, entry)| entry[..16] != [0; 16])
        .map(|(index, entry)| Entry {
            index,
            id: id_text(&entry[16..32]),
            first: u64_at(entry, 32),
            last: u64_at(entry, 40),
            label: label(&entry[56..128]),
        })
        .collect()
}

/// Sets the last block of the entry at `index`.
pub(crate) fn set_last(bytes: &mut [u8], index: usize, last: u64) {
    let at = index * ENTRY_SIZE + 40;
    if let Some(field) = bytes.get_mut(at..at + 8) {
        field.copy_from_slice(&last.to_le_bytes());
    }
}

fn label(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
    String::from_utf16_lossy(&units)
}

/// The first three groups are little-endian, the others as they stand.
fn id_text(id: &[u8]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = String::with_capacity(36);
    for (place, &index) in order.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{:02x}", id[index]));
    }
    text
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn id_at(bytes: &[u8], at: usize) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[at..at + 16]);
    id
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

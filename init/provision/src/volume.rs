//! The label of a file system that somebody plugs in: FAT, ISO 9660 or ext. Where
//! the formats say it: FAT's specification by Microsoft, ECMA-119, ext4's layout
//! in the kernel's documentation.

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its type, as `mount` calls it.
    pub kind: &'static str,
    /// Its label.
    pub label: String,
}

/// What reads `length` bytes at `offset` from a device; none past its end.
type Read<'a> = &'a mut dyn FnMut(u64, usize) -> Option<Vec<u8>>;

/// Entries of a root directory that are looked at for its label: it is among the first.
const MOST_ENTRIES: usize = 512;
const ENTRY: usize = 32;

/// The label of the file system that `read` reads; none where there is no such.
pub fn label(read: Read<'_>) -> Option<Volume> {
    if let Some(found) = ext(read).or_else(|| iso(read)) {
        return Some(found);
    }
    fat(read)
}

fn ext(read: Read<'_>) -> Option<Volume> {
    let superblock = read(1024, 1024)?;
    if number(&superblock, 56, 2)? != 0xef53 {
        return None;
    }
    Some(Volume { kind: "ext4", label: trimmed(superblock.get(0x78..0x88)?) })
}

fn iso(read: Read<'_>) -> Option<Volume> {
    let descriptor = read(16 * 2048, 2048)?;
    if descriptor.get(..6)? != b"\x01CD001" {
        return None;
    }
    Some(Volume { kind: "iso9660", label: trimmed(descriptor.get(40..72)?) })
}

/// The root directory's label counts; the one in the boot sector only where that
/// has none: some programs leave `NO NAME` there.
fn fat(read: Read<'_>) -> Option<Volume> {
    let boot = read(0, 512)?;
    let bytes_each = number(&boot, 11, 2)?;
    let is_fat = boot.get(510..512)? == [0x55, 0xaa]
        && matches!(boot.first(), Some(0xeb | 0xe9))
        && matches!(bytes_each, 512 | 1024 | 2048 | 4096)
        && number(&boot, 13, 1)?.is_power_of_two()
        && matches!(number(&boot, 16, 1)?, 1 | 2);
    if !is_fat {
        return None;
    }
    let (reserved, copies) = (number(&boot, 14, 2)?, number(&boot, 16, 1)?);
    let entries = number(&boot, 17, 2)?;
    // A root directory of no fixed size is FAT32's, and an ordinary cluster chain.
    let (start, length, label_at) = if entries == 0 {
        let data = reserved + copies * number(&boot, 36, 4)?;
        let cluster = number(&boot, 44, 4)?.checked_sub(2)?;
        let each = number(&boot, 13, 1)?;
        (data + cluster.checked_mul(each)?, each * bytes_each, 71)
    } else {
        (reserved + copies * number(&boot, 22, 2)?, entries * ENTRY as u64, 43)
    };
    let length = usize::try_from(length).ok()?.min(MOST_ENTRIES * ENTRY);
    let directory = read(start.checked_mul(bytes_each)?, length).unwrap_or_default();
    let of_root = directory
        .chunks_exact(ENTRY)
        .take_while(|entry| entry[0] != 0)
        // A label, and no part of a long name.
        .find(|entry| entry[0] != 0xe5 && entry[11] & 0x08 != 0 && entry[11] & 0x0f != 0x0f)
        .map(|entry| trimmed(&entry[..11]));
    let label = match of_root {
        Some(label) => label,
        None => trimmed(boot.get(label_at..label_at + 11)?),
    };
    Some(Volume { kind: "vfat", label })
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + length)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn trimmed(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(device: &[u8]) -> Option<Volume> {
        label(&mut |offset, length| {
            let start = usize::try_from(offset).ok()?;
            device.get(start..start.checked_add(length)?).map(<[u8]>::to_vec)
        })
    }

    fn put(device: &mut [u8], at: usize, bytes: &[u8]) {
        device[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// An empty FAT16 file system as `mkfs.vfat -F 16 -n LABEL` makes it.
    fn fat16(in_boot_sector: &[u8; 11], in_root: Option<&[u8; 11]>) -> Vec<u8> {
        let mut device = vec![0; 64 << 10];
        put(&mut device, 0, &[0xeb, 0x3c, 0x90]);
        put(&mut device, 11, &512u16.to_le_bytes());
        put(&mut device, 13, &[4, 1, 0, 2]);
        put(&mut device, 17, &512u16.to_le_bytes());
        put(&mut device, 22, &8u16.to_le_bytes());
        put(&mut device, 38, &[0x29]);
        put(&mut device, 43, in_boot_sector);
        put(&mut device, 510, &[0x55, 0xaa]);
        let root = (1 + 2 * 8) * 512;
        // A long name's entry comes first, then a file that was removed.
        put(&mut device, root, b"Ae\0x\0t\0r\0a\0\x0f");
        put(&mut device, root + 32, b"\xe5LD        \x08");
        if let Some(label) = in_root {
            put(&mut device, root + 64, label);
            device[root + 64 + 11] = 0x08;
        } else {
            put(&mut device, root + 64, b"HOLM    TOM\x20");
        }
        device
    }

    #[test]
    fn label_of_the_root_directory_beats_that_of_the_boot_sector() {
        let volume = |label: &str| Some(Volume { kind: "vfat", label: label.into() });
        assert_eq!(of(&fat16(b"NO NAME    ", Some(b"HOLM       "))), volume("HOLM"));
        assert_eq!(of(&fat16(b"HOLM       ", None)), volume("HOLM"));
    }

    #[test]
    fn fat32_has_its_root_directory_in_a_cluster() {
        let mut device = vec![0; 64 << 10];
        put(&mut device, 0, &[0xeb, 0x58, 0x90]);
        put(&mut device, 11, &512u16.to_le_bytes());
        put(&mut device, 13, &[1, 32, 0, 2]);
        put(&mut device, 36, &16u32.to_le_bytes());
        put(&mut device, 44, &3u32.to_le_bytes());
        put(&mut device, 71, b"NO NAME    ");
        put(&mut device, 510, &[0x55, 0xaa]);
        put(&mut device, (32 + 2 * 16 + 1) * 512, b"HOLM       \x08");
        assert_eq!(of(&device), Some(Volume { kind: "vfat", label: "HOLM".into() }));
    }

    #[test]
    fn seed_on_an_iso_and_stick_with_ext_are_known() {
        let mut device = vec![0; 64 << 10];
        put(&mut device, 16 * 2048, b"\x01CD001\x01");
        put(&mut device, 16 * 2048 + 40, b"cidata                          ");
        assert_eq!(of(&device), Some(Volume { kind: "iso9660", label: "cidata".into() }));
        let mut device = vec![0; 64 << 10];
        put(&mut device, 1024 + 56, &[0x53, 0xef]);
        put(&mut device, 1024 + 0x78, b"HOLM");
        assert_eq!(of(&device), Some(Volume { kind: "ext4", label: "HOLM".into() }));
    }

    #[test]
    fn disk_with_a_partition_table_is_no_file_system() {
        let mut device = vec![0; 64 << 10];
        put(&mut device, 510, &[0x55, 0xaa]);
        assert_eq!(of(&device), None);
        assert_eq!(of(&[]), None);
    }

    proptest! {
        #[test]
        fn any_boot_sector_is_survived(mut sector in proptest::collection::vec(any::<u8>(), 512)) {
            put(&mut sector, 510, &[0x55, 0xaa]);
            sector[0] = 0xeb;
            of(&sector);
            sector.resize(40 << 10, 0);
            of(&sector);
        }
    }
}

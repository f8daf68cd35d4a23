//! Disk edits against a small table made here: needs mtools and e2fsprogs, but no image of Holm.

use super::*;

const MIB: u64 = 1 << 20;

/// A scratch folder that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("holm-disk-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn entry(name: &str, start: u64, length: u64) -> [u8; 128] {
    let mut entry = [0; 128];
    entry[0] = 1;
    entry[32..40].copy_from_slice(&(start / SECTOR).to_le_bytes());
    entry[40..48].copy_from_slice(&((start + length) / SECTOR - 1).to_le_bytes());
    for (index, unit) in name.encode_utf16().enumerate() {
        entry[56 + 2 * index..58 + 2 * index].copy_from_slice(&unit.to_le_bytes());
    }
    entry
}

/// A disk with an ESP of 4 MiB and an ext4 of 8 MiB, both formatted.
fn disk(scratch: &Scratch) -> Disk {
    let path = scratch.0.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(14 * MIB).unwrap();
    let mut header = [0; 512];
    header[..8].copy_from_slice(b"EFI PART");
    header[72..80].copy_from_slice(&2_u64.to_le_bytes());
    header[80..84].copy_from_slice(&4_u32.to_le_bytes());
    header[84..88].copy_from_slice(&128_u32.to_le_bytes());
    file.write_all_at(&header, SECTOR).unwrap();
    file.write_all_at(&entry("boot", MIB, 4 * MIB), 2 * SECTOR).unwrap();
    file.write_all_at(&entry("data", 5 * MIB, 8 * MIB), 2 * SECTOR + 128).unwrap();
    let drive = format!("{}@@{MIB}", path.display());
    let output = Command::new("mformat").args(["-i", &drive, "-T", "8192", "::"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let fs = format!("offset={}", 5 * MIB);
    let output = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-E", &fs])
        .arg(&path)
        .arg("8M")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Disk { path }
}

#[test]
fn partitions_are_read_with_their_names_and_places() {
    let scratch = Scratch::new("table");
    let disk = disk(&scratch);
    let partitions = disk.partitions().unwrap();
    let expected = Partition { name: "data".to_owned(), start: 5 * MIB, length: 8 * MIB };
    assert_eq!(partitions.len(), 2);
    assert_eq!(partitions[1], expected);
    let error = disk.partition("root-a").unwrap_err();
    assert!(error.to_string().ends_with("no partition is named root-a"), "{error}");
}

#[test]
fn a_file_without_a_table_is_refused() {
    let scratch = Scratch::new("none");
    let path = scratch.0.join("zero");
    File::create(&path).unwrap().set_len(MIB).unwrap();
    let error = Disk { path }.partitions().unwrap_err();
    assert!(error.to_string().contains("no GUID partition table"), "{error}");
}

#[test]
fn a_boot_file_is_written_replaced_listed_and_deleted() {
    let scratch = Scratch::new("esp");
    let disk = disk(&scratch);
    disk.write_boot_file("manifests/deep/web.yaml", b"one").unwrap();
    disk.write_boot_file("manifests/deep/web.yaml", b"two").unwrap();
    assert_eq!(disk.read_boot_file("manifests/deep/web.yaml").unwrap(), b"two");
    assert_eq!(disk.list_boot_folder("manifests/deep").unwrap(), ["web.yaml"]);
    disk.delete_boot_file("manifests/deep/web.yaml").unwrap();
    assert!(disk.read_boot_file("manifests/deep/web.yaml").is_err());
}

#[test]
fn a_file_reaches_the_ext4_partition_and_the_copy_alone() {
    let scratch = Scratch::new("ext4");
    let original = disk(&scratch);
    let copy = Disk::copy(original.path(), scratch.0.join("copy.raw")).unwrap();
    let from = scratch.0.join("file");
    std::fs::write(&from, "content").unwrap();
    copy.write_ext4_file("data", "preload/web.tar", &from).unwrap();
    let read = |disk: &Disk| {
        let device = format!("{}?offset={}", disk.path.display(), 5 * MIB);
        let cat = Command::new("debugfs").args(["-R", "cat preload/web.tar", &device]).output();
        String::from_utf8(cat.unwrap().stdout).unwrap()
    };
    assert_eq!(read(&copy), "content");
    assert_eq!(read(&original), "");
}

#[test]
fn a_flipped_byte_is_the_only_difference() {
    let scratch = Scratch::new("flip");
    let disk = disk(&scratch);
    let before = std::fs::read(&disk.path).unwrap();
    disk.flip_byte("data", 4096).unwrap();
    let after = std::fs::read(&disk.path).unwrap();
    let changed: Vec<_> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    assert_eq!(changed, [(5 * MIB + 4096) as usize]);
}

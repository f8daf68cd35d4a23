//! Writes a FAT32 partition that firmware boots from. Serial number and times are fixed.
//! Must never know what its files mean.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fatfs::{
    Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider,
};

/// A file of the boot partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes, with `/` between names.
    pub path: String,
    /// Its bytes.
    pub content: Source,
}

/// Where a boot file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Here.
    Bytes(Vec<u8>),
    /// In a file.
    File(PathBuf),
}

/// Why the boot partition could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file for the partition, or its file system, could not be made.
    #[error("cannot make the boot partition")]
    Make(#[source] io::Error),
    /// A file could not be put there.
    #[error("cannot put {path} on the boot partition")]
    Put {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

const SECTOR: u64 = 512;

/// Bytes in a cluster: FAT32 is FAT32 by having more than 65,524 of them.
fn cluster(size: u64) -> u32 {
    if size < 160 << 20 { 512 } else { 2048 }
}

/// Makes `out`, `size` bytes, sparse, with `entries` on it. `serial` is the volume's number, `label`
/// its name in capitals, padded with blanks.
pub fn write_fat(
    out: &Path,
    size: u64,
    serial: u32,
    label: [u8; 11],
    entries: &[Entry],
) -> Result<(), Error> {
    let file = File::options().read(true).write(true).create_new(true).open(out);
    let mut file = file.map_err(Error::Make)?;
    file.set_len(size).map_err(Error::Make)?;
    let sectors = u32::try_from(size / SECTOR).map_err(|e| Error::Make(io::Error::other(e)))?;
    let options = FormatVolumeOptions::new()
        .bytes_per_sector(SECTOR as u16)
        .total_sectors(sectors)
        .bytes_per_cluster(cluster(size))
        .fat_type(FatType::Fat32)
        .volume_id(serial)
        .volume_label(label);
    fatfs::format_volume(&mut file, options).map_err(Error::Make)?;
    let options = FsOptions::new().time_provider(&FirstDay);
    let volume = FileSystem::new(file, options).map_err(Error::Make)?;
    for entry in entries {
        put(&volume, entry).map_err(|source| Error::Put { path: entry.path.clone(), source })?;
    }
    volume.unmount().map_err(Error::Make)
}

/// The clock of the boot partition stands at the first time that FAT can express.
#[derive(Debug)]
struct FirstDay;

impl TimeProvider for FirstDay {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        let time = Time { hour: 0, min: 0, sec: 0, millis: 0 };
        DateTime { date: self.get_current_date(), time }
    }
}

fn put(volume: &FileSystem<File>, entry: &Entry) -> io::Result<()> {
    let root = volume.root_dir();
    for (at, _) in entry.path.match_indices('/') {
        root.create_dir(&entry.path[..at])?;
    }
    let mut to = root.create_file(&entry.path)?;
    to.truncate()?;
    match &entry.content {
        Source::Bytes(bytes) => to.write_all(bytes)?,
        Source::File(path) => {
            let mut from = File::open(path)?;
            let mut piece = vec![0; 1 << 20];
            loop {
                match from.read(&mut piece)? {
                    0 => break,
                    n => to.write_all(&piece[..n])?,
                }
            }
        }
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::MIB;

    const LABEL: [u8; 11] = *b"HOLM-BOOT  ";

    fn entry(path: &str, bytes: &[u8]) -> Entry {
        Entry { path: path.to_owned(), content: Source::Bytes(bytes.to_vec()) }
    }

    fn written(entries: &[Entry]) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("boot.img");
        write_fat(&path, 256 * MIB, 0x1234_5678, LABEL, entries).expect("written");
        std::fs::read(path).expect("read")
    }

    #[test]
    fn files_read_back_with_long_names_and_plus_signs() {
        let content = vec![7; 100_000];
        let entries = [
            entry("EFI/Linux/holm-a+3.efi", &content),
            entry("EFI/BOOT/BOOTX64.EFI", b"loader"),
            entry("loader/loader.conf", b"timeout 0\n"),
        ];
        let image = written(&entries);
        let volume = FileSystem::new(io::Cursor::new(image), FsOptions::new()).expect("FAT");
        assert_eq!(volume.fat_type(), FatType::Fat32);
        assert_eq!(volume.volume_id(), 0x1234_5678);
        for Entry { path, content } in &entries {
            let mut found = Vec::new();
            let mut file = volume.root_dir().open_file(path).expect("there");
            file.read_to_end(&mut found).expect("readable");
            assert_eq!(Source::Bytes(found), *content, "{path}");
        }
    }

    #[test]
    fn small_partition_is_fat32_too() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("boot.img");
        for size in [40 * MIB, 64 * MIB, 159 * MIB, 160 * MIB] {
            let _ = std::fs::remove_file(&path);
            write_fat(&path, size, 1, LABEL, &[entry("a", b"x")]).expect("written");
            let volume = FileSystem::new(File::open(&path).expect("there"), FsOptions::new());
            assert_eq!(volume.expect("FAT").fat_type(), FatType::Fat32, "{size}");
        }
    }

    #[test]
    fn times_are_valid_and_the_same_for_all() {
        let image = written(&[entry("file", b"x")]);
        let volume = FileSystem::new(io::Cursor::new(image), FsOptions::new()).expect("FAT");
        let file = volume.root_dir().iter().filter_map(Result::ok).find(|e| e.is_file());
        let date = file.expect("there").modified().date;
        assert_eq!((date.year, date.month, date.day), (1980, 1, 1));
    }

    #[test]
    fn same_entries_give_the_same_bytes() {
        let entries = [entry("a/b.txt", b"x"), entry("a/c.txt", b"y")];
        assert!(written(&entries) == written(&entries));
    }

    #[test]
    fn file_that_does_not_fit_is_named() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("boot.img");
        let error = write_fat(&path, 256 * MIB, 1, LABEL, &[entry("big", &vec![1; 300 << 20])]);
        assert!(error.expect_err("too big").to_string().contains("big"));
    }
}

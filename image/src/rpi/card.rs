//! A card's image: its boot record, and the files on its FAT partitions. Reads only.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use fatfs::{FileSystem, FsOptions};

use super::firmware::Partition;
use crate::flash::table;

/// Why an image is no card.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The image.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its partition table is no master boot record, which is all that the ROM reads.
    #[error("{path} has no master boot record with FAT partitions")]
    Table {
        /// The image.
        path: PathBuf,
    },
}

/// An image, opened.
#[derive(Debug)]
pub struct Card {
    path: PathBuf,
    /// The primary partitions of FAT, by number.
    volumes: BTreeMap<u32, Range<u64>>,
}

impl Card {
    /// Opens an image.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let mut head = [0; 512];
        File::open(path).and_then(|mut file| file.read_exact(&mut head)).map_err(failed)?;
        let volumes = table::fat_partitions(&head);
        if volumes.is_empty() {
            return Err(Error::Table { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), volumes })
    }

    /// The FAT partition with a number, as firmware reads it.
    pub fn partition(&self, number: u32) -> Option<Volume> {
        let range = self.volumes.get(&number)?.clone();
        let file = File::open(&self.path).ok()?;
        let slice = Slice { file, range, at: 0 };
        let system = FileSystem::new(slice, FsOptions::new().update_accessed_date(false)).ok()?;
        Some(Volume(RefCell::new(system)))
    }
}

/// A FAT partition.
pub struct Volume(RefCell<FileSystem<Slice>>);

impl Volume {
    /// The names in its top folder, with sizes in bytes.
    pub fn list(&self) -> Vec<(String, u64)> {
        let system = self.0.borrow();
        let entries = system.root_dir().iter().filter_map(Result::ok);
        entries
            .filter(fatfs::DirEntry::is_file)
            .map(|entry| (entry.file_name(), entry.len()))
            .collect()
    }
}

impl Partition for Volume {
    fn file(&self, name: &str) -> Option<Vec<u8>> {
        let system = self.0.borrow();
        let mut content = Vec::new();
        system.root_dir().open_file(name).ok()?.read_to_end(&mut content).ok()?;
        Some(content)
    }

    fn size(&self, name: &str) -> Option<u64> {
        let found = self.list().into_iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map(|(_, size)| size)
    }
}

/// A part of a file that cannot be written.
#[derive(Debug)]
struct Slice {
    file: File,
    range: Range<u64>,
    at: u64,
}

impl Read for Slice {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = (self.range.end - self.range.start).saturating_sub(self.at);
        let wanted = to.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.file.seek(SeekFrom::Start(self.range.start + self.at))?;
        let read = self.file.read(&mut to[..wanted])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Slice {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => (self.range.end - self.range.start).checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl Write for Slice {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Entry, Part, Role, Source, plan, write, write_fat};

    #[test]
    fn files_of_each_fat_partition_are_found_by_its_number() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        let board = crate::board::read(&boards, "rpi").expect("the board is valid");
        let layout = plan(&board, 0, None).expect("planned");
        let mut parts = Vec::new();
        for (role, text) in [(Role::Select, "one"), (Role::BootA, "two"), (Role::BootB, "three")] {
            let path = folder.path().join(role.name());
            let size = layout.partition(role).expect("planned").size;
            let content = Source::Bytes(text.into());
            let entry = Entry { path: "Which.txt".into(), content };
            write_fat(&path, size, 1, *b"A          ", &[entry]).expect("written");
            parts.push((role, path));
        }
        let parts: Vec<Part> =
            parts.iter().map(|(role, file)| Part { role: *role, file }).collect();
        let image = folder.path().join("card.img");
        write(&layout, &parts, &image).expect("written");

        let card = Card::open(&image).expect("a card");
        for (number, text) in [(1, "one"), (2, "two"), (3, "three")] {
            let volume = card.partition(number).expect("a FAT partition");
            assert_eq!(
                volume.file("which.TXT").as_deref(),
                Some(text.as_bytes()),
                "no case in FAT"
            );
            assert_eq!(volume.size("which.txt"), Some(text.len() as u64));
            assert_eq!(volume.file("other"), None);
        }
        assert!(card.partition(4).is_none() && card.partition(5).is_none());
    }

    #[test]
    fn image_of_another_board_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("disk.img");
        std::fs::write(&path, vec![0; 4096]).expect("written");
        assert!(matches!(Card::open(&path), Err(Error::Table { .. })));
        assert!(matches!(Card::open(&folder.path().join("none")), Err(Error::Read { .. })));
    }
}

//! The boot partition in memory, on its way from the image to the target: files are put on it, and
//! what was changed is remembered. Holds only pages that are not zero.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use fatfs::{FileSystem, FsOptions};

use super::piece::is_zero;

/// Pages are what is stored and marked as changed.
pub const PAGE: u64 = 4096;

/// A partition's bytes.
#[derive(Debug)]
pub struct Volume {
    pages: BTreeMap<u64, Box<[u8]>>,
    changed: BTreeSet<u64>,
    size: u64,
    position: u64,
}

/// Why a file could not be put on the boot partition.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its file system cannot be used.
    #[error("cannot read the image's boot partition")]
    Volume(#[source] io::Error),
    /// A file could not be written there.
    #[error("cannot put {path} on the boot partition")]
    Put {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl Volume {
    /// A partition of `size` bytes, all zeros.
    pub fn new(size: u64) -> Self {
        Self { pages: BTreeMap::new(), changed: BTreeSet::new(), size, position: 0 }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the image's bytes at `at` of the partition.
    pub fn load(&mut self, at: u64, bytes: &[u8]) {
        self.store(at, bytes, false);
    }

    /// The pages that were written after loading.
    pub fn changed(&self) -> impl Iterator<Item = Range<u64>> {
        self.changed.iter().map(|page| page * PAGE..((page + 1) * PAGE).min(self.size))
    }

    /// Copies out the bytes at `at`; false, and nothing done, where they are all zeros.
    pub fn copy(&self, at: u64, to: &mut [u8]) -> bool {
        let end = at + to.len() as u64;
        let mut pages = self.pages.range(at / PAGE..end.div_ceil(PAGE)).peekable();
        if pages.peek().is_none() {
            return false;
        }
        to.fill(0);
        for (page, bytes) in pages {
            let start = page * PAGE;
            let (first, last) = (start.max(at), (start + PAGE).min(end));
            to[(first - at) as usize..(last - at) as usize]
                .copy_from_slice(&bytes[(first - start) as usize..(last - start) as usize]);
        }
        true
    }

    /// The content of a file; `None` when there is none.
    pub fn read_file(&mut self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let failed = |source| Error::Put { path: path.to_owned(), source };
        let system = self.mount()?;
        let mut file = match system.root_dir().open_file(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// Puts files there, with `/` between names; one of the same name is replaced.
    pub fn put(&mut self, files: &[(String, Vec<u8>)]) -> Result<(), Error> {
        let system = self.mount()?;
        for (path, bytes) in files {
            let root = system.root_dir();
            let put = || {
                for (at, _) in path.match_indices('/') {
                    root.create_dir(&path[..at])?;
                }
                let mut file = root.create_file(path)?;
                file.truncate()?;
                file.write_all(bytes)?;
                file.flush()
            };
            put().map_err(|source| Error::Put { path: path.clone(), source })?;
        }
        system.unmount().map_err(Error::Volume)
    }

    fn mount(&mut self) -> Result<FileSystem<&mut Self>, Error> {
        self.position = 0;
        FileSystem::new(self, FsOptions::new()).map_err(Error::Volume)
    }

    fn store(&mut self, mut at: u64, mut bytes: &[u8], is_change: bool) {
        while !bytes.is_empty() {
            let (page, within) = (at / PAGE, (at % PAGE) as usize);
            let (part, rest) = bytes.split_at(bytes.len().min(PAGE as usize - within));
            if self.pages.contains_key(&page) || !is_zero(part) {
                let stored =
                    self.pages.entry(page).or_insert_with(|| vec![0; PAGE as usize].into());
                stored[within..within + part.len()].copy_from_slice(part);
            }
            if is_change {
                self.changed.insert(page);
            }
            at += part.len() as u64;
            bytes = rest;
        }
    }

    /// How many of `length` bytes from the current position lie within the partition.
    fn fit(&self, length: usize) -> usize {
        length.min(usize::try_from(self.size.saturating_sub(self.position)).unwrap_or(usize::MAX))
    }
}

impl Read for Volume {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let length = self.fit(to.len());
        if !self.copy(self.position, &mut to[..length]) {
            to[..length].fill(0);
        }
        self.position += length as u64;
        Ok(length)
    }
}

impl Write for Volume {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let length = self.fit(from.len());
        self.store(self.position, &from[..length], true);
        self.position += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Volume {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flash::samples::{MIB, fat};

    fn volume(bytes: &[u8]) -> Volume {
        let mut volume = Volume::new(bytes.len() as u64);
        // In pieces that respect no page.
        for (n, part) in bytes.chunks(100_001).enumerate() {
            volume.load(n as u64 * 100_001, part);
        }
        volume
    }

    fn bytes(volume: &Volume) -> Vec<u8> {
        let mut bytes = vec![0; volume.size() as usize];
        volume.copy(0, &mut bytes);
        bytes
    }

    #[test]
    fn files_are_added_and_replaced_and_others_stay() {
        let long = vec![1; 50_000];
        let mut volume = volume(&fat(16 * MIB, &[("kernel", b"kernel"), ("holm.toml", &long)]));
        let files = [
            ("holm.toml".to_owned(), b"[node]\n".to_vec()),
            ("manifests/web.yaml".to_owned(), vec![b'y'; 9_000]),
            ("manifests/A long name, with blanks.yaml".to_owned(), b"z".to_vec()),
        ];
        volume.put(&files).expect("put");
        for (path, content) in &files {
            assert_eq!(volume.read_file(path).expect("read").as_ref(), Some(content), "{path}");
        }
        assert_eq!(volume.read_file("kernel").expect("read"), Some(b"kernel".to_vec()));
        assert_eq!(volume.read_file("missing").expect("read"), None);
    }

    #[test]
    fn everything_that_differs_is_marked_as_changed() {
        let before = fat(16 * MIB, &[("kernel", b"kernel")]);
        let mut volume = volume(&before);
        assert!(bytes(&volume) == before && volume.changed().next().is_none());
        assert!(volume.pages.len() < 100, "zeros are not kept");
        volume.put(&[("dir/file".to_owned(), vec![5; 30_000])]).expect("put");
        let mut after = before;
        for range in volume.changed() {
            let range = range.start as usize..range.end as usize;
            assert!(
                volume.copy(range.start as u64, &mut after[range.clone()])
                    || is_zero(&after[range])
            );
        }
        assert!(bytes(&volume) == after);
    }

    #[test]
    fn partition_without_fat_and_file_too_large_are_errors() {
        let error = volume(&[0; 100_000]).put(&[("a".to_owned(), vec![])]).expect_err("no FAT");
        assert!(matches!(error, Error::Volume(_)));
        let mut small = volume(&fat(MIB, &[]));
        let error = small.put(&[("big".to_owned(), vec![1; 2 << 20])]).expect_err("too large");
        assert_eq!(error.to_string(), "cannot put big on the boot partition");
    }

    proptest! {
        #[test]
        fn reads_give_what_was_written_last(
            writes in proptest::collection::vec((0_u64..40_000, proptest::collection::vec(0_u8..3, 0..9_000)), 0..12),
        ) {
            let mut model = vec![0; 40_000];
            let mut volume = Volume::new(40_000);
            for (at, bytes) in writes {
                volume.seek(SeekFrom::Start(at)).expect("sought");
                let length = volume.write(&bytes).expect("written");
                prop_assert_eq!(length, bytes.len().min(40_000 - at as usize));
                model[at as usize..at as usize + length].copy_from_slice(&bytes[..length]);
            }
            let mut found = Vec::new();
            volume.seek(SeekFrom::Start(0)).expect("sought");
            volume.read_to_end(&mut found).expect("read");
            prop_assert!(found == model);
        }
    }
}

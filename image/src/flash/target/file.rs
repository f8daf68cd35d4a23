//! A plain file as target: zeros stay holes. It gets its name only when it is complete.
//! Must never leave a half-written file behind.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use super::Target;
use crate::flash::extents::BLOCK;
use crate::flash::ranges::Ranges;

/// A file that becomes a disk image.
#[derive(Debug)]
pub struct FileTarget {
    file: File,
    path: PathBuf,
    fresh: PathBuf,
    written: Ranges,
    /// An existing file that is larger than the image stays as large: it acts as a larger disk.
    least: u64,
}

impl FileTarget {
    /// Begins a file that will be called `path`; one that is there is replaced in the end.
    pub fn create(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let least = fs::metadata(&path).map_or(0, |found| found.len());
        let mut fresh = path.clone().into_os_string();
        fresh.push(".part");
        let fresh = PathBuf::from(fresh);
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(&fresh)?;
        Ok(Self { file, path, fresh, written: Ranges::new(), least })
    }
}

impl Target for FileTarget {
    fn size(&self) -> Option<u64> {
        None
    }

    fn least_zeros(&self) -> u64 {
        BLOCK
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write_at(bytes, at)?;
        self.written.insert(at..at + length as u64);
        Ok(length)
    }

    fn read_at(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(bytes, at)
    }

    fn zero(&mut self, range: Range<u64>) -> io::Result<bool> {
        // What was never written is a hole.
        Ok(self.written.within(range).next().is_none())
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.file.set_len(size.max(self.least))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn forget(&mut self) -> io::Result<()> {
        Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }

    fn complete(&mut self) -> io::Result<()> {
        fs::rename(&self.fresh, &self.path)?;
        // The name is on the disk when its folder is.
        let folder = self.path.parent().filter(|folder| *folder != Path::new(""));
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn is_gone(&self) -> bool {
        false
    }
}

impl Drop for FileTarget {
    fn drop(&mut self) {
        // Not there any more when it was completed.
        let _ = fs::remove_file(&self.fresh);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn file_appears_only_when_complete_and_zeros_are_holes() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("disk.img");
        let mut target = FileTarget::create(&path).expect("made");
        assert!(target.zero(0..1 << 20).expect("a hole"));
        target.write_at(1 << 20, b"here").expect("written");
        assert!(!target.zero(1 << 20..2 << 20).expect("written there"), "no hole any more");
        target.set_size(64 << 20).expect("sized");
        target.flush().and_then(|()| target.forget()).expect("flushed");
        assert!(!path.exists());
        target.complete().expect("named");
        drop(target);
        let found = fs::metadata(&path).expect("there");
        assert!(found.len() == 64 << 20 && found.blocks() * 512 < 1 << 20);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn file_given_up_leaves_the_old_one_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("disk.img");
        fs::write(&path, "old").expect("written");
        let mut target = FileTarget::create(&path).expect("made");
        target.write_at(0, b"new").expect("written");
        drop(target);
        assert_eq!(fs::read(&path).expect("there"), b"old");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn larger_file_stays_as_large_and_loses_its_content() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("disk.img");
        fs::write(&path, vec![1; 10_000]).expect("written");
        let mut target = FileTarget::create(&path).expect("made");
        target.set_size(512).and_then(|()| target.complete()).expect("done");
        assert_eq!(fs::read(&path).expect("there"), vec![0; 10_000]);
    }
}

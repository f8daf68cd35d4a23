//! A disk as target, past the page cache: errors come with the write that they belong to, and what
//! is read back comes from the medium. Must never open a disk that something else holds.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate};
use rustix::io::Errno;

use super::Target;
use crate::flash::piece::{ALIGNMENT, PIECE, Piece};
use crate::flash::table::SECTOR;

/// An open disk.
#[derive(Debug)]
pub struct DiskTarget {
    file: File,
    size: u64,
    /// The kernel's folder for it, which goes when the disk goes.
    folder: PathBuf,
    is_direct: bool,
    can_zero: bool,
    /// For bytes that do not lie as direct access needs them.
    bounce: Piece,
}

impl DiskTarget {
    /// Opens the disk at `path`, called `name` by the kernel, for nobody else at the same time:
    /// fails with "busy" while it is mounted or held.
    pub fn open(path: &Path, name: &str, size: u64) -> io::Result<Self> {
        let open = |flags: OFlags| {
            let flags = (OFlags::EXCL | flags).bits().cast_signed();
            File::options().read(true).write(true).custom_flags(flags).open(path)
        };
        let (file, is_direct) = match open(OFlags::DIRECT) {
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                (open(OFlags::empty())?, false)
            }
            opened => (opened?, true),
        };
        let folder = Path::new("/sys/class/block").join(name);
        let bounce = Piece::zeroed(PIECE);
        Ok(Self { file, size, folder, is_direct, can_zero: true, bounce })
    }

    /// The first and the last MiB of a disk, to see what it holds; nothing is changed.
    pub fn look(path: &Path, size: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let file = File::open(path)?;
        let length = size.min(1 << 20);
        let (mut head, mut tail) = (vec![0; length as usize], vec![0; length as usize]);
        file.read_exact_at(&mut head, 0)?;
        file.read_exact_at(&mut tail, size - length)?;
        Ok((head, tail))
    }
}

impl Target for DiskTarget {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn least_zeros(&self) -> u64 {
        // Flash likes long writes; a hole is worth interrupting them from about here.
        1 << 20
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let is_aligned = bytes.as_ptr().align_offset(ALIGNMENT) == 0;
        if !self.is_direct || is_aligned {
            return self.file.write_at(bytes, at).map(whole_sectors);
        }
        let length = bytes.len().min(PIECE);
        self.bounce.set_length(length);
        self.bounce.copy_from_slice(&bytes[..length]);
        self.file.write_at(&self.bounce, at).map(whole_sectors)
    }

    fn read_at(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(bytes, at).map(whole_sectors)
    }

    fn zero(&mut self, range: Range<u64>) -> io::Result<bool> {
        if !self.can_zero {
            return Ok(false);
        }
        // On a disk the kernel does this only where the disk itself promises zeros afterwards
        // ("write zeroes"), never by a discard that promises nothing.
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, range.start, range.end - range.start) {
            Ok(()) => Ok(true),
            Err(error @ (Errno::NODEV | Errno::NXIO)) => Err(error.into()),
            Err(_) => {
                self.can_zero = false;
                Ok(false)
            }
        }
    }

    fn set_size(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Also tells the disk to empty its own cache.
        self.file.sync_all()
    }

    fn forget(&mut self) -> io::Result<()> {
        if self.is_direct {
            return Ok(());
        }
        Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }

    fn complete(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn is_gone(&self) -> bool {
        // A reader stays when its card goes: then the size is 0.
        let size = fs::read_to_string(self.folder.join("size")).unwrap_or_default();
        matches!(size.trim(), "" | "0")
    }
}

/// After a short transfer the next one must begin at a sector, too.
fn whole_sectors(length: usize) -> usize {
    length - length % SECTOR as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file takes the same calls; it lies on a file system that may know no direct access.
    fn target(folder: &Path) -> DiskTarget {
        let path = folder.join("disk");
        fs::write(&path, vec![9; 4 << 20]).expect("written");
        DiskTarget::open(&path, "no-such-disk", 4 << 20).expect("opened")
    }

    #[test]
    fn bytes_at_any_address_are_written_and_read_back() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut target = target(folder.path());
        let mut bytes = Piece::zeroed(8192);
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = (n % 251) as u8;
        }
        let odd = bytes[512..4608].to_vec();
        for part in [&bytes[..4096], &bytes[512..4608], &odd] {
            assert_eq!(target.write_at(1 << 20, part).expect("written"), 4096);
            target.flush().and_then(|()| target.forget()).expect("flushed");
            let mut found = Piece::zeroed(4096);
            assert_eq!(target.read_at(1 << 20, &mut found).expect("read"), 4096);
            assert!(*found == *part);
        }
    }

    #[test]
    fn zeroed_range_reads_as_zeros_or_says_that_it_cannot() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut target = target(folder.path());
        let is_zero = target.zero(1 << 20..2 << 20).expect("tried");
        let mut found = Piece::zeroed(4096);
        target.read_at(1 << 20, &mut found).expect("read");
        assert_eq!(found.iter().all(|byte| *byte == 0), is_zero);
        assert_eq!(target.size(), Some(4 << 20));
    }

    #[test]
    fn disk_that_the_kernel_does_not_know_is_gone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert!(target(folder.path()).is_gone());
    }

    #[test]
    fn look_reads_both_ends_of_small_disks_too() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("disk");
        fs::write(&path, [1, 2, 3]).expect("written");
        assert_eq!(DiskTarget::look(&path, 3).expect("read"), (vec![1, 2, 3], vec![1, 2, 3]));
        assert!(DiskTarget::look(&path, 4).is_err());
    }
}

//! What the image store asks of a file system.
//!
//! Two small traits, so that tests can stand in a file system in memory that loses its power at
//! any step. Implementations decide nothing.

use std::io::{self, Read, Write};
use std::path::Path;

mod linux;
mod tree;

#[cfg(test)]
pub(crate) mod fake;

pub(crate) use linux::LinuxDisk;

/// Free and total room of the store's file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub total: u64,
    /// Bytes that an unprivileged writer could still use.
    pub free: u64,
}

/// The store's folder. Paths are relative to it and made by the store alone.
pub(crate) trait Disk: Send + Sync {
    /// Makes a folder and its parents; one that is there already is fine.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder, in no order.
    fn names(&self, path: &Path) -> io::Result<Vec<String>>;
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Reads a file of at most `limit` bytes.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;
    /// Writes a new file and flushes its contents.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Flushes everything that was written to the file system (`syncfs`).
    fn flush_all(&self) -> io::Result<()>;
    /// Flushes a folder's entries.
    fn flush_dir(&self, path: &Path) -> io::Result<()>;
    /// Moves a file or folder; replaces a file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; one that is gone already is fine.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a file or folder with all it holds; one that is gone already is fine.
    fn remove_tree(&self, path: &Path) -> io::Result<()>;
    fn space(&self) -> io::Result<Space>;
    /// Opens a folder to unpack a layer into, or to look at an unpacked one.
    fn tree(&self, path: &Path) -> io::Result<Box<dyn Tree + '_>>;
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Symlink(Vec<u8>),
    /// The mark by which overlayfs hides a name of the layers below: character device 0:0.
    Whiteout,
    /// Device, FIFO or socket.
    Special,
}

/// Ownership, mode, time and extended attributes of an inode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Meta {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u64,
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// A device node or FIFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Char { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
    Fifo,
}

/// One layer's folder. Paths are relative to it, without `.` and `..`, and no folder on the way is
/// a symbolic link: an implementation must fail where one is. The empty path is the folder itself.
pub(crate) trait Tree {
    /// What is at `path`; symbolic links are not followed.
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>>;
    /// Mode, ownership and time, without extended attributes.
    fn meta(&self, path: &Path) -> io::Result<Meta>;
    fn make_dir(&mut self, path: &Path) -> io::Result<()>;
    /// Makes a file of `size` bytes, all zero, for `write_at` to fill. No other name may be there.
    fn make_file(&mut self, path: &Path) -> io::Result<Box<dyn Sink>>;
    fn make_symlink(&mut self, path: &Path, target: &[u8]) -> io::Result<()>;
    fn make_link(&mut self, path: &Path, to: &Path) -> io::Result<()>;
    fn make_node(&mut self, path: &Path, node: Node) -> io::Result<()>;
    /// Ownership first, then mode and attributes, which a change of owner would clear; time last.
    fn set_meta(&mut self, path: &Path, meta: &Meta) -> io::Result<()>;
    fn set_mtime(&mut self, path: &Path, mtime: u64) -> io::Result<()>;
    fn set_xattr(&mut self, path: &Path, name: &str, value: &[u8]) -> io::Result<()>;
    /// Removes whatever is at `path`, with all it holds.
    fn remove(&mut self, path: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub(crate) trait Sink {
    /// Appends `length` bytes of `from`. Fails when it ends early.
    fn copy(&mut self, from: &mut dyn Read, length: u64) -> io::Result<()>;
    /// Leaves a hole up to `offset`, which is not below the present end.
    fn seek(&mut self, offset: u64) -> io::Result<()>;
    /// Sets the length, leaving a hole at the end where that is longer.
    fn set_len(&mut self, length: u64) -> io::Result<()>;
}

/// Copies exactly `length` bytes through a small buffer.
pub(crate) fn copy_exactly(from: &mut dyn Read, to: &mut dyn Write, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(64 * 1024)];
    let mut left = length;
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match from.read(&mut buffer[..want]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                to.write_all(&buffer[..n])?;
                left -= n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

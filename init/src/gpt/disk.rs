//! Reads the partition table of a disk.
//! Reads only; `growth` plans writes and `storage` performs them.

use super::table::{Entry, Error as TableError, Header, entries};
use crate::device::partition::sysfs_number;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Why the table could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The disk could not be read.
    #[error("cannot read the partition table of {0}: {1}")]
    Read(String, std::io::Error),
    /// It holds no usable table.
    #[error("{0}: {1}")]
    Table(String, TableError),
}

/// A disk and its primary table.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    /// Bytes in a block.
    pub(crate) block_size: usize,
    /// Blocks on the disk.
    pub(crate) blocks: u64,
    /// The primary header.
    pub(crate) header: Header,
    /// The entries, as they are on disk.
    pub(crate) entries: Vec<u8>,
}

impl Disk {
    /// Reads the table of the disk that the kernel calls `name`.
    pub(crate) fn read(name: &str) -> Result<Self, Error> {
        let block_size = sysfs_number(name, "queue/logical_block_size").unwrap_or(512);
        // sysfs counts in units of 512 bytes whatever the disk does.
        let bytes = sysfs_number(name, "size").unwrap_or(0) * 512;
        let file = File::open(Path::new("/dev").join(name));
        let file = file.map_err(|error| Error::Read(name.to_owned(), error))?;
        Self::read_from(&file, name, block_size as usize, bytes / block_size.max(1))
    }

    fn read_from(file: &File, name: &str, block_size: usize, blocks: u64) -> Result<Self, Error> {
        let read = |size: usize, block: u64| {
            let mut bytes = vec![0; size];
            let result = file.read_exact_at(&mut bytes, block.saturating_mul(block_size as u64));
            result.map_err(|error| Error::Read(name.to_owned(), error))?;
            Ok(bytes)
        };
        let table = |error| Error::Table(name.to_owned(), error);
        let header = Header::decode(&read(block_size, 1)?, 1).map_err(table)?;
        let entries = read(header.entries_size(), header.entries_at)?;
        header.check_entries(&entries).map_err(table)?;
        Ok(Self { block_size, blocks, header, entries })
    }

    /// The partitions in it.
    pub(crate) fn partitions(&self) -> Vec<Entry> {
        entries(&self.entries)
    }
}

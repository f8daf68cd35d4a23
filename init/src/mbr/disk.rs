//! Reads the boot records of a disk.
//! Reads only; `growth` plans writes and `storage` performs them.

use super::table::{Entry, SECTOR, entries, is_holms};
use crate::device::partition::sysfs_number;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Nobody has more logical partitions; a chain that goes on is a ring.
const LONGEST_CHAIN: usize = 64;

/// Why the records could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The disk could not be read.
    #[error("cannot read the boot records of {0}: {1}")]
    Read(String, std::io::Error),
    /// A record is damaged, or the chain of them does not end.
    #[error("{0}: boot record at sector {1} is damaged")]
    Damaged(String, u64),
}

/// A boot record and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The sector.
    pub(crate) at: u64,
    /// Its content.
    pub(crate) bytes: [u8; SECTOR],
}

/// A disk and its chain of boot records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Sectors on the disk.
    pub(crate) sectors: u64,
    /// The first record, then one for each logical partition.
    pub(crate) records: Vec<Record>,
}

/// Whether the disk that the kernel calls `name` is Holm's, with numbers for names.
pub(crate) fn is_marked(name: &str) -> bool {
    let mut record = [0; SECTOR];
    let file = File::open(Path::new("/dev").join(name));
    file.and_then(|file| file.read_exact_at(&mut record, 0)).is_ok() && is_holms(&record)
}

impl Disk {
    /// Reads the disk that the kernel calls `name`.
    pub(crate) fn read(name: &str) -> Result<Self, Error> {
        let failed = |error| Error::Read(name.to_owned(), error);
        let file = File::open(Path::new("/dev").join(name)).map_err(failed)?;
        // sysfs counts in units of 512 bytes whatever the disk does.
        let sectors = sysfs_number(name, "size").unwrap_or(0);
        Self::read_from(name, sectors, &mut |sector| {
            let mut bytes = [0; SECTOR];
            file.read_exact_at(&mut bytes, sector * SECTOR as u64).map(|()| bytes)
        })
    }

    /// As `read`, from a function that gives a sector.
    pub(crate) fn read_from(
        name: &str,
        sectors: u64,
        sector: &mut dyn FnMut(u64) -> std::io::Result<[u8; SECTOR]>,
    ) -> Result<Self, Error> {
        let mut next = |at: u64| {
            let bytes = sector(at).map_err(|error| Error::Read(name.to_owned(), error))?;
            let entries = entries(&bytes).ok_or_else(|| Error::Damaged(name.to_owned(), at))?;
            Ok((Record { at, bytes }, entries))
        };
        let (first, entries) = next(0)?;
        let mut records = vec![first];
        let frame = entries.iter().find(|entry| entry.is_extended());
        let mut link = frame.map(|frame| u64::from(frame.start));
        while let Some(at) = link {
            if records.len() > LONGEST_CHAIN {
                return Err(Error::Damaged(name.to_owned(), at));
            }
            let (record, entries) = next(at)?;
            records.push(record);
            let further = entries.iter().find(|entry| entry.is_extended() && entry.start != 0);
            link = further
                .zip(frame)
                .map(|(next, frame)| u64::from(frame.start) + u64::from(next.start));
        }
        Ok(Self { sectors, records })
    }

    /// The entries of a record of the chain.
    pub(crate) fn entries(&self, index: usize) -> Option<[Entry; 4]> {
        entries(&self.records.get(index)?.bytes)
    }
}

//! Puts a verified device over a partition.
//! Reads the partition's superblock; never writes to it.

use super::superblock::{self, SIZE, Superblock};
use crate::syscalls::device_mapper;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Why there is no verified device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The partition could not be read.
    #[error("cannot read the verity superblock from {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The superblock or the root hash is of no use.
    #[error(transparent)]
    Superblock(#[from] superblock::Error),
    /// The kernel refused.
    #[error(transparent)]
    Mapper(#[from] device_mapper::Error),
}

/// Makes the verified device `name` over `partition`, whose hash tree begins
/// with a superblock at byte `hash_offset`, and gives the device's path.
pub(crate) fn activate(
    name: &str,
    partition: &Path,
    hash_offset: u64,
    root_hash: &str,
) -> Result<String, Error> {
    let mut bytes = [0; SIZE];
    let read = File::open(partition).and_then(|file| file.read_exact_at(&mut bytes, hash_offset));
    read.map_err(|error| Error::Read(partition.to_owned(), error))?;
    let superblock = Superblock::decode(&bytes, hash_offset)?;
    let table = superblock.table(&partition.to_string_lossy(), root_hash)?;
    let id = superblock.mapper_id(name);
    Ok(device_mapper::create_read_only(name, &id, superblock.sectors(), "verity", &table)?)
}

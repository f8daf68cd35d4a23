//! Grows the last partition and the file systems on a disk that has become
//! larger: on the first boot of an image, or when the disk was. Thin: the plan is
//! `gpt::growth`'s. What fails here costs space, not the boot.

use super::superblock::Superblock;
use crate::device::partition::{Partition, sysfs_number};
use crate::gpt::growth::{self, Growth, Step};
use crate::syscalls;
use crate::{gpt, kmsg, mbr};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Why something did not grow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The partition table could not be read.
    #[error(transparent)]
    Gpt(#[from] gpt::disk::Error),
    /// The boot records could not be read.
    #[error(transparent)]
    Mbr(#[from] mbr::disk::Error),
    /// The table does not allow it.
    #[error(transparent)]
    GptPlan(#[from] growth::Error),
    /// The boot records do not allow it.
    #[error(transparent)]
    MbrPlan(#[from] mbr::growth::Error),
    /// The disk could not be written.
    #[error("cannot write the partition table of {0}: {1}")]
    Write(String, std::io::Error),
    /// The kernel keeps the old size.
    #[error("kernel does not take the new size of {0}: {1}")]
    Kernel(String, std::io::Error),
    /// The file system keeps its old size.
    #[error("cannot grow the file system on {0}: {1}")]
    FileSystem(String, std::io::Error),
}

/// Grows `partition` to the end of its disk, if there is room.
pub(crate) fn partition(partition: &Partition) -> Result<(), Error> {
    let Some((growth, block_size)) = plan(partition)? else {
        return Ok(());
    };
    let failed = |error| Error::Write(partition.disk.clone(), error);
    let path = Path::new("/dev").join(&partition.disk);
    let file = File::options().read(true).write(true).open(path).map_err(failed)?;
    for step in &growth.steps {
        match step {
            Step::Write(block, bytes) => file.write_all_at(bytes, block * block_size as u64),
            Step::Flush => file.sync_all(),
        }
        .map_err(failed)?;
    }
    let mebibytes = growth.length >> 20;
    kmsg::announce(&format!("partition {} grows to {mebibytes} MiB", partition.label));
    syscalls::partition::resize(&file, growth.number, growth.start, growth.length)
        .map_err(|error| Error::Kernel(partition.device.clone(), error))
}

/// The plan for the kind of table that the disk has, and the bytes in a block of it.
fn plan(partition: &Partition) -> Result<Option<(Growth, usize)>, Error> {
    let Partition { disk, label, number, .. } = partition;
    if mbr::disk::is_marked(disk) {
        let growth = mbr::growth::plan(&mbr::disk::Disk::read(disk)?, *number)?;
        return Ok(growth.map(|growth| (growth, mbr::table::SECTOR)));
    }
    let disk = gpt::disk::Disk::read(disk)?;
    Ok(growth::plan(&disk, label)?.map(|growth| (growth, disk.block_size)))
}

/// Grows the mounted ext4 file system on `partition` to the partition's size.
pub(crate) fn file_system(
    partition: &Partition,
    superblock: &Superblock,
    mount_point: &str,
) -> Result<(), Error> {
    let bytes = sysfs_number(&partition.device, "size").unwrap_or(0) * 512;
    let Some(blocks) = superblock.room_to_grow(bytes) else {
        return Ok(());
    };
    File::open(mount_point)
        .and_then(|folder| syscalls::ext4::resize(&folder, blocks))
        .map_err(|error| Error::FileSystem(partition.device.clone(), error))
}

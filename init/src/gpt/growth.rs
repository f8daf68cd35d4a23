//! Plans how the last partition grows to the end of its disk. Pure.
//!
//! The plan never leaves the primary table invalid. Its entries take many blocks
//! and cannot be replaced at once, but its header is one block: so the new
//! entries go to a spare place, the header is pointed at them, and then the same
//! is done once more back to the usual place. Firmware and kernel accept entries
//! anywhere. The backup table is written before, at the new end of the disk.

use super::disk::Disk;
use super::table::{Entry, Header, entries, set_last};

/// Partitions end on a multiple of this, as every tool has it.
const ALIGNMENT_BYTES: u64 = 1 << 20;
/// Where the primary entries belong.
const USUAL_PLACE: u64 = 2;

/// Something to do to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write these bytes from this block on.
    Write(u64, Vec<u8>),
    /// Wait until all that was written is on the disk.
    Flush,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Growth {
    /// What to write, in order.
    pub(crate) steps: Vec<Step>,
    /// The number of the partition.
    pub(crate) number: u32,
    /// Where it begins, in bytes.
    pub(crate) start: u64,
    /// How long it becomes, in bytes.
    pub(crate) length: u64,
}

/// Why the partition cannot grow, though there is room behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such partition.
    #[error("no partition is named {0}")]
    Missing(String),
    /// Another partition lies behind it.
    #[error("partition {0} is not the last one on its disk: {1} lies behind it")]
    NotLast(String, String),
    /// The first partition begins too early.
    #[error("partition table has no spare room before the first partition at block {0}")]
    NoSpareRoom(u64),
}

/// Plans the growth of the partition `label`; none when there is nothing to do.
pub(crate) fn plan(disk: &Disk, label: &str) -> Result<Option<Growth>, Error> {
    let all = entries(&disk.entries);
    let found = all.iter().find(|entry| entry.label == label);
    let found = found.ok_or_else(|| Error::Missing(label.to_owned()))?;
    if let Some(behind) = all.iter().find(|entry| entry.first > found.last) {
        return Err(Error::NotLast(label.to_owned(), behind.label.clone()));
    }
    let taken = entry_blocks(disk);
    let last_block = disk.blocks.saturating_sub(1);
    let last_usable = last_block.saturating_sub(taken + 1);
    let alignment = (ALIGNMENT_BYTES / disk.block_size as u64).max(1);
    let last = ((last_usable + 1) / alignment * alignment).saturating_sub(1);
    let at_home = disk.header.entries_at == USUAL_PLACE;
    if last <= found.last && at_home {
        return Ok(None);
    }
    let last = last.max(found.last);

    let mut new_entries = disk.entries.clone();
    set_last(&mut new_entries, found.index, last);
    let checksum = crc32fast::hash(&new_entries);
    let primary = Header {
        alternate: last_block,
        last_usable: last_usable.max(disk.header.last_usable.min(last_block)),
        entries_at: USUAL_PLACE,
        entries_checksum: checksum,
        ..disk.header.clone()
    };
    let backup =
        Header { own: last_block, alternate: 1, entries_at: last_block - taken, ..primary.clone() };
    let spare = spare_place(&all, &disk.header, taken)?;
    let header = |header: &Header| header.encode(disk.block_size);
    let mut steps = vec![
        Step::Write(backup.entries_at, new_entries.clone()),
        Step::Write(backup.own, header(&backup)),
        Step::Flush,
    ];
    if at_home {
        steps.extend([
            Step::Write(spare, new_entries.clone()),
            Step::Flush,
            Step::Write(1, header(&Header { entries_at: spare, ..primary.clone() })),
            Step::Flush,
        ]);
    }
    steps.extend([
        Step::Write(USUAL_PLACE, new_entries),
        Step::Flush,
        Step::Write(1, header(&primary)),
        Step::Flush,
    ]);
    Ok(Some(Growth {
        steps,
        number: found.index as u32 + 1,
        start: found.first * disk.block_size as u64,
        length: (last + 1 - found.first) * disk.block_size as u64,
    }))
}

/// A place for the entries beside their usual one, before the first partition.
fn spare_place(all: &[Entry], header: &Header, taken: u64) -> Result<u64, Error> {
    let first = all.iter().map(|entry| entry.first).min().unwrap_or(header.first_usable);
    let spare = USUAL_PLACE + taken;
    if spare + taken <= first { Ok(spare) } else { Err(Error::NoSpareRoom(first)) }
}

fn entry_blocks(disk: &Disk) -> u64 {
    (disk.entries.len() as u64).div_ceil(disk.block_size as u64)
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;

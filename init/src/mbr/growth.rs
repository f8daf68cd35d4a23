//! Plans how the last logical partition grows to the end of its disk. Pure.
//!
//! Three records say how long it is: the first one frames all logical partitions, the one before
//! the last frames the last, and the last says the partition itself. Each is one sector, which a
//! disk writes whole or not at all, and they are written from the outside in: whatever a power cut
//! leaves, no partition is larger than its frame, and the next boot does the rest.

use super::disk::Disk;
use super::table::{SECTOR, set_length};
use crate::gpt::growth::{Growth, Step};

/// Partitions end on a multiple of this many sectors, one MiB.
const ALIGNMENT: u64 = (1 << 20) / SECTOR as u64;
/// What 32 bits of sectors reach.
const END_OF_WORLD: u64 = 1 << 32;
/// The first number of a logical partition.
const FIRST_LOGICAL: u32 = 5;

/// Why the partition cannot grow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// It is not the last logical one.
    #[error("partition {0} is not the last logical one of its disk")]
    NotLast(u32),
    /// A primary partition lies behind the logical ones, or the records contradict each other.
    #[error("extended partition does not end last")]
    Frame,
}

/// Plans the growth of partition `number`; none when there is nothing to do.
pub(crate) fn plan(disk: &Disk, number: u32) -> Result<Option<Growth>, Error> {
    let last = disk.records.len().saturating_sub(1);
    if last == 0 || number != FIRST_LOGICAL + last as u32 - 1 {
        return Err(Error::NotLast(number));
    }
    let main = disk.entries(0).ok_or(Error::Frame)?;
    let frame = main.iter().find(|entry| entry.is_extended()).ok_or(Error::Frame)?;
    let frame_start = u64::from(frame.start);
    if main.iter().any(|entry| entry.kind != 0 && entry.start > frame.start) {
        return Err(Error::Frame);
    }
    let own = disk.entries(last).ok_or(Error::Frame)?;
    let own =
        own.iter().find(|entry| entry.kind != 0 && !entry.is_extended()).ok_or(Error::Frame)?;
    let place = disk.records[last].at;
    let start = place + u64::from(own.start);
    let room = disk.sectors.min(END_OF_WORLD) / ALIGNMENT * ALIGNMENT;
    // One sector less than all that 32 bits can count, where the disk is that large.
    let end = room.max(start + u64::from(own.length));
    let sectors = |length: u64| u32::try_from(length).map_err(|_| Error::Frame);

    let mut wanted = vec![(0, frame.index, sectors(end.saturating_sub(frame_start))?)];
    if last > 1 {
        let before = disk.entries(last - 1).ok_or(Error::Frame)?;
        let link = before.iter().find(|entry| entry.is_extended()).ok_or(Error::Frame)?;
        wanted.push((last - 1, link.index, sectors(end.saturating_sub(place))?));
    }
    wanted.push((last, own.index, sectors(end - start)?));

    let mut steps = Vec::new();
    for (record, index, length) in wanted {
        let is = disk.entries(record).ok_or(Error::Frame)?[index].length;
        if is >= length {
            continue;
        }
        let mut bytes = disk.records[record].bytes;
        set_length(&mut bytes, index, length);
        steps.push(Step::Write(disk.records[record].at, bytes.to_vec()));
        steps.push(Step::Flush);
    }
    if steps.is_empty() {
        return Ok(None);
    }
    let bytes = |sectors: u64| sectors * SECTOR as u64;
    Ok(Some(Growth { steps, number, start: bytes(start), length: bytes(end - start) }))
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;

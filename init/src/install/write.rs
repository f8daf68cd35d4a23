//! Writes an image file to a disk: its holes as zeros, its first MiB last, and all of it read back.
//! A disk that was not finished holds no partition table. Must never decide which disk.

use rustix::fs::{Advice, FallocateFlags, SeekFrom, fadvise, fallocate, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// What makes the disk bootable lies within it; it is zero until all else is there.
const HEAD: u64 = 1 << 20;
const PIECE: usize = 1 << 20;

/// Why the disk does not hold the image.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The image cannot be read.
    #[error("cannot read the image at byte {0}: {1}")]
    Image(u64, io::Error),
    /// The disk fails.
    #[error("cannot write the disk at byte {0}: {1}")]
    Disk(u64, io::Error),
    /// It holds something else than what was written.
    #[error("the disk holds something else than what was written to it at byte {0}: it is broken")]
    Differs(u64),
}

/// Writes `image` of `size` bytes to `disk`. `progress` is called with the share done, in percent,
/// whenever that changes; reading back is the second half.
pub(super) fn write(
    image: &File,
    size: u64,
    disk: &File,
    mut progress: impl FnMut(u64),
) -> Result<(), Error> {
    let data = data(image, size).map_err(|error| Error::Image(0, error))?;
    let mut shown = 0;
    let mut show = |done: u64| {
        let percent = done * 100 / (2 * size).max(1);
        if percent > shown {
            shown = percent;
            progress(percent);
        }
    };
    zero(disk, 0..HEAD.min(size))?;
    let mut at = HEAD.min(size);
    for part in data.iter().filter_map(|part| behind_head(part, size)) {
        zero(disk, at..part.start)?;
        copy(image, disk, part.clone())?;
        at = part.end;
        show(at);
    }
    zero(disk, at..size)?;
    // Past the image an old copy of a partition table may stand; tools would find it.
    flush(disk)?;
    compare(image, disk, HEAD.min(size)..size, |done| show(size + done))?;
    copy(image, disk, 0..HEAD.min(size))?;
    flush(disk)?;
    compare(image, disk, 0..HEAD.min(size), |_| ())?;
    progress(100);
    Ok(())
}

fn behind_head(part: &Range<u64>, size: u64) -> Option<Range<u64>> {
    let part = part.start.max(HEAD.min(size))..part.end;
    (!part.is_empty()).then_some(part)
}

/// The parts of the image that are no holes, in their order.
fn data(image: &File, size: u64) -> io::Result<Vec<Range<u64>>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(image, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(image, SeekFrom::Hole(start))?.min(size);
        parts.push(start..end);
        at = end;
    }
    Ok(parts)
}

fn copy(image: &File, disk: &File, range: Range<u64>) -> Result<(), Error> {
    let mut bytes = vec![0; PIECE];
    let mut at = range.start;
    while at < range.end {
        let piece = &mut bytes[..(range.end - at).min(PIECE as u64) as usize];
        image.read_exact_at(piece, at).map_err(|error| Error::Image(at, error))?;
        disk.write_all_at(piece, at).map_err(|error| Error::Disk(at, error))?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// The device's own way to write zeros, else zeros themselves.
fn zero(disk: &File, range: Range<u64>) -> Result<(), Error> {
    if range.is_empty() {
        return Ok(());
    }
    let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    match fallocate(disk, flags, range.start, range.end - range.start) {
        Ok(()) => return Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        Err(error) => return Err(Error::Disk(range.start, error.into())),
    }
    let zeros = vec![0; PIECE];
    let mut at = range.start;
    while at < range.end {
        let piece = &zeros[..(range.end - at).min(PIECE as u64) as usize];
        disk.write_all_at(piece, at).map_err(|error| Error::Disk(at, error))?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// Onto the medium, and out of the memory, so that what is read comes from there.
fn flush(disk: &File) -> Result<(), Error> {
    let flushed = disk.sync_all().and_then(|()| Ok(fadvise(disk, 0, None, Advice::DontNeed)?));
    flushed.map_err(|error| Error::Disk(0, error))
}

fn compare(
    image: &File,
    disk: &File,
    range: Range<u64>,
    mut show: impl FnMut(u64),
) -> Result<(), Error> {
    let (mut wanted, mut found) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = range.start;
    while at < range.end {
        let length = (range.end - at).min(PIECE as u64) as usize;
        let (wanted, found) = (&mut wanted[..length], &mut found[..length]);
        image.read_exact_at(wanted, at).map_err(|error| Error::Image(at, error))?;
        disk.read_exact_at(found, at).map_err(|error| Error::Disk(at, error))?;
        if wanted != found {
            let offset = wanted.iter().zip(found.iter()).position(|(one, other)| one != other);
            return Err(Error::Differs(at + offset.unwrap_or(0) as u64));
        }
        at += length as u64;
        show(at);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 6 << 20;

    /// A head, a hole, and data that does not end at a piece.
    fn image() -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE).unwrap();
        file.write_all_at(b"table", 512).unwrap();
        file.write_all_at(&vec![7; 1_500_000], 3 << 20).unwrap();
        file
    }

    fn bytes(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; SIZE as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn disk_with_old_data_holds_the_image_and_keeps_what_is_behind_it() {
        let disk = tempfile::tempfile().unwrap();
        disk.write_all_at(&vec![0xaa; SIZE as usize + 4096], 0).unwrap();
        let mut percents = Vec::new();
        write(&image(), SIZE, &disk, |percent| percents.push(percent)).unwrap();
        assert!(bytes(&disk) == bytes(&image()));
        let mut behind = vec![0; 4096];
        disk.read_exact_at(&mut behind, SIZE).unwrap();
        assert!(behind.iter().all(|byte| *byte == 0xaa));
        assert!(percents.is_sorted() && percents.last() == Some(&100), "{percents:?}");
    }

    #[test]
    fn failed_write_leaves_no_partition_table() {
        // A device that takes no more than half of it.
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().write_all_at(&vec![0xaa; SIZE as usize], 0).unwrap();
        let image = image();
        // The image ends early: reading fails behind its middle.
        image.set_len(4 << 20).unwrap();
        let error = write(&image, SIZE, disk.as_file(), |_| ()).unwrap_err();
        assert!(matches!(error, Error::Image(..)), "{error}");
        assert!(bytes(disk.as_file())[..HEAD as usize].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn disk_that_forgets_is_noticed_where_it_differs() {
        let disk = image();
        disk.write_all_at(b"x", (3 << 20) + 10).unwrap();
        let error = compare(&image(), &disk, 0..SIZE, |_| ()).unwrap_err();
        assert!(matches!(error, Error::Differs(at) if at == (3 << 20) + 10), "{error}");
    }

    #[test]
    fn only_data_is_copied() {
        let parts = data(&image(), SIZE).unwrap();
        let total: u64 = parts.iter().map(|part| part.end - part.start).sum();
        assert!(total < 2_000_000, "{parts:?}");
        let empty = tempfile::tempfile().unwrap();
        empty.set_len(SIZE).unwrap();
        assert_eq!(data(&empty, SIZE).unwrap(), []);
    }
}

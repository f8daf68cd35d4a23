//! What an image is written to. The trait is the border between deciding and doing: behind it are
//! a disk, a file, and in tests a device that fails.

mod disk;
#[cfg(test)]
pub(super) mod double;
mod file;

pub use disk::DiskTarget;
pub use file::FileTarget;

use std::io;
use std::ops::Range;

/// A disk, or what stands for one. Places are bytes from its start.
pub trait Target {
    /// How much fits; `None` where it grows.
    fn size(&self) -> Option<u64>;

    /// Runs of zeros shorter than this are cheaper to write than to treat apart.
    fn least_zeros(&self) -> u64;

    /// Writes the start of `bytes` and says how much of it; never 0 for something.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Reads and says how much; 0 at the end.
    fn read_at(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<usize>;

    /// Makes `range` read as zeros without writing them. False, and nothing done, where that
    /// cannot be promised.
    fn zero(&mut self, range: Range<u64>) -> io::Result<bool>;

    /// Ends at `size`, where it can end; otherwise does nothing.
    fn set_size(&mut self, size: u64) -> io::Result<()>;

    /// Returns when everything written is on the medium.
    fn flush(&mut self) -> io::Result<()>;

    /// Makes the next reads come from the medium and not from memory.
    fn forget(&mut self) -> io::Result<()>;

    /// Everything is written and checked: gives it its name, where it has none yet.
    fn complete(&mut self) -> io::Result<()>;

    /// Whether it was taken away.
    fn is_gone(&self) -> bool;
}

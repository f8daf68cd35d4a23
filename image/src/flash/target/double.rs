//! A disk in memory that fails on demand: at a call, when full, by short transfers, by lying.

use std::io;
use std::ops::Range;

use rustix::io::Errno;

use super::Target;

#[derive(Debug, Default)]
pub(crate) struct Double {
    pub(crate) bytes: Vec<u8>,
    /// Said to be the size; what lies beyond gives "no space".
    pub(crate) size: Option<u64>,
    pub(crate) least_zeros: u64,
    /// Whether ranges can be made zero without a write.
    pub(crate) can_zero: bool,
    /// At most so many bytes at once.
    pub(crate) at_once: Option<usize>,
    /// The call, counted over all kinds, that fails, and every one after it.
    pub(crate) fails_at: Option<usize>,
    /// Whether a failure means that the disk went.
    pub(crate) goes: bool,
    /// Where reading gives another byte than was written.
    pub(crate) lies_at: Option<u64>,
    /// Writes beyond this place land at its remainder, as on a stick with a forged size.
    pub(crate) wraps_at: Option<u64>,
    /// Every write that succeeded, and every flush as an empty range.
    pub(crate) writes: Vec<Range<u64>>,
    pub(crate) calls: usize,
    pub(crate) is_complete: bool,
}

impl Double {
    /// A disk of `size` bytes that holds something already.
    pub(crate) fn disk(size: u64) -> Self {
        let bytes = vec![0xee; size as usize];
        Self { bytes, size: Some(size), least_zeros: 4096, ..Self::default() }
    }

    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.fails_at {
            Some(at) if self.calls > at => Err(Errno::IO.into()),
            _ => Ok(()),
        }
    }

    fn place(&self, at: u64) -> usize {
        self.wraps_at.map_or(at, |wraps| at % wraps) as usize
    }
}

impl Target for Double {
    fn size(&self) -> Option<u64> {
        self.size
    }

    fn least_zeros(&self) -> u64 {
        self.least_zeros
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.call()?;
        let length = bytes.len().min(self.at_once.unwrap_or(usize::MAX));
        let place = self.place(at);
        let Some(to) = self.bytes.get_mut(place..place + length) else {
            return Err(Errno::NOSPC.into());
        };
        to.copy_from_slice(&bytes[..length]);
        self.writes.push(at..at + length as u64);
        Ok(length)
    }

    fn read_at(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.call()?;
        let place = self.place(at);
        let found = self.bytes.get(place..).unwrap_or_default();
        let length = bytes.len().min(found.len()).min(self.at_once.unwrap_or(usize::MAX));
        bytes[..length].copy_from_slice(&found[..length]);
        if let Some(lie) = self.lies_at.filter(|lie| (at..at + length as u64).contains(lie)) {
            bytes[(lie - at) as usize] ^= 1;
        }
        Ok(length)
    }

    fn zero(&mut self, range: Range<u64>) -> io::Result<bool> {
        self.call()?;
        if self.can_zero {
            self.bytes[range.start as usize..range.end as usize].fill(0);
        }
        Ok(self.can_zero)
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.call()?;
        if self.size.is_none() {
            self.bytes.resize(size as usize, 0);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.call()?;
        self.writes.push(0..0);
        Ok(())
    }

    fn forget(&mut self) -> io::Result<()> {
        self.call()
    }

    fn complete(&mut self) -> io::Result<()> {
        self.call()?;
        self.is_complete = true;
        Ok(())
    }

    fn is_gone(&self) -> bool {
        self.goes && self.fails_at.is_some_and(|at| self.calls > at)
    }
}

//! The two clocks that pods live by. Deadlines are counted on the boot clock, which no time
//! synchronisation can move; what people read is wall time.

use std::time::Duration;

use jiff::Timestamp;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall time. May jump in either direction.
    pub wall: Timestamp,
    /// Time since the kernel started, suspend included. Only ever grows.
    pub boot: Duration,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        // Neither field of a boot time reading is negative.
        let boot = Duration::new(boot.tv_sec.unsigned_abs(), boot.tv_nsec as u32);
        Self { wall: Timestamp::now(), boot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_clock_never_goes_back() {
        let first = Now::read();
        let second = Now::read();
        assert!(second.boot >= first.boot);
        assert!(first.boot > Duration::ZERO);
    }
}

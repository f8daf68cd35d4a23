//! The system clock: read, stepped and slewed. Decides nothing.

use std::io;

use rustix::time::{ClockId, clock_gettime};

use super::syscalls::{Adjustment, adjust_clock};

/// The clock that is disciplined; a model of it in tests.
pub(crate) trait Clock {
    /// Nanoseconds since 1970.
    fn now(&self) -> i64;
    /// Whether somebody set the clock since the kernel started, and keeps it right.
    fn is_synchronised(&self) -> bool;
    /// Adds nanoseconds at once. The clock counts as unsynchronised until it is slewed.
    fn step(&mut self, offset: i64) -> io::Result<()>;
    /// Works off nanoseconds gently, and holds the clock to be synchronised from now on;
    /// `interval` is that of the rounds, as a power of two seconds.
    fn slew(&mut self, offset: i64, interval: u8) -> io::Result<()>;
}

pub(crate) const NANOS: i64 = 1_000_000_000;

/// The error that the kernel is told of, in microseconds. It grows by 500 ppm, and at 16 s the
/// kernel holds the clock to be unsynchronised: some nine hours without any server.
const MAX_ERROR: i64 = 100_000;

pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        let now = clock_gettime(ClockId::Realtime);
        now.tv_sec.saturating_mul(NANOS).saturating_add(now.tv_nsec)
    }

    fn is_synchronised(&self) -> bool {
        adjust_clock(&Adjustment::default()).is_ok_and(|status| status & libc::STA_UNSYNC == 0)
    }

    fn step(&mut self, offset: i64) -> io::Result<()> {
        adjust_clock(&Adjustment {
            modes: libc::ADJ_SETOFFSET | libc::ADJ_NANO,
            time: (offset.div_euclid(NANOS), offset.rem_euclid(NANOS)),
            ..Adjustment::default()
        })?;
        Ok(())
    }

    fn slew(&mut self, offset: i64, interval: u8) -> io::Result<()> {
        let modes = libc::ADJ_STATUS
            | libc::ADJ_NANO
            | libc::ADJ_OFFSET
            | libc::ADJ_TIMECONST
            | libc::ADJ_MAXERROR
            | libc::ADJ_ESTERROR;
        adjust_clock(&Adjustment {
            modes,
            offset,
            max_error: MAX_ERROR,
            // The phase-locked loop of the kernel; it also learns the crystal's drift. With
            // "unsynchronised" cleared the kernel keeps the RTC right by itself.
            status: libc::STA_PLL,
            // The loop's constant is the logarithm of the interval less four.
            constant: i64::from(interval.saturating_sub(4)),
            ..Adjustment::default()
        })?;
        Ok(())
    }
}

/// A clock that is wrong by a known amount, for tests.
#[cfg(test)]
pub(crate) struct ModelClock {
    /// What must be added to the machine's clock to get what this one shows.
    pub(crate) wrong_by: i64,
    pub(crate) synchronised: bool,
    pub(crate) steps: Vec<i64>,
    pub(crate) slews: Vec<i64>,
}

#[cfg(test)]
impl ModelClock {
    pub(crate) fn wrong_by(wrong_by: i64) -> Self {
        Self { wrong_by, synchronised: false, steps: Vec::new(), slews: Vec::new() }
    }

    /// As a machine without RTC starts.
    pub(crate) fn in_1970() -> Self {
        Self::wrong_by(-SystemClock.now())
    }
}

#[cfg(test)]
impl Clock for ModelClock {
    fn now(&self) -> i64 {
        SystemClock.now() + self.wrong_by
    }

    fn is_synchronised(&self) -> bool {
        self.synchronised
    }

    fn step(&mut self, offset: i64) -> io::Result<()> {
        self.wrong_by += offset;
        self.synchronised = false;
        self.steps.push(offset);
        Ok(())
    }

    fn slew(&mut self, offset: i64, _interval: u8) -> io::Result<()> {
        self.wrong_by += offset;
        self.synchronised = true;
        self.slews.push(offset);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod vm {
        use super::*;

        #[test]
        #[ignore = "needs root in a VM"]
        fn the_kernel_takes_steps_in_both_directions_and_a_slew() {
            let mut clock = SystemClock;
            let before = clock.now();
            clock.step(3_600 * NANOS + 5).unwrap();
            let ahead = clock.now() - before;
            assert!((3_600 * NANOS..3_660 * NANOS).contains(&ahead), "{ahead}");
            assert!(!clock.is_synchronised(), "a step alone proves nothing");
            clock.step(-3_600 * NANOS - 5).unwrap();
            let back = clock.now() - before;
            assert!((0..60 * NANOS).contains(&back), "{back}");
            clock.slew(2_000_000, 6).unwrap();
            assert!(clock.is_synchronised());
        }

        #[test]
        #[ignore = "needs root in a VM"]
        fn the_kernel_refuses_a_step_before_1970() {
            assert!(SystemClock.step(-SystemClock.now() - NANOS).is_err());
        }
    }
}

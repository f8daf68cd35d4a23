//! The one clock of this program: milliseconds since the kernel started, counted
//! through suspend. Never the wall clock, which jumps when the time is learnt.
//! Moments are pure values; only `now` reads the clock.

use std::ops::Add;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

/// A moment: milliseconds since the kernel started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// Later than any other.
    pub(crate) const MAX: Self = Self(u64::MAX);

    /// The time that is left until `later`; zero once it has passed.
    pub(crate) fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    /// The time that has passed since `earlier`; zero before it.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        earlier.until(self)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// The present moment.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let millis = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
    Moment(seconds.saturating_mul(1000).saturating_add(millis))
}

/// How long to wait in a poll from `now` until `deadline`: zero when it has passed.
/// Moments are rounded down, so the wait ends at the deadline and never before it.
pub(crate) fn timeout(deadline: Moment, now: Moment) -> Timespec {
    let left = now.until(deadline);
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_deadline_waits_for_nothing() {
        let wait = timeout(Moment(1000), Moment(2000));
        assert_eq!((wait.tv_sec, wait.tv_nsec), (0, 0));
    }

    #[test]
    fn wait_is_what_is_left() {
        let wait = timeout(Moment(2500), Moment(1000));
        assert_eq!((wait.tv_sec, wait.tv_nsec), (1, 500_000_000));
    }

    #[test]
    fn moments_end_at_the_last_one() {
        assert_eq!(Moment::MAX + Duration::from_secs(1), Moment::MAX);
        assert_eq!(Moment(5) + Duration::MAX, Moment::MAX);
        assert_eq!(Moment(5).since(Moment(7)), Duration::ZERO);
        assert_eq!(Moment(7).since(Moment(5)), Duration::from_millis(2));
    }

    #[test]
    fn time_goes_forward() {
        let before = now();
        assert!(now() >= before);
    }
}

//! The one clock of PID 1: time since the kernel started, counted through
//! suspend. Never the wall clock, which jumps when the time is learnt.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

/// A moment, as the time since the kernel started.
pub(crate) type Moment = Duration;

/// The present moment.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

/// How long to wait in a poll until `deadline`: zero when it has passed.
pub(crate) fn until(deadline: Moment, now: Moment) -> Timespec {
    let left = deadline.saturating_sub(now);
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_deadline_waits_for_nothing() {
        let wait = until(Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!((wait.tv_sec, wait.tv_nsec), (0, 0));
    }

    #[test]
    fn wait_is_what_is_left() {
        let wait = until(Duration::from_millis(2500), Duration::from_secs(1));
        assert_eq!((wait.tv_sec, wait.tv_nsec), (1, 500_000_000));
    }

    #[test]
    fn time_goes_forward() {
        let before = now();
        assert!(now() >= before);
    }
}

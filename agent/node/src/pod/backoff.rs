//! Delays between attempts, as the kubelet has them. Pure.

use std::time::Duration;

/// The first delay; each further one is twice as long.
pub const INITIAL: Duration = Duration::from_secs(10);
/// No delay is longer.
pub const MAXIMUM: Duration = Duration::from_secs(300);
/// A container that ran this long starts again without a delay when it ends.
pub const RESET_AFTER: Duration = Duration::from_secs(600);

/// The delay after `failures` failures in a row: none after zero, then 10 s doubling to 5 min.
pub fn delay(failures: u32) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    // 2^5 * 10 s is past the maximum already: larger shifts cannot overflow.
    (INITIAL * 2u32.pow((failures - 1).min(5))).min(MAXIMUM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_ten_seconds_to_five_minutes() {
        let seconds: Vec<u64> = (0..9).map(|n| delay(n).as_secs()).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(delay(u32::MAX), MAXIMUM);
    }
}

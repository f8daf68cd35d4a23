//! No faster than a person allows, no slower than is bearable. Pure: the time comes in.

use std::time::Duration;

/// Watches one transfer. Times are since its begin.
#[derive(Debug, Clone)]
pub struct Pace {
    limit: Option<u64>,
    least: u64,
    window: Duration,
    bytes: u64,
    /// Where the window began that is looked at for slowness: time, and bytes by then.
    since: (Duration, u64),
}

/// The other side sends too little: it is down, or it wants to keep us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only {bytes} bytes came in {seconds} s")]
pub struct TooSlow {
    /// What came.
    pub bytes: u64,
    /// In which time.
    pub seconds: u64,
}

impl Pace {
    /// At most `limit` bytes in a second, at least `least` on average over `window`. A limit never
    /// makes a transfer too slow.
    pub fn new(limit: Option<u64>, least: u64, window: Duration) -> Self {
        let least = limit.map_or(least, |limit| least.min(limit / 4));
        Self { limit, least, window, bytes: 0, since: (Duration::ZERO, 0) }
    }

    /// Takes note that `bytes` came by `now`, and says how long to wait before more are read.
    pub fn after(&mut self, bytes: u64, now: Duration) -> Result<Duration, TooSlow> {
        self.bytes += bytes;
        let (begin, before) = self.since;
        let passed = now.saturating_sub(begin);
        if passed >= self.window {
            let came = self.bytes - before;
            if u128::from(came) * 1000 < u128::from(self.least) * passed.as_millis() {
                return Err(TooSlow { bytes: came, seconds: passed.as_secs() });
            }
            self.since = (now, self.bytes);
        }
        let Some(limit) = self.limit.filter(|limit| *limit > 0) else { return Ok(Duration::ZERO) };
        let due = Duration::from_millis((u128::from(self.bytes) * 1000 / u128::from(limit)) as u64);
        Ok(due.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn limit_is_kept_on_average() {
        let mut pace = Pace::new(Some(1000), 0, 30 * SECOND);
        assert_eq!(pace.after(500, Duration::ZERO), Ok(SECOND / 2));
        assert_eq!(pace.after(500, SECOND / 2), Ok(SECOND / 2));
        assert_eq!(pace.after(10, 10 * SECOND), Ok(Duration::ZERO));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        assert_eq!(Pace::new(None, 0, SECOND).after(u64::MAX / 2, SECOND / 2), Ok(Duration::ZERO));
    }

    #[test]
    fn drip_ends_after_the_window_and_a_steady_flow_never() {
        let mut drip = Pace::new(None, 256, 30 * SECOND);
        assert!((0..30).all(|second| drip.after(1, second * SECOND).is_ok()));
        assert_eq!(drip.after(1, 30 * SECOND), Err(TooSlow { bytes: 31, seconds: 30 }));
        let mut flow = Pace::new(None, 256, 30 * SECOND);
        assert!((1..600).all(|second| flow.after(300, second * SECOND).is_ok()));
        // A good begin does not pay for what follows.
        let mut fades = Pace::new(None, 256, 30 * SECOND);
        fades.after(1 << 20, 31 * SECOND).unwrap();
        assert!(fades.after(1, 62 * SECOND).is_err());
    }

    #[test]
    fn low_limit_does_not_count_as_a_drip() {
        let mut pace = Pace::new(Some(100), 256, 30 * SECOND);
        assert!((1..100).all(|second| pace.after(100, second * SECOND).is_ok()));
    }
}

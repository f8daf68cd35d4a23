//! A question's transaction id and when to repeat it. Pure: randomness is an argument.

use std::time::Duration;

use crate::clock::Moment;

/// RFC 2131, 4.4.5.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(60);

/// A question and when to repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// Pairs answers with it.
    pub(crate) xid: u32,
    /// When it was first asked.
    pub(crate) started: Moment,
    /// When it was last asked.
    pub(crate) sent: Moment,
    /// How often it was asked.
    pub(crate) tries: u32,
    /// When it is due again.
    pub(crate) again: Moment,
}

impl Exchange {
    /// A question that is asked now.
    pub(crate) fn new(now: Moment, entropy: u64) -> Self {
        let again = now + delay(1, entropy);
        Self { xid: low(entropy), started: now, sent: now, tries: 1, again }
    }

    /// Asked again, and then again after twice the time.
    pub(crate) fn repeated(self, now: Moment, entropy: u64) -> Self {
        let tries = self.tries.saturating_add(1);
        Self { sent: now, tries, again: now + delay(tries, entropy), ..self }
    }

    /// Asked again, and then again after the shortest time: somebody waits for a decision.
    pub(crate) fn repeated_at_once(self, now: Moment, entropy: u64) -> Self {
        Self { again: now + delay(1, entropy), ..self.repeated(now, entropy) }
    }

    /// RFC 2131, 4.4.5: half of the time that is left, at least a minute, never past the end.
    pub(crate) fn until(self, end: Moment, now: Moment) -> Self {
        let left = now.until(end);
        Self { again: now + (left / 2).max(SHORTEST_RENEWAL).min(left), ..self }
    }

    /// The `secs` field.
    pub(crate) fn seconds(&self, now: Moment) -> u16 {
        u16::try_from(self.started.until(now).as_secs()).unwrap_or(u16::MAX)
    }
}

/// The bits of the entropy that make a transaction id.
pub(crate) fn low(entropy: u64) -> u32 {
    (entropy & u64::from(u32::MAX)) as u32
}

/// RFC 2131, 4.1: 4 s, doubled with each try up to 64 s, one second more or less at random.
fn delay(tries: u32, entropy: u64) -> Duration {
    let base = 4000u64 << tries.saturating_sub(1).min(4);
    Duration::from_millis(base - 1000 + (entropy >> 32) % 2001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_again_after_4_to_64_seconds_and_a_jitter() {
        let mut exchange = Exchange::new(Moment(0), 0);
        let mut gaps = vec![exchange.again.0];
        for _ in 0..6 {
            let at = exchange.again;
            exchange = exchange.repeated(at, 0);
            gaps.push(at.until(exchange.again).as_millis() as u64);
        }
        assert_eq!(gaps, [3000, 7000, 15_000, 31_000, 63_000, 63_000, 63_000]);
        assert_eq!(Exchange::new(Moment(0), 2000 << 32).again, Moment(5000));
        assert_eq!(Exchange::new(Moment(0), u64::MAX).xid, u32::MAX);
    }

    #[test]
    fn renewal_waits_half_of_what_is_left_and_at_least_a_minute() {
        let exchange = Exchange::new(Moment(0), 0);
        assert_eq!(exchange.until(Moment(1_000_000), Moment(0)).again, Moment(500_000));
        assert_eq!(exchange.until(Moment(100_000), Moment(0)).again, Moment(60_000));
        assert_eq!(exchange.until(Moment(30_000), Moment(0)).again, Moment(30_000));
        assert_eq!(exchange.until(Moment(0), Moment(5)).again, Moment(5));
    }
}

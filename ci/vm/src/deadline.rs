//! A moment by which something must have happened, and polling until it has.
//!
//! Must never wait for a fixed time: a poll ends as soon as its condition holds.

use std::time::{Duration, Instant};

/// The end of a wait.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `wait` from now. `HOLM_VM_PATIENCE` (a whole number) multiplies it, for machines
    /// that are slower than the one the scenarios were written on.
    pub fn after(wait: Duration) -> Self {
        let patience = std::env::var("HOLM_VM_PATIENCE").ok();
        Self(Instant::now() + wait * patience_factor(patience.as_deref()))
    }

    /// What is left; zero when the deadline has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// True once nothing is left.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// Asks again and again, `pause` apart, until there is an answer. `None` at the deadline.
    pub fn poll<T>(self, pause: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
        loop {
            if let Some(answer) = ask() {
                return Some(answer);
            }
            if self.has_passed() {
                return None;
            }
            std::thread::park_timeout(pause.min(self.remaining()));
        }
    }
}

fn patience_factor(setting: Option<&str>) -> u32 {
    setting.and_then(|text| text.parse().ok()).filter(|factor| *factor > 0).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poll_returns_the_first_answer_without_waiting_for_the_deadline() {
        let mut asked = 0;
        let started = Instant::now();
        let answer =
            Deadline::after(Duration::from_secs(60)).poll(Duration::from_millis(1), || {
                asked += 1;
                (asked == 3).then_some(asked)
            });
        assert_eq!(answer, Some(3));
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn poll_gives_up_at_the_deadline_after_asking_once_more() {
        let mut asked = 0;
        let answer: Option<()> =
            Deadline::after(Duration::ZERO).poll(Duration::from_millis(1), || {
                asked += 1;
                None
            });
        assert_eq!((answer, asked), (None, 1));
    }

    #[test]
    fn patience_is_one_unless_a_positive_number_is_set() {
        assert_eq!(patience_factor(None), 1);
        assert_eq!(patience_factor(Some("0")), 1);
        assert_eq!(patience_factor(Some("many")), 1);
        assert_eq!(patience_factor(Some("4")), 4);
    }
}

//! When the node looks for versions, installs and tries them by itself.

use std::time::Duration;

use holm_config::Window;
use holm_update::ledger::{Ledger, Stage};
use jiff::Timestamp;

use super::platform::Node;
use super::source::Found;

/// After a boot, so that a whole site that comes back does not ask at once.
const FIRST_POLL: Duration = Duration::from_secs(60);
/// Commands wake the service; nothing else does.
const IDLE: Duration = Duration::from_secs(3600);
/// How often a closed window is looked at.
const WINDOW_EVERY: Duration = Duration::from_secs(30);
/// A version whose trials came to nothing without a verdict is let be for so long.
const LET_BE: Duration = Duration::from_secs(24 * 3600);

/// What the node wants to do by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Install(String),
    Apply,
}

/// The times of polls; all are since the boot.
pub(super) struct Policy {
    next_poll: Duration,
    urgent: bool,
}

impl Policy {
    pub(super) fn new(now: Duration) -> Self {
        Self { next_poll: now + jittered(FIRST_POLL, super::node::random_seed()), urgent: false }
    }

    /// For how long nothing has to be done by itself.
    pub(super) fn pause(&self, node: &Node, now: Duration) -> Duration {
        let update = &node.config.update;
        if node.ledger.held || !update.automatic || update.places.is_empty() {
            return IDLE;
        }
        match node.ledger.attempt {
            Some(_) => WINDOW_EVERY,
            None => self.next_poll.saturating_sub(now),
        }
    }

    /// What to do now. Asks the server when it is time to.
    pub(super) fn wish(&mut self, node: &mut Node, now: Duration) -> Wish {
        let update = node.config.update.clone();
        if node.ledger.held || !update.automatic {
            return Wish::Nothing;
        }
        match node.ledger.attempt.as_ref().map(|attempt| attempt.stage) {
            Some(Stage::Staged) if self.urgent || is_open(&update.windows, Timestamp::now()) => {
                return Wish::Apply;
            }
            Some(Stage::Writing | Stage::Trial) => return Wish::Nothing,
            // A newer one may come while this one waits for its window.
            Some(Stage::Staged) | None => {}
        }
        if update.places.is_empty() || now < self.next_poll {
            return Wish::Nothing;
        }
        self.next_poll = now + jittered(update.poll, super::node::random_seed());
        match node.find(None, false) {
            Ok(Found::Version { version, urgent }) if may_try(&node.ledger, &version, now) => {
                self.urgent = urgent;
                Wish::Install(version)
            }
            Ok(Found::Version { .. }) => Wish::Nothing,
            Ok(Found::Nothing(why)) => {
                tracing::info!("{why}");
                Wish::Nothing
            }
            Err(why) => {
                tracing::warn!("look for updates: {why}");
                Wish::Nothing
            }
        }
    }
}

/// Whether the node takes up a version by itself.
fn may_try(ledger: &Ledger, version: &str, since_boot: Duration) -> bool {
    let is_staged = ledger.attempt.as_ref().is_some_and(|attempt| attempt.version == version);
    let gave_up = ledger.last().is_some_and(|last| last.version == version);
    ledger.bar_of(version).is_none() && !is_staged && (!gave_up || since_boot > LET_BE)
}

/// Between half and one and a half of `interval`, by a random number below 2048.
fn jittered(interval: Duration, random: u16) -> Duration {
    interval / 2 + interval * u32::from(random) / 2048
}

/// Whether trials may begin at `time`.
fn is_open(windows: &[Window], time: Timestamp) -> bool {
    let minutes = time.as_second().div_euclid(60);
    let (day, minute) = (minutes.div_euclid(24 * 60), minutes.rem_euclid(24 * 60) as u16);
    // The first of January 1970 was a Thursday.
    let weekday = (day + 3).rem_euclid(7) as u8;
    windows.is_empty() || windows.iter().any(|window| window.is_open(weekday, minute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_update::ledger::{Code, Outcome, Verdict};

    #[test]
    fn polls_are_spread_around_the_interval() {
        let hour = Duration::from_secs(3600);
        assert_eq!(jittered(hour, 0), hour / 2);
        assert_eq!(jittered(hour, 1024), hour);
        assert!(jittered(hour, 2047) < hour * 3 / 2);
    }

    #[test]
    fn windows_are_of_the_week_in_utc() {
        let monday = Window { days: 1, from: 120, to: 240 };
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        assert!(is_open(&[monday], time("2026-11-23T02:00:00Z")));
        assert!(!is_open(&[monday], time("2026-11-23T04:00:00Z")));
        assert!(!is_open(&[monday], time("2026-11-24T02:00:00Z")));
        assert!(is_open(&[], time("2026-11-24T02:00:00Z")));
    }

    #[test]
    fn barred_and_exhausted_versions_are_not_taken_up_again() {
        let outcome = |code| Outcome {
            version: "2".into(),
            from: "1".into(),
            verdict: Verdict {
                code,
                check: String::new(),
                reason: String::new(),
                kernel_log: String::new(),
            },
        };
        let mut ledger = Ledger::default();
        let soon = Duration::from_secs(100);
        assert!(may_try(&ledger, "2", soon));
        ledger.outcomes.push(outcome(Code::NoVerdict));
        assert!(!may_try(&ledger, "2", soon) && may_try(&ledger, "3", soon));
        assert!(may_try(&ledger, "2", LET_BE * 2));
        ledger.barred.push(outcome(Code::Panic));
        assert!(!may_try(&ledger, "2", LET_BE * 2));
    }
}

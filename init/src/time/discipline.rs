//! What to do with the clock after each round of questions, and when to ask again. Pure.
//!
//! | state | the servers say | then |
//! |---|---|---|
//! | unset | an offset | step, tracking |
//! | tracking | at most 0.5 s | slew |
//! | tracking | more | ask again soon, doubtful |
//! | doubtful | more, on the same side | step, tracking |
//! | doubtful | at most 0.5 s | slew, tracking |
//! | any | nothing, or no two the same | keep the clock, back off |

use std::time::Duration;

use super::select::{Sample, Vote, vote};

/// Beyond this the kernel does not slew, and waiting would take too long.
const STEP: i64 = 500_000_000;
/// An offset within this lets the interval grow; one beyond `NERVOUS` resets it.
const CALM: i64 = 10_000_000;
const NERVOUS: i64 = 100_000_000;
/// Rounds in a row that must be calm before the interval doubles.
const CALM_ROUNDS: u8 = 4;
/// Intervals between rounds as powers of two: 64 s to 1024 s.
const SHORTEST: u8 = 6;
const LONGEST: u8 = 10;
/// Without the time, the first question is repeated after 8 s.
const FIRST_RETRY: u8 = 3;
const CONFIRM: Duration = Duration::from_secs(16);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Add this to the clock at once; nanoseconds.
    Step(i64),
    /// Let the kernel work this off; nanoseconds, and the interval as a power of two.
    Slew { offset: i64, interval: u8 },
    /// Leave the clock as it is.
    Keep(Why),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// No server gave a time.
    NoAnswer,
    /// The servers contradict each other.
    Disagreement,
    /// All that answered show a time before this image was built.
    BeforeImage,
    /// A large offset is doubted until a second round confirms it.
    Unconfirmed(i64),
}

/// The outcome of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) action: Action,
    /// When to ask again.
    pub(crate) wait: Duration,
    /// How many servers agreed.
    pub(crate) agreeing: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unset,
    Tracking,
    Doubtful(i64),
}

#[derive(Debug)]
pub(crate) struct Discipline {
    state: State,
    interval: u8,
    calm_rounds: u8,
    retry: u8,
}

impl Discipline {
    /// A service that restarts on a clock which the kernel holds to be right goes on slewing.
    pub(crate) fn new(clock_is_synchronised: bool) -> Self {
        let state = if clock_is_synchronised { State::Tracking } else { State::Unset };
        Self { state, interval: SHORTEST, calm_rounds: 0, retry: FIRST_RETRY }
    }

    /// Whether the clock was set since it ran wild.
    pub(crate) fn has_time(&self) -> bool {
        self.state != State::Unset
    }

    /// The network changed: whatever made the last rounds fail may be over.
    pub(crate) fn hurry(&mut self) {
        self.retry = FIRST_RETRY;
    }

    /// One round: what each server said. `now` is this clock and `image_built` the time that
    /// cannot have been earlier, both in nanoseconds since 1970.
    pub(crate) fn decide(&mut self, samples: &[Sample], now: i64, image_built: i64) -> Decision {
        let possible: Vec<Sample> = samples
            .iter()
            .copied()
            .filter(|sample| now.saturating_add(sample.offset) >= image_built)
            .collect();
        match vote(&possible) {
            Vote::Agreed { offset, agreeing } => self.follow(offset, agreeing),
            Vote::Split => self.give_up(Why::Disagreement),
            Vote::Empty if samples.is_empty() => self.give_up(Why::NoAnswer),
            Vote::Empty => self.give_up(Why::BeforeImage),
        }
    }

    fn follow(&mut self, offset: i64, agreeing: usize) -> Decision {
        self.retry = FIRST_RETRY;
        let is_large = offset.saturating_abs() > STEP;
        let (state, action) = match self.state {
            State::Unset => (State::Tracking, Action::Step(offset)),
            State::Doubtful(before) if is_large && before.signum() == offset.signum() => {
                (State::Tracking, Action::Step(offset))
            }
            State::Tracking | State::Doubtful(_) if is_large => {
                (State::Doubtful(offset), Action::Keep(Why::Unconfirmed(offset)))
            }
            State::Tracking | State::Doubtful(_) => {
                self.adapt_interval(offset);
                (State::Tracking, Action::Slew { offset, interval: self.interval })
            }
        };
        self.state = state;
        let wait = match action {
            Action::Keep(_) => CONFIRM,
            Action::Step(_) => {
                (self.interval, self.calm_rounds) = (SHORTEST, 0);
                seconds(self.interval)
            }
            Action::Slew { interval, .. } => seconds(interval),
        };
        Decision { action, wait, agreeing }
    }

    fn adapt_interval(&mut self, offset: i64) {
        let size = offset.saturating_abs();
        self.calm_rounds = if size <= CALM { self.calm_rounds + 1 } else { 0 };
        if size > NERVOUS {
            self.interval = SHORTEST;
        }
        if self.calm_rounds >= CALM_ROUNDS {
            self.interval = LONGEST.min(self.interval + 1);
            self.calm_rounds = 0;
        }
    }

    fn give_up(&mut self, why: Why) -> Decision {
        let wait = if self.has_time() {
            self.interval = LONGEST.min(self.interval + 1);
            self.interval
        } else {
            let wait = self.retry;
            self.retry = LONGEST.min(self.retry + 1);
            wait
        };
        Decision { action: Action::Keep(why), wait: seconds(wait), agreeing: 0 }
    }
}

fn seconds(power: u8) -> Duration {
    Duration::from_secs(1 << power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;
    const BUILT: i64 = 1_790_000_000_000 * MS;
    const NOW: i64 = BUILT + 100_000_000 * MS;

    fn said(offsets: &[i64]) -> Vec<Sample> {
        offsets.iter().map(|&offset| Sample { offset, error: MS }).collect()
    }

    /// The actions of rounds in which every server says the same.
    fn actions(discipline: &mut Discipline, offsets: &[i64]) -> Vec<Action> {
        let mut round = |offset: &i64| discipline.decide(&said(&[*offset; 3]), NOW, BUILT).action;
        offsets.iter().map(&mut round).collect()
    }

    #[test]
    fn the_first_offset_is_stepped_however_small() {
        for offset in [3 * MS, 90_000 * MS, 1_000_000_000_000 * MS] {
            let mut discipline = Discipline::new(false);
            assert!(!discipline.has_time());
            assert_eq!(actions(&mut discipline, &[offset]), [Action::Step(offset)]);
            assert!(discipline.has_time());
        }
    }

    #[test]
    fn a_clock_in_1970_is_stepped_to_the_servers_time() {
        let mut discipline = Discipline::new(false);
        let decision = discipline.decide(&said(&[BUILT; 3]), 5_000 * MS, BUILT);
        assert_eq!(decision.action, Action::Step(BUILT));
    }

    #[test]
    fn small_offsets_are_slewed_once_the_time_is_known() {
        let mut discipline = Discipline::new(true);
        let done = actions(&mut discipline, &[20 * MS, -500 * MS]);
        let slew = |offset| Action::Slew { offset, interval: 6 };
        assert_eq!(done, [slew(20 * MS), slew(-500 * MS)]);
    }

    #[test]
    fn a_large_offset_is_stepped_only_when_confirmed() {
        let mut discipline = Discipline::new(true);
        let done = actions(&mut discipline, &[700 * MS, 710 * MS, MS]);
        let doubt = Action::Keep(Why::Unconfirmed(700 * MS));
        assert_eq!(done, [doubt, Action::Step(710 * MS), Action::Slew { offset: MS, interval: 6 }]);
    }

    #[test]
    fn a_single_spike_moves_nothing() {
        let mut discipline = Discipline::new(true);
        let done = actions(&mut discipline, &[9_000 * MS, 2 * MS]);
        assert_eq!(done[1], Action::Slew { offset: 2 * MS, interval: 6 });
        let mut discipline = Discipline::new(true);
        let done = actions(&mut discipline, &[9_000 * MS, -9_000 * MS]);
        assert_eq!(done[1], Action::Keep(Why::Unconfirmed(-9_000 * MS)));
    }

    #[test]
    fn a_doubt_is_settled_soon() {
        let mut discipline = Discipline::new(true);
        assert_eq!(discipline.decide(&said(&[700 * MS]), NOW, BUILT).wait, CONFIRM);
    }

    #[test]
    fn calm_rounds_stretch_the_interval_to_1024_s_and_trouble_resets_it() {
        let mut discipline = Discipline::new(true);
        let mut waits = Vec::new();
        for _ in 0..24 {
            waits.push(discipline.decide(&said(&[MS]), NOW, BUILT).wait.as_secs());
        }
        waits.dedup();
        assert_eq!(waits, [64, 128, 256, 512, 1024]);
        assert_eq!(discipline.decide(&said(&[50 * MS]), NOW, BUILT).wait.as_secs(), 1024);
        assert_eq!(discipline.decide(&said(&[150 * MS]), NOW, BUILT).wait.as_secs(), 64);
    }

    #[test]
    fn silence_backs_off_and_a_changed_network_hurries() {
        let mut discipline = Discipline::new(false);
        let mut waits = |rounds: usize| -> Vec<u64> {
            let wait = |_| discipline.decide(&[], NOW, BUILT).wait.as_secs();
            (0..rounds).map(wait).collect()
        };
        assert_eq!(waits(9), [8, 16, 32, 64, 128, 256, 512, 1024, 1024]);
        discipline.hurry();
        let decision = discipline.decide(&[], NOW, BUILT);
        assert_eq!(decision.action, Action::Keep(Why::NoAnswer));
        assert_eq!(decision.wait.as_secs(), 8);
    }

    #[test]
    fn silence_after_the_time_was_known_keeps_tracking() {
        let mut discipline = Discipline::new(true);
        assert_eq!(discipline.decide(&[], NOW, BUILT).wait.as_secs(), 128);
        assert!(discipline.has_time());
    }

    #[test]
    fn servers_that_contradict_each_other_move_nothing() {
        let mut discipline = Discipline::new(false);
        let decision = discipline.decide(&said(&[0, 60_000 * MS]), NOW, BUILT);
        assert_eq!(decision.action, Action::Keep(Why::Disagreement));
    }

    #[test]
    fn a_server_before_the_images_build_has_no_vote() {
        let mut discipline = Discipline::new(false);
        let to_1970 = -NOW;
        let decision = discipline.decide(&said(&[to_1970]), NOW, BUILT);
        assert_eq!(decision.action, Action::Keep(Why::BeforeImage));
        let decision = discipline.decide(&said(&[to_1970, to_1970, 5 * MS]), NOW, BUILT);
        assert_eq!((decision.action, decision.agreeing), (Action::Step(5 * MS), 1));
    }

    #[test]
    fn a_wildly_wrong_server_is_outvoted() {
        let mut discipline = Discipline::new(true);
        let decision = discipline.decide(&said(&[4 * MS, 3_600_000 * MS, 6 * MS]), NOW, BUILT);
        assert_eq!(decision.action, Action::Slew { offset: 5 * MS, interval: 6 });
        assert_eq!(decision.agreeing, 2);
    }

    proptest! {
        #[test]
        fn no_round_steps_a_known_time_twice_without_two_confirmations(
            rounds in proptest::collection::vec(proptest::collection::vec(any::<i64>(), 0..4), 1..40),
        ) {
            let mut discipline = Discipline::new(true);
            let mut before = None;
            for offsets in rounds {
                let decision = discipline.decide(&said(&offsets), NOW, BUILT);
                prop_assert!((8..=1024).contains(&decision.wait.as_secs()));
                if let Action::Step(_) = decision.action {
                    let was_doubted = matches!(before, Some(Action::Keep(_)));
                    prop_assert!(was_doubted, "{:?}", before);
                }
                if let Action::Slew { offset, interval } = decision.action {
                    prop_assert!(offset.abs() <= STEP && (SHORTEST..=LONGEST).contains(&interval));
                }
                before = Some(decision.action);
            }
        }
    }
}

//! When a node's turn comes: a share of all nodes after each delay, by a seed that stays with the
//! node. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Seeds are below this. Each release shuffles them, so that not the same nodes are always first.
pub const SEEDS: u16 = 2048;

/// After how many seconds from the start how many percent of the nodes go.
pub type Wave = (u32, u8);

const HOUR: u32 = 3600;
const DAY: u32 = 24 * HOUR;

/// Six days, for releases that can wait.
pub const NORMAL: [Wave; 7] = [
    (HOUR, 1),
    (4 * HOUR, 5),
    (DAY, 15),
    (2 * DAY, 40),
    (4 * DAY, 60),
    (5 * DAY, 90),
    (6 * DAY, 100),
];

/// Three hours, for releases that cannot.
pub const URGENT: [Wave; 4] = [(0, 5), (HOUR, 25), (2 * HOUR, 60), (3 * HOUR, 100)];

/// A schedule: what it says about each wave, rising in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(pub Vec<Wave>);

impl Schedule {
    /// Whether delays and shares rise, and all nodes go in the end.
    pub fn is_sane(&self) -> bool {
        let rises = self.0.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1);
        rises
            && self.0.first().is_some_and(|wave| wave.1 > 0)
            && self.0.last().is_some_and(|wave| wave.1 == 100)
    }

    /// When a node's turn comes. `name` shuffles: the release's version. A schedule that is not
    /// sane holds nobody back for longer than its last wave.
    pub fn turn(&self, start: Timestamp, seed: u16, name: &str) -> Timestamp {
        let place = u32::from(shuffled(seed, name)) * 100;
        let wave = self.0.iter().find(|wave| place < u32::from(wave.1) * u32::from(SEEDS));
        let delay = wave.or(self.0.last()).map_or(0, |wave| wave.0);
        start.checked_add(SignedDuration::from_secs(i64::from(delay))).unwrap_or(Timestamp::MAX)
    }

    /// The share of nodes, in percent, whose turn has come.
    pub fn share(&self, start: Timestamp, now: Timestamp) -> u8 {
        let passed = now.duration_since(start).as_secs();
        let come = self.0.iter().filter(|wave| i64::from(wave.0) <= passed);
        come.map(|wave| wave.1).max().unwrap_or(0)
    }
}

/// A node's place in line: its seed, turned by the name.
fn shuffled(seed: u16, name: &str) -> u16 {
    let digest = crate::chunk::digest_of(format!("{name}/{}", seed % SEEDS).as_bytes());
    u16::from_le_bytes([digest[0], digest[1]]) % SEEDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn shares_of_the_nodes_follow_the_schedule() {
        let schedule = Schedule(NORMAL.to_vec());
        for (delay, percent) in NORMAL {
            let until = start() + SignedDuration::from_secs(i64::from(delay));
            let come = (0..SEEDS).filter(|seed| schedule.turn(start(), *seed, "1.2.3") <= until);
            let share = come.count() as f64 * 100.0 / f64::from(SEEDS);
            assert!((share - f64::from(percent)).abs() < 2.5, "{percent}%: {share}");
            assert_eq!(schedule.share(start(), until), percent);
        }
        assert_eq!(schedule.share(start(), start()), 0);
    }

    #[test]
    fn everybody_has_gone_after_the_last_wave() {
        for (schedule, hours) in [(NORMAL.to_vec(), 144), (URGENT.to_vec(), 3)] {
            let last = start() + SignedDuration::from_hours(hours);
            let schedule = Schedule(schedule);
            assert!(schedule.is_sane());
            assert!((0..SEEDS).all(|seed| schedule.turn(start(), seed, "x") <= last));
        }
    }

    #[test]
    fn other_release_has_another_order_and_the_same_one_the_same() {
        let schedule = Schedule(NORMAL.to_vec());
        let turns = |name: &str| -> Vec<_> {
            (0..100).map(|seed| schedule.turn(start(), seed, name)).collect()
        };
        assert_eq!(turns("1.0.0"), turns("1.0.0"));
        assert_ne!(turns("1.0.0"), turns("1.0.1"));
    }

    #[test]
    fn schedule_that_leaves_nodes_out_is_not_sane() {
        for waves in
            [vec![], vec![(0, 50)], vec![(0, 50), (1, 50), (2, 100)], vec![(5, 10), (1, 100)]]
        {
            assert!(!Schedule(waves).is_sane());
        }
        // Such a schedule, should it be signed all the same, keeps nobody for ever.
        assert_eq!(Schedule(vec![]).turn(start(), 7, "x"), start());
    }
}

//! Whether the node is in good enough order for the hardware watchdog to be
//! petted. Pure.

use crate::clock::Moment;
use std::time::Duration;

/// An agent that gets ready and soon crashes, again and again, is not well.
const STEADY: Duration = Duration::from_secs(20);

/// What is known about the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The boot has not come to the agent yet; its phases have limits of their own.
    pub(crate) booting: bool,
    /// For how long the agent has been ready, saying in time that it lives.
    pub(crate) agent_ready_for: Option<Duration>,
    /// The agent has been stopped on request.
    pub(crate) agent_stopped: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Pet the watchdog.
    Good,
    /// The agent is not well, but was lately: pet, and give it time.
    Waiting {
        /// When patience ends.
        until: Moment,
    },
    /// Do not pet any more; reboot.
    Bad,
}

/// The memory of good order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Health {
    last_good: Moment,
    patience: Duration,
}

impl Health {
    /// Good from `now` on, with `patience` for an agent that is not.
    pub(crate) fn new(now: Moment, patience: Duration) -> Self {
        Self { last_good: now, patience }
    }

    /// Judges what is seen.
    pub(crate) fn judge(&mut self, seen: Seen, now: Moment) -> Verdict {
        let agent_good = seen.agent_ready_for.is_some_and(|time| time >= STEADY);
        if seen.booting || agent_good || seen.agent_stopped {
            self.last_good = now;
            return Verdict::Good;
        }
        let until = self.last_good + self.patience;
        if now < until { Verdict::Waiting { until } } else { Verdict::Bad }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SICK: Seen = Seen { booting: false, agent_ready_for: None, agent_stopped: false };

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1000)
    }

    #[test]
    fn sick_agent_is_given_time_and_no_more() {
        let mut health = Health::new(at(0), Duration::from_secs(300));
        assert_eq!(health.judge(SICK, at(10)), Verdict::Waiting { until: at(300) });
        assert_eq!(health.judge(SICK, at(299)), Verdict::Waiting { until: at(300) });
        assert_eq!(health.judge(SICK, at(300)), Verdict::Bad);
    }

    #[test]
    fn steady_agent_restores_patience() {
        let mut health = Health::new(at(0), Duration::from_secs(300));
        let steady = Seen { agent_ready_for: Some(STEADY), ..SICK };
        assert_eq!(health.judge(steady, at(200)), Verdict::Good);
        assert_eq!(health.judge(SICK, at(300)), Verdict::Waiting { until: at(500) });
    }

    #[test]
    fn agent_that_gets_ready_only_to_crash_again_wears_patience_out() {
        let mut health = Health::new(at(0), Duration::from_secs(300));
        for round in 0..30 {
            let brief = Seen { agent_ready_for: Some(Duration::from_secs(5)), ..SICK };
            assert_ne!(health.judge(brief, at(round * 10)), Verdict::Bad);
        }
        assert_eq!(health.judge(SICK, at(300)), Verdict::Bad);
    }

    #[test]
    fn boot_and_wanted_stop_are_no_sickness() {
        let mut health = Health::new(at(0), Duration::from_secs(300));
        assert_eq!(health.judge(Seen { booting: true, ..SICK }, at(1000)), Verdict::Good);
        assert_eq!(health.judge(Seen { agent_stopped: true, ..SICK }, at(2000)), Verdict::Good);
        assert_eq!(health.judge(SICK, at(2001)), Verdict::Waiting { until: at(2300) });
    }
}

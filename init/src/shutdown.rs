//! The way down as a list of named phases, each with a deadline. Pure: it is
//! shown what still runs and says what to do.

use crate::clock::Moment;
use std::time::Duration;

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Start again.
    Reboot,
    /// Start the slot that is to be tried, where the firmware has to be told.
    Trial,
    /// Switch off.
    PowerOff,
}

/// A phase of the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The agent stops its pods and ends.
    Agent,
    /// The other services end.
    Services,
    /// Every process that is left is asked to end.
    Terminate,
    /// Every process that is left is killed.
    Kill,
    /// A child keeps the random seed and unmounts the disks.
    Unmount,
    /// The kernel takes over.
    Leave,
}

impl Phase {
    /// Its name on the console.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Agent => "stop-agent",
            Self::Services => "stop-services",
            Self::Terminate => "terminate",
            Self::Kill => "kill",
            Self::Unmount => "unmount",
            Self::Leave => "leave",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Agent => Self::Services,
            Self::Services => Self::Terminate,
            Self::Terminate => Self::Kill,
            Self::Kill => Self::Unmount,
            Self::Unmount | Self::Leave => Self::Leave,
        }
    }

    fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Agent => 50,
            Self::Services => 8,
            Self::Terminate | Self::Kill => 5,
            Self::Unmount => 20,
            Self::Leave => 10,
        })
    }
}

/// What still runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The agent's process.
    pub(crate) agent: bool,
    /// The process of any other service.
    pub(crate) services: bool,
    /// Any process at all.
    pub(crate) processes: bool,
    /// The child that unmounts; false before it was started.
    pub(crate) unmounting: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Stop the agent.
    StopAgent,
    /// Stop the other services.
    StopServices,
    /// SIGTERM to all.
    TerminateAll,
    /// SIGKILL to all.
    KillAll,
    /// Start the child that unmounts, and prepares this end.
    Unmount(End),
    /// The reboot call.
    Leave(End),
    /// Say this on every console.
    Announce(String),
}

/// A shutdown under way.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    end: End,
    phase: Phase,
    since: Moment,
    started: Moment,
}

impl Shutdown {
    /// Begins one, and says what is to be done first.
    pub(crate) fn begin(end: End, reason: &str, now: Moment) -> (Self, Vec<Action>) {
        let what = match end {
            End::Reboot => "rebooting",
            End::Trial => "rebooting into a trial",
            End::PowerOff => "powering off",
        };
        let announcement = Action::Announce(format!("{what}: {reason}"));
        let shutdown = Self { end, phase: Phase::Agent, since: now, started: now };
        (shutdown, vec![announcement, Action::StopAgent])
    }

    /// Goes on as far as what is seen allows.
    pub(crate) fn advance(&mut self, seen: Seen, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut seen = seen;
        loop {
            let over = match self.phase {
                Phase::Agent => !seen.agent,
                Phase::Services => !seen.services,
                Phase::Terminate | Phase::Kill => !seen.processes,
                Phase::Unmount => !seen.unmounting,
                Phase::Leave => false,
            };
            let late = now >= self.since + self.phase.limit();
            if !over && !late {
                return actions;
            }
            let (name, took) = (self.phase.name(), now.since(self.since).as_millis());
            if self.phase != Phase::Leave {
                actions.push(Action::Announce(if over {
                    format!("shutdown phase {name} took {took} ms")
                } else {
                    format!("shutdown phase {name} failed after {took} ms: not done in time")
                }));
            }
            self.phase = self.phase.next();
            self.since = now;
            actions.push(self.enter());
            // What was just started is not seen yet.
            seen.unmounting |= self.phase == Phase::Unmount;
            if self.phase == Phase::Leave {
                return actions;
            }
        }
    }

    fn enter(&self) -> Action {
        match self.phase {
            Phase::Agent => Action::StopAgent,
            Phase::Services => Action::StopServices,
            Phase::Terminate => Action::TerminateAll,
            Phase::Kill => Action::KillAll,
            Phase::Unmount => Action::Unmount(self.end),
            Phase::Leave => Action::Leave(self.end),
        }
    }

    /// Takes a later wish into account: whoever wants the power off gets it.
    pub(crate) fn wish(&mut self, end: End) {
        if end == End::PowerOff {
            self.end = end;
        }
    }

    /// When `advance` is due at the latest.
    pub(crate) fn deadline(&self) -> Moment {
        self.since + self.phase.limit()
    }

    /// Until when the hardware watchdog is petted: after that, what hangs is
    /// ended by the hardware.
    pub(crate) fn last_pet(&self) -> Moment {
        self.started + Duration::from_secs(120)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1000)
    }

    fn deeds(actions: Vec<Action>) -> Vec<Action> {
        actions.into_iter().filter(|action| !matches!(action, Action::Announce(_))).collect()
    }

    #[test]
    fn agent_goes_first_and_disks_last() {
        let (mut shutdown, first) = Shutdown::begin(End::Reboot, "asked to", at(0));
        assert_eq!(deeds(first), [Action::StopAgent]);
        let mut seen = Seen { agent: true, services: true, processes: true, unmounting: false };
        assert!(shutdown.advance(seen, at(1)).is_empty());
        seen.agent = false;
        assert_eq!(deeds(shutdown.advance(seen, at(2))), [Action::StopServices]);
        seen.services = false;
        assert_eq!(deeds(shutdown.advance(seen, at(3))), [Action::TerminateAll]);
        seen.processes = false;
        assert_eq!(
            deeds(shutdown.advance(seen, at(4))),
            [Action::KillAll, Action::Unmount(End::Reboot)]
        );
        seen.unmounting = true;
        assert!(shutdown.advance(seen, at(5)).is_empty());
        seen.unmounting = false;
        assert_eq!(deeds(shutdown.advance(seen, at(6))), [Action::Leave(End::Reboot)]);
    }

    #[test]
    fn idle_node_is_down_at_once() {
        let (mut shutdown, _) = Shutdown::begin(End::PowerOff, "asked to", at(0));
        let actions = deeds(shutdown.advance(Seen::default(), at(0)));
        assert_eq!(actions.last(), Some(&Action::Unmount(End::PowerOff)));
    }

    #[test]
    fn hanging_agent_holds_it_up_no_longer_than_its_limit() {
        let (mut shutdown, _) = Shutdown::begin(End::Reboot, "asked to", at(0));
        let seen = Seen { agent: true, services: true, processes: true, unmounting: false };
        assert!(shutdown.advance(seen, at(49)).is_empty());
        let actions = shutdown.advance(seen, at(50));
        let text = "shutdown phase stop-agent failed after 50000 ms: not done in time";
        assert_eq!(actions, [Action::Announce(text.into()), Action::StopServices]);
    }

    #[test]
    fn refused_reboot_is_tried_again() {
        let (mut shutdown, _) = Shutdown::begin(End::Reboot, "asked to", at(0));
        shutdown.advance(Seen::default(), at(0));
        shutdown.advance(Seen::default(), at(1));
        assert_eq!(shutdown.advance(Seen::default(), at(11)), [Action::Leave(End::Reboot)]);
    }

    #[test]
    fn power_off_beats_reboot() {
        let (mut shutdown, _) = Shutdown::begin(End::Reboot, "asked to", at(0));
        shutdown.wish(End::PowerOff);
        shutdown.wish(End::Reboot);
        shutdown.advance(Seen::default(), at(0));
        let actions = shutdown.advance(Seen::default(), at(1));
        assert_eq!(deeds(actions), [Action::Leave(End::PowerOff)]);
    }

    #[test]
    fn trial_is_prepared_by_the_child_that_unmounts_and_a_power_button_ends_it() {
        let (mut shutdown, actions) = Shutdown::begin(End::Trial, "asked to", at(0));
        assert_eq!(actions[0], Action::Announce("rebooting into a trial: asked to".into()));
        let actions = shutdown.advance(Seen::default(), at(0));
        assert_eq!(deeds(actions).last(), Some(&Action::Unmount(End::Trial)));
        shutdown.wish(End::Reboot);
        let actions = shutdown.clone().advance(Seen::default(), at(1));
        assert_eq!(deeds(actions), [Action::Leave(End::Trial)]);
        shutdown.wish(End::PowerOff);
        let actions = shutdown.advance(Seen::default(), at(1));
        assert_eq!(deeds(actions), [Action::Leave(End::PowerOff)]);
    }

    proptest! {
        /// Whatever hangs, the node is down before the watchdog is left alone.
        #[test]
        fn it_always_ends(hangs in prop::collection::vec(any::<(bool, bool, bool, bool)>(), 200)) {
            let (mut shutdown, _) = Shutdown::begin(End::Reboot, "test", at(0));
            let mut left = false;
            for (second, (agent, services, processes, unmounting)) in hangs.into_iter().enumerate() {
                let seen = Seen { agent, services, processes, unmounting };
                let now = at(second as u64);
                for action in shutdown.advance(seen, now) {
                    if matches!(action, Action::Leave(_)) && !left {
                        prop_assert!(now < shutdown.last_pet());
                        left = true;
                    }
                }
            }
            prop_assert!(left);
        }
    }
}

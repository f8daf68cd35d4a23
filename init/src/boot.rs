//! The boot of stage two as a list of named phases and what each waits for.
//! Pure: it says what to start and what to announce; others do it.

use crate::clock::Moment;
use std::time::Duration;

/// A phase of stage two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The kernel's file systems.
    Mounts,
    /// cgroup v2, with its controllers delegated.
    Cgroups,
    /// Drivers for the devices that are there.
    Modules,
    /// The state and data partitions: grown, repaired, mounted.
    Storage,
    /// Machine id, random seed, the floor under the clock.
    Identity,
    /// The node document.
    Configuration,
    /// The service `network`.
    Network,
    /// The service `time`.
    Time,
    /// The agent.
    Agent,
    /// All of it.
    Ready,
}

/// How a phase is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// In PID 1, because it only touches memory.
    Here,
    /// By a child, because it may block.
    Task,
    /// By starting a service; done when the service says that it is ready.
    Service,
}

/// All phases. The order is that of the list; what really counts is `after`.
pub(crate) const PHASES: [Phase; 10] = [
    Phase::Mounts,
    Phase::Cgroups,
    Phase::Modules,
    Phase::Storage,
    Phase::Identity,
    Phase::Configuration,
    Phase::Network,
    Phase::Time,
    Phase::Agent,
    Phase::Ready,
];

impl Phase {
    /// Its name on the console.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mounts => "mounts",
            Self::Cgroups => "cgroups",
            Self::Modules => "modules",
            Self::Storage => "storage",
            Self::Identity => "identity",
            Self::Configuration => "configuration",
            Self::Network => "network",
            Self::Time => "time",
            Self::Agent => "agent",
            Self::Ready => "ready",
        }
    }

    /// The phases that must have ended, well or not, before this one starts.
    fn after(self) -> &'static [Self] {
        match self {
            Self::Mounts => &[],
            Self::Cgroups => &[Self::Mounts],
            // Coldplug and the disk's file systems do not need each other.
            Self::Modules | Self::Storage => &[Self::Cgroups],
            Self::Identity => &[Self::Storage],
            // The document may come through a driver, such as qemu_fw_cfg.
            Self::Configuration => &[Self::Modules, Self::Identity],
            // Nobody waits for the network.
            Self::Network | Self::Time | Self::Agent => &[Self::Configuration],
            Self::Ready => &[Self::Network, Self::Time, Self::Agent],
        }
    }

    /// How it is carried out.
    pub(crate) fn how(self) -> How {
        match self {
            Self::Mounts | Self::Cgroups | Self::Ready => How::Here,
            Self::Modules | Self::Storage | Self::Identity | Self::Configuration => How::Task,
            Self::Network | Self::Time | Self::Agent => How::Service,
        }
    }

    /// When it counts as failed. Not a wait: a phase ends when its work does.
    pub(crate) fn limit(self) -> Duration {
        Duration::from_secs(match self {
            // A repair of a large file system takes its time.
            Self::Storage => 1800,
            Self::Agent => 180,
            _ => 60,
        })
    }

    fn index(self) -> usize {
        self as usize
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running(Moment),
    Done,
    /// With its start, for a service that becomes ready after all.
    Failed(Moment),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The boot begins, or time has passed.
    Tick,
    /// A phase ended, with the reason when it failed.
    Ended(Phase, Result<(), String>),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a phase.
    Start(Phase),
    /// Kill what is left of a phase that took too long.
    Abandon(Phase),
    /// Say this on every console.
    Announce(String),
}

/// The boot.
///
/// | state   | event                     | next    | actions                      |
/// |---------|---------------------------|---------|------------------------------|
/// | waiting | all phases before ended   | running | start                        |
/// | running | ended well                | done    | announce the time            |
/// | running | ended badly               | failed  | announce the reason          |
/// | running | limit passed              | failed  | announce, abandon            |
/// | failed  | ended well (a service)    | done    | announce the time            |
/// | done    | anything                  | done    |                              |
///
/// `ready` waits for the agent to be done, not only to have ended: a node without
/// its agent is not ready.
#[derive(Debug, Clone)]
pub(crate) struct Boot {
    states: [State; PHASES.len()],
    failures: Vec<(Phase, String)>,
    ready_at: Option<Moment>,
}

impl Boot {
    /// A boot that has not begun.
    pub(crate) fn new() -> Self {
        Self { states: [State::Waiting; PHASES.len()], failures: Vec::new(), ready_at: None }
    }

    /// Takes in what happened.
    pub(crate) fn step(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => self.expire(now, &mut actions),
            Event::Ended(phase, result) => self.end(phase, result, now, &mut actions),
        }
        for phase in PHASES {
            let mut before = phase.after().iter();
            // Without its agent a node is not ready, however the rest is.
            let free = before.all(|before| match before {
                Phase::Agent => self.states[before.index()] == State::Done,
                before => self.has_ended(*before),
            });
            if free && self.states[phase.index()] == State::Waiting {
                self.states[phase.index()] = State::Running(now);
                actions.push(Action::Start(phase));
            }
        }
        actions
    }

    fn end(
        &mut self,
        phase: Phase,
        result: Result<(), String>,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let name = phase.name();
        let (State::Running(start) | State::Failed(start)) = self.states[phase.index()] else {
            return;
        };
        let took = now.since(start).as_millis();
        match result {
            Ok(()) => {
                self.states[phase.index()] = State::Done;
                actions.push(Action::Announce(format!("phase {name} took {took} ms")));
                if phase == Phase::Ready {
                    self.ready_at = Some(now);
                    let after = now.0;
                    actions.push(Action::Announce(format!("ready {after} ms after kernel start")));
                }
            }
            Err(_) if self.states[phase.index()] != State::Running(start) => {}
            Err(reason) => {
                self.states[phase.index()] = State::Failed(start);
                let text = format!("phase {name} failed after {took} ms: {reason}");
                actions.push(Action::Announce(text));
                self.failures.push((phase, reason));
            }
        }
    }

    fn expire(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for phase in PHASES {
            let limit = phase.limit();
            if let State::Running(start) = self.states[phase.index()]
                && now >= start + limit
            {
                let reason = format!("not done within {} s", limit.as_secs());
                self.end(phase, Err(reason), now, actions);
                actions.push(Action::Abandon(phase));
            }
        }
    }

    fn has_ended(&self, phase: Phase) -> bool {
        matches!(self.states[phase.index()], State::Done | State::Failed(_))
    }

    /// Whether `phase` has been started.
    pub(crate) fn has_started(&self, phase: Phase) -> bool {
        self.states[phase.index()] != State::Waiting
    }

    /// When the next limit passes.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let running = PHASES.iter().filter_map(|phase| match self.states[phase.index()] {
            State::Running(start) => Some(start + phase.limit()),
            _ => None,
        });
        running.min()
    }

    /// The phases that failed, with the reasons.
    pub(crate) fn failures(&self) -> &[(Phase, String)] {
        &self.failures
    }

    /// When the node became ready.
    pub(crate) fn ready_at(&self) -> Option<Moment> {
        self.ready_at
    }
}

#[cfg(test)]
#[path = "boot_tests.rs"]
mod tests;

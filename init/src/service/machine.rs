//! One service as a state machine. Pure: events and the time come in, actions
//! come out.

use super::spec::Spec;
use crate::clock::Moment;
use rustix::process::Signal;
use std::time::Duration;

/// The shortest and the longest pause before a restart.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// After this long in good order earlier failures are forgotten.
const GOOD_ORDER: Duration = Duration::from_secs(120);
/// How long a hung service has to write its core after SIGABRT.
const ABORT_LIMIT: Duration = Duration::from_secs(5);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started: the system's error number.
    NotStarted(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exited with status {status}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::NotStarted(errno) => {
                write!(f, "could not be started: {}", std::io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

/// What a service is told to do or does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It shall run.
    Start,
    /// It shall not run any more.
    Stop,
    /// It shall be stopped and started again, at once.
    Restart,
    /// It says that it is ready.
    Ready,
    /// It says that it lives.
    Alive,
    /// Its process ended.
    Exited(Exit),
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start the process.
    Spawn,
    /// Ask the process to end, by this signal.
    Terminate(Signal),
    /// Make the process end and dump its core, for it hangs.
    Abort,
    /// End the process.
    Kill,
    /// Tell the boot that the service is ready.
    BecameReady,
    /// Record how it ended and when it is started again.
    ReportExit(Exit, Duration),
    /// Record that it hangs.
    ReportHang(Hang),
}

/// In which way a service hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hang {
    /// It did not become ready in time.
    Start,
    /// It did not say in time that it lives.
    Watchdog,
}

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not running, and not meant to.
    Stopped,
    /// Running, not ready yet.
    Starting {
        /// When the process was started.
        since: Moment,
    },
    /// Running and ready.
    Ready {
        /// When it became ready.
        since: Moment,
        /// When it last said that it lives.
        heard: Moment,
    },
    /// Told to end.
    Stopping {
        /// When it is killed.
        deadline: Moment,
        /// Whether it is started again afterwards.
        again: bool,
    },
    /// Hung, told to abort.
    Aborting {
        /// When it is killed.
        deadline: Moment,
    },
    /// Waiting before the next start.
    BackingOff {
        /// When it is started.
        until: Moment,
    },
}

/// A service.
///
/// | state      | start | stop            | restart            | ready | exited            | tick           |
/// |------------|-------|-----------------|--------------------|-------|-------------------|----------------|
/// | stopped    | spawn |                 | spawn              |       |                   |                |
/// | starting   |       | stop signal     | restart one, again | ready | back off          | limit: ABRT    |
/// | ready      |       | stop signal     | restart one, again |       | back off          | watchdog: ABRT |
/// | stopping   | again | not again (*)   | again              |       | stopped, or spawn | deadline: KILL |
/// | aborting   |       | stop signal     |                    |       | back off          | deadline: KILL |
/// | backing off| spawn | stopped         | spawn              |       |                   | until: spawn   |
///
/// (*) and the stop signal, if it was sent only another one for a restart.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    spec: Spec,
    state: State,
    failures: u32,
    starts: u32,
    last_exit: Option<Exit>,
}

impl Service {
    /// A service that is stopped.
    pub(crate) fn new(spec: Spec) -> Self {
        Self { spec, state: State::Stopped, failures: 0, starts: 0, last_exit: None }
    }

    /// Takes in what happened.
    pub(crate) fn step(&mut self, event: Event, now: Moment) -> Vec<Action> {
        use State::{Aborting, BackingOff, Ready, Starting, Stopped, Stopping};
        match (event, self.state) {
            (Event::Start, Stopped | BackingOff { .. })
            | (Event::Restart, Stopped | BackingOff { .. }) => self.spawn(now),
            (Event::Start | Event::Restart, Stopping { deadline, .. }) => {
                self.state = Stopping { deadline, again: true };
                Vec::new()
            }
            (Event::Stop, Stopping { deadline, again }) => {
                let Spec { stop_signal, restart_signal, stop_limit, .. } = self.spec;
                // The end for good asks for more than the end for a restart did.
                if again && stop_signal != restart_signal {
                    self.state = Stopping { deadline: now + stop_limit, again: false };
                    return vec![Action::Terminate(stop_signal)];
                }
                self.state = Stopping { deadline, again: false };
                Vec::new()
            }
            (Event::Stop | Event::Restart, Starting { .. } | Ready { .. })
            | (Event::Stop, Aborting { .. }) => {
                let again = event == Event::Restart;
                self.state = Stopping { deadline: now + self.spec.stop_limit, again };
                let Spec { stop_signal, restart_signal, .. } = self.spec;
                vec![Action::Terminate(if again { restart_signal } else { stop_signal })]
            }
            (Event::Stop, BackingOff { .. }) => {
                self.state = Stopped;
                Vec::new()
            }
            (Event::Ready, Starting { .. }) => self.become_ready(now),
            (Event::Alive, Ready { since, .. }) => {
                self.state = Ready { since, heard: now };
                Vec::new()
            }
            (Event::Exited(exit), state) => self.exited(exit, state, now),
            (Event::Tick, state) => self.tick(state, now),
            _ => Vec::new(),
        }
    }

    fn spawn(&mut self, now: Moment) -> Vec<Action> {
        self.state = State::Starting { since: now };
        self.starts = self.starts.saturating_add(1);
        let mut actions = vec![Action::Spawn];
        if self.spec.ready_on_start {
            actions.extend(self.become_ready(now));
        }
        actions
    }

    fn become_ready(&mut self, now: Moment) -> Vec<Action> {
        self.state = State::Ready { since: now, heard: now };
        vec![Action::BecameReady]
    }

    fn exited(&mut self, exit: Exit, state: State, now: Moment) -> Vec<Action> {
        self.last_exit = Some(exit);
        match state {
            State::Stopped | State::BackingOff { .. } => Vec::new(),
            State::Stopping { again: false, .. } => {
                self.state = State::Stopped;
                Vec::new()
            }
            State::Stopping { again: true, .. } => self.spawn(now),
            State::Ready { since, .. } if now.since(since) >= GOOD_ORDER => {
                self.failures = 0;
                self.back_off(exit, now)
            }
            _ => self.back_off(exit, now),
        }
    }

    fn back_off(&mut self, exit: Exit, now: Moment) -> Vec<Action> {
        let doubled = BACK_OFF.0.saturating_mul(1 << self.failures.min(16));
        let pause = doubled.min(BACK_OFF.1);
        self.failures = self.failures.saturating_add(1);
        self.state = State::BackingOff { until: now + pause };
        vec![Action::ReportExit(exit, pause)]
    }

    fn tick(&mut self, state: State, now: Moment) -> Vec<Action> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        match state {
            State::BackingOff { .. } => self.spawn(now),
            State::Starting { .. } | State::Ready { .. } => {
                let starting = matches!(state, State::Starting { .. });
                let hang = if starting { Hang::Start } else { Hang::Watchdog };
                self.state = State::Aborting { deadline: now + ABORT_LIMIT };
                vec![Action::ReportHang(hang), Action::Abort]
            }
            State::Stopping { again, .. } => {
                // A killed process that does not go away is killed again.
                self.state = State::Stopping { deadline: now + self.spec.stop_limit, again };
                vec![Action::Kill]
            }
            State::Aborting { .. } => {
                self.state = State::Aborting { deadline: now + ABORT_LIMIT };
                vec![Action::Kill]
            }
            State::Stopped => Vec::new(),
        }
    }

    /// When `Tick` is due.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Stopped => None,
            State::Starting { since } => self.spec.start_limit.map(|limit| since + limit),
            State::Ready { heard, .. } => self.spec.watchdog.map(|limit| heard + limit),
            State::Stopping { deadline, .. } | State::Aborting { deadline } => Some(deadline),
            State::BackingOff { until } => Some(until),
        }
    }

    /// For how long it has been ready, as far as it has said so: one that hangs
    /// gains nothing by not having been found out yet.
    pub(crate) fn proven(&self, now: Moment) -> Option<Duration> {
        match self.state {
            State::Ready { since, heard } if self.spec.watchdog.is_some() => {
                Some(heard.since(since))
            }
            State::Ready { since, .. } => Some(now.since(since)),
            _ => None,
        }
    }

    /// What it is doing.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> u32 {
        self.starts
    }

    /// How it last ended.
    pub(crate) fn last_exit(&self) -> Option<Exit> {
        self.last_exit
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

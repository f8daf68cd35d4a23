//! Which services there are, and how each is run. Data only.

use rustix::process::Signal;
use std::time::Duration;

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// Links, addresses, routes, DHCP, DNS client.
    Network,
    /// The clock.
    Time,
    /// The agent, or in the test machine its payload.
    Agent,
    /// Writes what the others say to the disk.
    Log,
    /// Shows the dashboard on screen and serial lines.
    Console,
}

/// All services, in the order in which they are listed.
pub(crate) const NAMES: [Name; 5] =
    [Name::Network, Name::Time, Name::Agent, Name::Log, Name::Console];

impl Name {
    /// Its name, on the console and on disk.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Time => "time",
            Self::Agent => "agent",
            Self::Log => "log",
            Self::Console => "console",
        }
    }

    /// The service called `text`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        NAMES.into_iter().find(|name| name.text() == text)
    }

    /// How it is run.
    pub(crate) fn spec(self) -> Spec {
        let of_init = Spec {
            program: "/usr/sbin/holm-init",
            arguments: match self {
                Self::Network => &["network"],
                Self::Time => &["time"],
                Self::Agent => &["agent"],
                Self::Log => &["log"],
                Self::Console => &["console"],
            },
            watchdog: Some(Duration::from_secs(60)),
            start_limit: Some(Duration::from_secs(60)),
            stop_signal: Signal::TERM,
            restart_signal: Signal::TERM,
            stop_limit: Duration::from_secs(5),
            ready_on_start: false,
            oom_score_adjust: -950,
        };
        match self {
            Self::Network | Self::Time => of_init,
            Self::Agent => Spec {
                program: "/usr/bin/holm",
                start_limit: Some(Duration::from_secs(180)),
                // SIGTERM ends the pods; this leaves them to the next agent.
                restart_signal: Signal::USR1,
                // Pods get thirty seconds to end, by Kubernetes' default.
                stop_limit: Duration::from_secs(45),
                oom_score_adjust: -999,
                ..of_init
            },
            Self::Log => {
                Spec { watchdog: None, start_limit: None, ready_on_start: true, ..of_init }
            }
            // The first to go when memory is short: it comes back.
            Self::Console => Spec { oom_score_adjust: 500, ..of_init },
        }
    }
}

/// How a service is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The program.
    pub(crate) program: &'static str,
    /// Its arguments.
    pub(crate) arguments: &'static [&'static str],
    /// Within which time it must say that it lives, once ready.
    pub(crate) watchdog: Option<Duration>,
    /// Within which time it must say that it is ready.
    pub(crate) start_limit: Option<Duration>,
    /// Asks it to end for good.
    pub(crate) stop_signal: Signal,
    /// Asks it to end so that it can be started again at once.
    pub(crate) restart_signal: Signal,
    /// How long it has to end after either.
    pub(crate) stop_limit: Duration,
    /// Whether it is ready as soon as it runs, and says nothing itself.
    pub(crate) ready_on_start: bool,
    /// How unwilling the kernel is to kill it when memory is short.
    pub(crate) oom_score_adjust: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_by_its_text() {
        for name in NAMES {
            assert_eq!(Name::parse(name.text()), Some(name));
        }
        assert_eq!(Name::parse("kubelet"), None);
    }

    #[test]
    fn restart_leaves_the_pods_running_and_a_stop_does_not() {
        let agent = Name::Agent.spec();
        assert_eq!((agent.restart_signal, agent.stop_signal), (Signal::USR1, Signal::TERM));
        for name in NAMES.into_iter().filter(|name| *name != Name::Agent) {
            assert_eq!(name.spec().restart_signal, Signal::TERM);
        }
    }

    #[test]
    fn agent_is_the_only_foreign_program() {
        let foreign = NAMES.into_iter().filter(|name| !name.spec().program.ends_with("init"));
        assert_eq!(foreign.collect::<Vec<_>>(), [Name::Agent]);
    }
}

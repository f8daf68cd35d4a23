//! Performs what the machines decide. Thin: no choice is made here that a
//! machine could make.

use super::node::{Node, Purpose, StandIn};
use crate::boot::{Action as BootAction, Event as BootEvent, Phase};
use crate::clock::{Moment, now};
use crate::health::{Seen as HealthSeen, Verdict};
use crate::install;
use crate::kmsg;
use crate::log;
use crate::service::launch::{Environment, launch};
use crate::service::machine::{Action, Event, Exit, Hang, State};
use crate::service::spec::Name;
use crate::shutdown::{Action as DownAction, End, Seen};
use crate::syscalls::processes;
use crate::task::{Outcome, Task};
use rustix::process::{Signal, kill_process};
use rustix::system::{RebootCommand, reboot};
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

const HOTPLUG_LIMIT: Duration = Duration::from_secs(120);
const UNMOUNT_LIMIT: Duration = Duration::from_secs(20);

impl Node {
    /// Lets every machine see that time has passed.
    pub(crate) fn advance(&mut self, now: Moment) {
        self.boot_event(BootEvent::Tick, now);
        for at in 0..self.units.len() {
            let name = self.units[at].name;
            self.service_event(name, Event::Tick, now);
        }
        for (task, _) in &self.tasks {
            if now >= task.deadline {
                let _ = kill_process(task.pid, Signal::KILL);
            }
        }
        self.hotplug(now);
        self.look_after_health(now);
        self.go_down(now);
    }

    /// Tells the boot, and does what it answers.
    pub(crate) fn boot_event(&mut self, event: BootEvent, now: Moment) {
        for action in self.boot.step(event, now) {
            match action {
                BootAction::Announce(text) => kmsg::announce(&text),
                BootAction::Start(_) if self.shutdown.is_some() => {}
                BootAction::Start(phase) => self.start_phase(phase),
                BootAction::Abandon(phase) => {
                    for (task, purpose) in &self.tasks {
                        if *purpose == Purpose::Phase(phase) {
                            let _ = kill_process(task.pid, Signal::KILL);
                        }
                    }
                }
            }
        }
        self.show_console(now);
    }

    /// Starts the dashboard once the boot is over or has failed in part: until then
    /// its messages are what there is to see.
    fn show_console(&mut self, now: Moment) {
        let is_over = self.boot.ready_at().is_some() || !self.boot.failures().is_empty();
        let is_stopped =
            self.unit(Name::Console).is_some_and(|unit| unit.machine.state() == State::Stopped);
        let is_configured = self.boot.has_started(Phase::Agent);
        if is_over
            && is_configured
            && is_stopped
            && self.settings.console
            && self.shutdown.is_none()
        {
            self.service_event(Name::Console, Event::Start, now);
        }
    }

    /// Tells a service's machine, and does what it answers.
    pub(crate) fn service_event(&mut self, name: Name, event: Event, now: Moment) {
        let Some(unit) = self.unit_mut(name) else {
            return;
        };
        for action in unit.machine.step(event, now) {
            self.perform(name, action, now);
        }
    }

    fn perform(&mut self, name: Name, action: Action, now: Moment) {
        let pid = self.unit(name).and_then(|unit| unit.pid);
        let signal = |signal| {
            if let Some(pid) = pid {
                // A process that has just ended is reaped in the same turn.
                let _ = kill_process(pid, signal);
            }
        };
        match action {
            Action::Spawn => self.spawn(name, now),
            Action::Terminate(asked) => signal(asked),
            Action::Abort => signal(Signal::ABORT),
            Action::Kill => signal(Signal::KILL),
            Action::BecameReady => {
                if let Some(phase) = phase_of(name) {
                    self.boot_event(BootEvent::Ended(phase, Ok(())), now);
                }
            }
            Action::ReportExit(exit, pause) => {
                self.report_exit(name, exit, pause);
                if let Some(phase) = phase_of(name) {
                    let reason = format!("service {} {exit}", name.text());
                    self.boot_event(BootEvent::Ended(phase, Err(reason)), now);
                }
            }
            Action::ReportHang(hang) => {
                let what = match hang {
                    Hang::Start => "did not become ready in time",
                    Hang::Watchdog => "does not say any more that it lives",
                };
                kmsg::announce(&format!("service {} {what}: stopping it", name.text()));
            }
        }
    }

    fn report_exit(&mut self, name: Name, exit: Exit, pause: Duration) {
        if let Some(unit) = self.unit_mut(name) {
            unit.flush();
        }
        match (self.stand_in.filter(|_| name == Name::Agent), exit) {
            #[cfg(feature = "payload")]
            (Some(StandIn::Payload), _) => {
                let code = match exit {
                    Exit::Status(status) => status,
                    Exit::Signal(signal) => 128 + signal,
                    Exit::NotStarted(_) => 127,
                };
                kmsg::announce(&format!("payload exit {code}"));
                self.leave(End::PowerOff, "the payload has ended");
                return;
            }
            (Some(StandIn::Installer), Exit::Status(0)) => {
                self.leave(End::PowerOff, "the installation is done");
                return;
            }
            (Some(StandIn::Installer), Exit::Status(install::REBOOT)) => {
                self.leave(End::Reboot, "the installation is done");
                return;
            }
            // An installer that failed is tried again, as any service is.
            _ => {}
        }
        let pause = pause.as_millis();
        let name = name.text();
        kmsg::announce(&format!("service {name} {exit}; starting it again in {pause} ms"));
    }

    fn spawn(&mut self, name: Name, now: Moment) {
        let Some(unit) = self.units.iter().find(|unit| unit.name == name) else {
            return;
        };
        let output = unit.output.as_ref().map(|(_, write)| write);
        let launched = if name == Name::Log {
            let (environment, pipes) = self.log_writer();
            launch(name, &unit.spec, output, &environment, &pipes)
        } else {
            launch(name, &unit.spec, output, &self.environment, &[])
        };
        match launched {
            Ok(pid) => {
                if let Some(unit) = self.unit_mut(name) {
                    unit.pid = Some(pid);
                    unit.status.clear();
                }
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                self.service_event(name, Event::Exited(Exit::NotStarted(errno)), now);
            }
        }
    }

    /// What the log writer is given: the limits, and the others' pipes.
    fn log_writer(&self) -> (Environment, Vec<&OwnedFd>) {
        let piped: Vec<_> = self
            .units
            .iter()
            .filter_map(|unit| Some((unit.name, &unit.output.as_ref()?.0)))
            .collect();
        let words = piped.iter().map(|(name, fd)| format!("{}={}", name.text(), fd.as_raw_fd()));
        let environment = vec![
            (log::PIPES, words.collect::<Vec<_>>().join(",")),
            (log::MAX_SIZE, self.settings.log_max_size.to_string()),
            (log::FILES, self.settings.log_files.to_string()),
        ];
        (environment, piped.into_iter().map(|(_, fd)| fd).collect())
    }

    /// Starts a task; why it could not be started is its outcome.
    pub(crate) fn start_task(
        &mut self,
        name: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
        purpose: Purpose,
        limit: Duration,
    ) {
        match Task::start(name, arguments, now() + limit) {
            Ok(task) => self.tasks.push((task, purpose)),
            Err(error) => {
                let text = format!("cannot start the task {name}: {error}");
                self.task_ended(purpose, Outcome { text, succeeded: false });
            }
        }
    }

    /// Takes in how a task ended.
    pub(crate) fn task_ended(&mut self, purpose: Purpose, outcome: Outcome) {
        if purpose == Purpose::Hotplug {
            self.look_for_devices();
        }
        match purpose {
            Purpose::Phase(phase) => self.phase_task_ended(phase, outcome),
            Purpose::Hotplug | Purpose::Unmount | Purpose::Crashes if outcome.succeeded => {}
            Purpose::Crashes => kmsg::announce(&format!("crash records: {}", outcome.text)),
            Purpose::Hotplug => Self::note(&format!("drivers: {}", outcome.text)),
            Purpose::Unmount => kmsg::announce(&format!("unmount: {}", outcome.text)),
        }
    }

    /// Loads drivers for devices that came since, one child at a time.
    fn hotplug(&mut self, _now: Moment) {
        let busy = self.tasks.iter().any(|(_, purpose)| *purpose == Purpose::Hotplug);
        let nothing = self.aliases.is_empty() && !self.devices_lost;
        if busy || nothing || !self.may_hotplug || self.shutdown.is_some() {
            return;
        }
        let aliases = std::mem::take(&mut self.aliases).into_iter().map(OsString::from);
        if std::mem::take(&mut self.devices_lost) {
            self.start_task("coldplug", [], Purpose::Hotplug, HOTPLUG_LIMIT);
        } else {
            self.start_task("drivers", aliases, Purpose::Hotplug, HOTPLUG_LIMIT);
        }
    }

    fn look_after_health(&mut self, now: Moment) {
        let pet = if let Some(shutdown) = &self.shutdown {
            now < shutdown.last_pet()
        } else {
            let agent = self.unit(Name::Agent).map(|unit| unit.machine.state());
            let ready_for = self.unit(Name::Agent).and_then(|unit| unit.machine.proven(now));
            let seen = HealthSeen {
                booting: agent == Some(State::Stopped) && !self.boot.has_started(Phase::Agent),
                agent_ready_for: ready_for,
                agent_stopped: agent == Some(State::Stopped),
            };
            let verdict = self.health.judge(seen, now);
            if verdict == Verdict::Bad {
                self.leave(End::Reboot, "the agent is not well and does not recover");
            }
            verdict != Verdict::Bad
        };
        if let Some(watchdog) = &mut self.watchdog
            && pet
            && now >= self.next_pet
        {
            watchdog.pet();
            self.next_pet = now + watchdog.interval();
        }
    }

    fn go_down(&mut self, now: Moment) {
        let is_running = |name| self.unit(name).is_some_and(|unit| unit.pid.is_some());
        let seen = Seen {
            agent: is_running(Name::Agent),
            services: is_running(Name::Network) || is_running(Name::Time),
            processes: processes::any_child(),
            unmounting: self.tasks.iter().any(|(_, purpose)| *purpose == Purpose::Unmount),
        };
        if let Some(shutdown) = &mut self.shutdown {
            let actions = shutdown.advance(seen, now);
            self.perform_shutdown(actions);
        }
    }

    /// Does what the shutdown asks for.
    pub(crate) fn perform_shutdown(&mut self, actions: Vec<DownAction>) {
        for action in actions {
            match action {
                DownAction::Announce(text) => kmsg::announce(&text),
                DownAction::StopAgent => {
                    // First, so that the messages of the way down can be read.
                    self.service_event(Name::Console, Event::Stop, now());
                    self.service_event(Name::Agent, Event::Stop, now());
                }
                DownAction::StopServices => {
                    self.service_event(Name::Network, Event::Stop, now());
                    self.service_event(Name::Time, Event::Stop, now());
                }
                DownAction::TerminateAll => {
                    self.service_event(Name::Log, Event::Stop, now());
                    processes::signal_all(libc::SIGTERM);
                }
                DownAction::KillAll => processes::signal_all(libc::SIGKILL),
                DownAction::Unmount(end) => {
                    let trial = (end == End::Trial).then(|| OsString::from("trial"));
                    self.start_task("unmount", trial, Purpose::Unmount, UNMOUNT_LIMIT);
                }
                DownAction::Leave(end) => {
                    let command = match end {
                        End::Reboot | End::Trial => RebootCommand::Restart,
                        End::PowerOff => RebootCommand::PowerOff,
                    };
                    if let Err(errno) = reboot(command) {
                        kmsg::announce(&format!("the kernel refuses to end: {errno}"));
                    }
                }
            }
        }
    }
}

fn phase_of(name: Name) -> Option<Phase> {
    match name {
        Name::Network => Some(Phase::Network),
        Name::Time => Some(Phase::Time),
        Name::Agent => Some(Phase::Agent),
        Name::Log | Name::Console => None,
    }
}

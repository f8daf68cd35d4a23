//! The node as PID 1 sees it, and the loop's one turn.

use super::unit::Unit;
use crate::boot::{Boot, Event as BootEvent, Phase};
use crate::clock::{Moment, now, timeout};
use crate::cmdline::Cmdline;
use crate::configuration::settings::Settings;
use crate::control::Control;
use crate::device::power_button::PowerButtons;
use crate::device::uevent::{Listener, Next};
use crate::health::Health;
use crate::kmsg::{self, Level};
use crate::service::launch::Environment;
use crate::service::machine::{Event, Exit};
use crate::service::notify::{Message, Socket};
use crate::service::spec::{NAMES, Name};
use crate::shutdown::{End, Shutdown};
use crate::syscalls::memory;
use crate::syscalls::signals::{self, Signals};
use crate::task::Task;
use crate::watchdog::Watchdog;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::Duration;

/// More waiting device aliases than this make a full coldplug cheaper.
const MOST_ALIASES: usize = 256;
/// Look at everything at least this often, should an event ever be missed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What runs in the agent's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StandIn {
    /// The installer.
    Installer,
    /// The test machine's payload.
    #[cfg(feature = "payload")]
    Payload,
}

/// What a task was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A phase of the boot.
    Phase(Phase),
    /// Drivers for devices that came later.
    Hotplug,
    /// What an earlier kernel said when it died.
    Crashes,
    /// The end of a shutdown.
    Unmount,
}

/// What the loop waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Uevents,
    Notify,
    Control,
    PowerButton,
    Connection(usize),
    Task(usize),
    Output(usize),
}

/// The node.
pub(crate) struct Node {
    pub(crate) cmdline: Cmdline,
    pub(crate) boot: Boot,
    pub(crate) units: Vec<Unit>,
    pub(crate) tasks: Vec<(Task, Purpose)>,
    pub(crate) environment: Environment,
    pub(crate) settings: Settings,
    pub(crate) health: Health,
    pub(crate) watchdog: Option<Watchdog>,
    pub(crate) next_pet: Moment,
    /// When the memory that the last events have touched is given back.
    pub(crate) next_release: Moment,
    pub(crate) shutdown: Option<Shutdown>,
    pub(crate) notify: Option<Socket>,
    pub(crate) control: Control,
    pub(crate) devices: Option<Listener>,
    pub(crate) aliases: BTreeSet<String>,
    pub(crate) buttons: PowerButtons,
    pub(crate) devices_lost: bool,
    pub(crate) may_hotplug: bool,
    /// What runs in the agent's place, and ends the node when it ends well.
    pub(crate) stand_in: Option<StandIn>,
    signals: Option<Signals>,
}

impl Node {
    /// A node whose boot begins now.
    pub(crate) fn new(now: Moment) -> Self {
        let watchdog = Watchdog::take_over(std::env::var("HOLM_WATCHDOG_FD").ok());
        let signals = Signals::open(signals::OF_INIT);
        if let Err(error) = &signals {
            kmsg::announce(&format!("cannot open the signal descriptor: {error}"));
        }
        // Ctrl-Alt-Del comes as a signal instead of an immediate reset.
        let _ = rustix::system::reboot(rustix::system::RebootCommand::CadOff);
        let piped = |name| Unit::new(name, name.spec(), name != Name::Log);
        let mut node = Self {
            cmdline: Cmdline::default(),
            boot: Boot::new(),
            units: NAMES.into_iter().map(piped).collect(),
            tasks: Vec::new(),
            environment: Vec::new(),
            settings: Settings::default(),
            health: Health::new(now, Duration::from_secs(300)),
            watchdog,
            next_pet: now,
            next_release: now + LONGEST_SLEEP,
            shutdown: None,
            notify: None,
            control: Control::default(),
            devices: Listener::open().ok(),
            aliases: BTreeSet::new(),
            buttons: PowerButtons::default(),
            devices_lost: false,
            may_hotplug: false,
            stand_in: None,
            signals: signals.ok(),
        };
        node.boot_event(BootEvent::Tick, now);
        node
    }

    /// Waits for something to happen and deals with it.
    pub(crate) fn turn(&mut self) {
        for source in self.wait() {
            match source {
                Source::Signals => self.take_signals(),
                Source::Uevents => self.take_uevents(),
                Source::Notify => self.take_notifications(),
                Source::Control => self.control.accept(now()),
                Source::PowerButton => {
                    if self.buttons.was_pressed() {
                        self.leave(End::PowerOff, "power button");
                    }
                }
                Source::Connection(index) => self.answer(index),
                Source::Task(index) => {
                    if let Some((task, _)) = self.tasks.get_mut(index) {
                        task.listen();
                    }
                }
                Source::Output(index) => {
                    if let Some(unit) = self.units.get_mut(index) {
                        unit.relay();
                    }
                }
            }
        }
        self.control.tidy(now());
        self.reap();
        self.advance(now());
        if now() >= self.next_release {
            memory::release_code();
            self.next_release = now() + LONGEST_SLEEP;
        }
    }

    /// Blocks until a descriptor is ready or the next deadline is there.
    fn wait(&self) -> Vec<Source> {
        let mut sources = Vec::with_capacity(16);
        let mut fds = Vec::with_capacity(16);
        let mut listen = |source, fd| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        };
        if let Some(signals) = &self.signals {
            listen(Source::Signals, signals.as_fd());
        }
        if let Some(devices) = &self.devices {
            listen(Source::Uevents, devices.as_fd());
        }
        if let Some(notify) = &self.notify {
            listen(Source::Notify, notify.as_fd());
        }
        if let Some(listener) = self.control.listener() {
            listen(Source::Control, listener);
        }
        for button in self.buttons.descriptors() {
            listen(Source::PowerButton, button);
        }
        for (index, connection) in self.control.connections().enumerate() {
            listen(Source::Connection(index), connection);
        }
        for (index, (task, _)) in self.tasks.iter().enumerate() {
            if !task.is_silent() {
                listen(Source::Task(index), task.as_fd());
            }
        }
        if self.unit(Name::Log).is_none_or(|log| log.pid.is_none()) {
            for (index, unit) in self.units.iter().enumerate() {
                if let Some((read, _)) = &unit.output {
                    listen(Source::Output(index), read.as_fd());
                }
            }
        }
        let timeout = timeout(self.deadline(), now());
        if poll(&mut fds, Some(&timeout)).is_err() {
            return Vec::new();
        }
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        // The last first: answering a connection may remove it from its list.
        let mut found: Vec<_> =
            sources.into_iter().zip(ready).filter_map(|(s, ready)| ready.then_some(s)).collect();
        found.reverse();
        found
    }

    fn deadline(&self) -> Moment {
        let services = self.units.iter().filter_map(|unit| unit.machine.deadline());
        let tasks = self.tasks.iter().map(|(task, _)| task.deadline);
        let pet = self.watchdog.as_ref().map(|_| self.next_pet);
        let down = self.shutdown.as_ref().map(Shutdown::deadline);
        let connections = self.control.deadline();
        let known = services.chain(tasks).chain(pet).chain(down).chain(connections);
        let soonest = known.chain(self.boot.deadline()).min();
        soonest.unwrap_or(Moment::MAX).min(now() + LONGEST_SLEEP)
    }

    /// SIGINT is Ctrl-Alt-Del; SIGTERM and SIGINT reboot, SIGPWR switches off.
    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.as_mut().and_then(Signals::next) {
            match signal {
                libc::SIGINT => self.leave(End::Reboot, "Ctrl-Alt-Del or SIGINT"),
                libc::SIGTERM => self.leave(End::Reboot, "SIGTERM"),
                libc::SIGPWR => self.leave(End::PowerOff, "SIGPWR"),
                // SIGCHLD only wakes the loop, which reaps at every turn.
                _ => {}
            }
        }
    }

    fn take_uevents(&mut self) {
        loop {
            match self.devices.as_ref().map_or(Next::Nothing, Listener::next) {
                Next::Event(event) if event.action == "add" && !event.alias.is_empty() => {
                    self.devices_lost |= self.aliases.len() >= MOST_ALIASES;
                    if !self.devices_lost {
                        self.aliases.insert(event.alias);
                    }
                }
                Next::Event(_) => {}
                Next::Overrun => self.devices_lost = true,
                Next::Nothing => return,
            }
        }
    }

    fn take_notifications(&mut self) {
        while let Some((sender, messages)) = self.notify.as_ref().and_then(Socket::next) {
            let Some(name) = self.name_of(sender) else {
                continue;
            };
            for message in messages {
                match message {
                    Message::Ready => self.service_event(name, Event::Ready, now()),
                    Message::Alive => self.service_event(name, Event::Alive, now()),
                    Message::Status(words) => {
                        if let Some(unit) = self.unit_mut(name) {
                            unit.status = words;
                        }
                    }
                }
            }
        }
    }

    /// Takes in every child that has ended, its own and orphans alike.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(name) = self.name_of(pid) {
                if let Some(unit) = self.unit_mut(name) {
                    unit.pid = None;
                }
                self.service_event(name, Event::Exited(exit(status)), now());
            } else if let Some(at) = self.tasks.iter().position(|(task, _)| task.pid == pid) {
                let (task, purpose) = self.tasks.remove(at);
                self.task_ended(purpose, task.finish(status));
            }
        }
    }

    fn name_of(&self, pid: Pid) -> Option<Name> {
        self.units.iter().find(|unit| unit.pid == Some(pid)).map(|unit| unit.name)
    }

    pub(crate) fn unit(&self, name: Name) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.name == name)
    }

    pub(crate) fn unit_mut(&mut self, name: Name) -> Option<&mut Unit> {
        self.units.iter_mut().find(|unit| unit.name == name)
    }

    /// Begins to go down, or changes how it ends when it has begun.
    pub(crate) fn leave(&mut self, end: End, reason: &str) {
        match &mut self.shutdown {
            Some(shutdown) => shutdown.wish(end),
            None => {
                let (shutdown, actions) = Shutdown::begin(end, reason, now());
                self.shutdown = Some(shutdown);
                self.perform_shutdown(actions);
            }
        }
    }

    /// Records what does not concern a person at the console.
    pub(crate) fn note(text: &str) {
        kmsg::log(Level::Warning, text);
    }
}

fn exit(status: WaitStatus) -> Exit {
    match status.terminating_signal() {
        Some(signal) => Exit::Signal(signal),
        None => Exit::Status(status.exit_status().unwrap_or(-1)),
    }
}

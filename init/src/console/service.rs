//! The loop: waits for keys, for terminals that take bytes again, and for the next
//! second when somebody looks. Decides nothing: `holm_console` does.

use super::gather::Gather;
use super::places::{Kernel, choose};
use super::terminal::Terminal;
use crate::clock::{Moment, now, timeout};
use crate::notify::Notify;
use crate::syscalls::signals::Signals;
use holm_console::{Event, State, read};
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

/// How often what is shown is brought up to date.
const LOOK: Duration = Duration::from_secs(1);
/// How often terminals are looked for that have come since, when nobody looks.
const REST: Duration = Duration::from_secs(30);

/// The service.
pub(crate) struct Service {
    gather: Gather,
    document: holm_config::Console,
    terminals: Vec<Terminal>,
    signals: Signals,
    notify: Notify,
    rest: Duration,
    is_recorded: bool,
    next_look: Moment,
    was_ready: bool,
}

impl Service {
    /// Shows this node on its own terminals.
    pub(crate) fn of_node(signals: Signals, notify: Notify, watchdog: Option<Duration>) -> Self {
        Self {
            gather: Gather::of_node(),
            document: document(),
            terminals: Vec::new(),
            signals,
            notify,
            rest: watchdog.map_or(REST, |period| period.min(REST)),
            is_recorded: false,
            next_look: now(),
            was_ready: false,
        }
    }

    /// Shows the node whose files lie below `root`, here and now.
    pub(crate) fn of_recorded(root: PathBuf, signals: Signals) -> io::Result<Self> {
        let terminal = Terminal::of_standard_input()?;
        Ok(Self {
            gather: Gather::of_recorded(root),
            document: holm_config::Console {
                colour: std::env::var_os("NO_COLOR").is_none(),
                ..holm_config::Console::default()
            },
            terminals: vec![terminal],
            signals,
            notify: Notify::default(),
            rest: REST,
            is_recorded: true,
            next_look: now(),
            was_ready: true,
        })
    }

    /// Runs until it is told to end.
    pub(crate) fn run(mut self) {
        loop {
            if now() >= self.next_look {
                self.notify.watchdog();
                self.look();
            } else if self.terminals.iter().any(Terminal::must_draw) {
                self.draw();
            }
            if self.wait() || (self.is_recorded && !self.terminals.iter().any(Terminal::is_shown)) {
                break;
            }
        }
        let now = since_start();
        self.terminals.into_iter().for_each(|terminal| terminal.release(now));
    }

    /// Brings everything up to date.
    fn look(&mut self) {
        if !self.is_recorded {
            self.look_for_terminals();
        }
        let awaits = |terminal: &Terminal| terminal.awaits_ready();
        if self.terminals.iter().any(awaits) && !self.was_ready {
            let state = read(&self.gather.known(), self.gather.messages());
            self.was_ready = state.ready.is_some();
        }
        let moment = since_start();
        for terminal in &mut self.terminals {
            if self.was_ready {
                terminal.happened(Event::Ready, moment);
            }
            terminal.happened(Event::Tick, moment);
            if terminal.is_shown() {
                terminal.measure();
            }
        }
        self.draw();
        let somebody = |terminal: &Terminal| terminal.is_shown() || terminal.awaits_ready();
        let busy = self.terminals.iter().any(somebody);
        self.next_look = now() + if busy { LOOK } else { self.rest };
    }

    /// Shows what is known to whoever looks.
    fn draw(&mut self) {
        if !self.terminals.iter().any(Terminal::is_shown) {
            return;
        }
        let known = self.gather.known();
        let messages = self.gather.messages();
        let shown_by_kernel = messages.shown();
        let state: State = read(&known, messages);
        for terminal in self.terminals.iter_mut().filter(|terminal| terminal.is_shown()) {
            let log = terminal.log().map(|name| self.gather.log(name)).unwrap_or_default();
            terminal.draw(&state, &log, self.document.colour, shown_by_kernel);
        }
    }

    /// Screens and lines may come later than this service.
    fn look_for_terminals(&mut self) {
        self.terminals.retain(|terminal| !terminal.is_gone());
        for place in choose(&self.document, &Kernel::read()) {
            // The virtual terminal in front may change; the first one is kept.
            let is_known = |terminal: &Terminal| {
                terminal.name() == place.name
                    || (place.is_screen
                        && self.document.terminals.is_empty()
                        && terminal.is_screen())
            };
            if self.terminals.iter().any(is_known) {
                continue;
            }
            match Terminal::open(&place) {
                Ok(terminal) => self.terminals.push(terminal),
                Err(error) => self.notify.status(format!("cannot use {}: {error}", place.name)),
            }
        }
    }

    /// Waits for the next thing to do; whether it is to end.
    fn wait(&mut self) -> bool {
        let mut fds = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
        for terminal in &self.terminals {
            let pending = if terminal.is_pending() { PollFlags::OUT } else { PollFlags::empty() };
            // One that is gone is always ready, and would keep this loop busy.
            let keys = if terminal.is_gone() { PollFlags::empty() } else { PollFlags::IN };
            fds.push(PollFd::from_borrowed_fd(terminal.as_fd(), keys | pending));
        }
        let limit = timeout(self.next_look, now());
        if poll(&mut fds, Some(&limit)).is_err() {
            return false;
        }
        let ready: Vec<_> = fds.iter().map(PollFd::revents).collect();
        let moment = since_start();
        for (terminal, events) in self.terminals.iter_mut().zip(ready.iter().skip(1)) {
            if events.intersects(PollFlags::HUP | PollFlags::ERR) && !events.contains(PollFlags::IN)
            {
                terminal.lose();
            }
            if events.contains(PollFlags::OUT) {
                terminal.flush();
            }
            if events.contains(PollFlags::IN) {
                terminal.listen(moment);
            }
        }
        if self.terminals.iter().any(Terminal::is_gone) {
            if self.is_recorded {
                return true;
            }
            self.terminals.retain(|terminal| !terminal.is_gone());
        }
        let mut end = false;
        while let Some(signal) = self.signals.next() {
            end |= signal == libc::SIGTERM || signal == libc::SIGINT;
        }
        end
    }
}

/// What the node document says. One that cannot be read is PID 1's to complain of.
fn document() -> holm_config::Console {
    let path = std::env::var_os("HOLM_CONFIG").unwrap_or_else(|| "/run/holm/holm.toml".into());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    holm_config::parse(&text, "holm.toml").unwrap_or_default().console
}

fn since_start() -> Duration {
    Duration::from_millis(now().0)
}

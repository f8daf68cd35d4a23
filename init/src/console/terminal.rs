//! One terminal: its descriptor, its keys, what it shows, and the bytes that it has
//! not taken yet. Never waits for it.

use super::places::Place;
use holm_console::{
    Appears, Asked, Dashboard, Event, HIDE, Key, Keys, Page, Presence, SHOW, SIZE_QUESTION, Screen,
    Size, State, Step,
};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{ControlModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Until a serial terminal has said otherwise.
const USUAL: Size = Size { width: 80, height: 24 };
/// Nobody has a larger one, and cells cost memory.
const LARGEST: Size = Size { width: 400, height: 150 };
/// A terminal that does not even take this much gets no more.
const MOST_PENDING: usize = 64 << 10;

/// A terminal.
pub(crate) struct Terminal {
    name: String,
    is_screen: bool,
    descriptor: OwnedFd,
    before: Termios,
    keys: Keys,
    presence: Presence,
    dashboard: Dashboard,
    screen: Screen,
    size: Size,
    pending: Vec<u8>,
    must_draw: bool,
    shown_by_kernel: u64,
    is_gone: bool,
}

impl Terminal {
    /// Opens the terminal at `place`.
    pub(crate) fn open(place: &Place) -> io::Result<Self> {
        // A line may wait for its carrier for ever; and it must not become ours.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let path = format!("/dev/{}", place.name);
        let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
        Self::take(descriptor, place)
    }

    /// The terminal that this program was started from.
    pub(crate) fn of_standard_input() -> io::Result<Self> {
        let descriptor = rustix::io::dup(rustix::stdio::stdin())?;
        let name = "stdin".to_owned();
        Self::take(descriptor, &Place { name, appears: Appears::WhenReady, is_screen: false })
    }

    fn take(descriptor: OwnedFd, place: &Place) -> io::Result<Self> {
        let before = tcgetattr(&descriptor)?;
        let mut raw = before.clone();
        raw.make_raw();
        // Whatever a modem's lines say; the speed stays as the kernel has set it.
        raw.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        tcsetattr(&descriptor, OptionalActions::Now, &raw)?;
        Ok(Self {
            name: place.name.clone(),
            is_screen: place.is_screen,
            descriptor,
            before,
            keys: Keys::default(),
            presence: Presence::new(place.appears),
            dashboard: Dashboard::default(),
            screen: Screen::default(),
            size: USUAL,
            pending: Vec::new(),
            must_draw: false,
            shown_by_kernel: 0,
            is_gone: false,
        })
    }

    /// Its name below `/dev`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a screen with a keyboard.
    pub(crate) fn is_screen(&self) -> bool {
        self.is_screen
    }

    /// Whether it shows the dashboard.
    pub(crate) fn is_shown(&self) -> bool {
        self.presence.is_shown()
    }

    /// Whether it shows it as soon as the node is ready.
    pub(crate) fn awaits_ready(&self) -> bool {
        self.presence.awaits_ready()
    }

    /// Whether it is no more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// It has been unplugged, or its other side has.
    pub(crate) fn lose(&mut self) {
        self.is_gone = true;
    }

    /// Whether it has bytes to take.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether a key has changed what it shall show.
    pub(crate) fn must_draw(&self) -> bool {
        self.must_draw
    }

    /// The log that it shows, if it shows one.
    pub(crate) fn log(&self) -> Option<&'static str> {
        (self.dashboard.page() == Page::Logs).then(|| self.dashboard.log())
    }

    /// Reads the keys that were pressed.
    pub(crate) fn listen(&mut self, now: Duration) {
        let mut bytes = [0; 256];
        match rustix::io::read(&self.descriptor, &mut bytes) {
            Ok(0) | Err(rustix::io::Errno::IO | rustix::io::Errno::NXIO) => self.is_gone = true,
            Ok(length) => {
                for key in self.keys.feed(&bytes[..length]) {
                    self.press(key, now);
                }
            }
            Err(_) => {}
        }
    }

    fn press(&mut self, key: Key, now: Duration) {
        if let Key::Cursor(rows, columns) = key {
            self.resize(Size::new(columns, rows));
            return;
        }
        let was_shown = self.is_shown();
        let event = if key == Key::Enter { Event::Enter } else { Event::OtherKey };
        self.happened(event, now);
        if !was_shown {
            return;
        }
        match self.dashboard.press(key) {
            Asked::Nothing => {}
            Asked::Redraw => self.must_draw = true,
            Asked::Repaint => {
                self.screen.forget();
                self.must_draw = true;
            }
            Asked::Leave => self.happened(Event::Leave, now),
        }
    }

    /// Takes in what happened, and takes or gives back the terminal.
    pub(crate) fn happened(&mut self, event: Event, now: Duration) {
        match self.presence.step(event, now) {
            Step::Stay => {}
            Step::Show => {
                self.screen.forget();
                self.dashboard = Dashboard::default();
                self.pending = SHOW.to_vec();
                if !self.measure() {
                    self.pending.extend_from_slice(SIZE_QUESTION);
                }
                self.must_draw = true;
            }
            Step::Hide => {
                self.screen.forget();
                self.pending = HIDE.to_vec();
                self.must_draw = false;
            }
        }
        self.flush();
    }

    /// Asks the kernel for the size; whether it knows.
    pub(crate) fn measure(&mut self) -> bool {
        match tcgetwinsize(&self.descriptor) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                self.resize(Size::new(size.ws_col, size.ws_row));
                true
            }
            _ => false,
        }
    }

    fn resize(&mut self, size: Size) {
        let size =
            Size::new(size.width.clamp(1, LARGEST.width), size.height.clamp(1, LARGEST.height));
        if size != self.size {
            self.size = size;
            self.must_draw = true;
        }
    }

    /// Shows `state`, and the log it asked for. `shown_by_kernel` counts what the
    /// kernel has written over it.
    pub(crate) fn draw(
        &mut self,
        state: &State,
        log: &[String],
        colour: bool,
        shown_by_kernel: u64,
    ) {
        // One picture at a time: a slow line gets the newest when it is through.
        if self.is_pending() {
            return;
        }
        self.must_draw = false;
        if shown_by_kernel != self.shown_by_kernel {
            self.shown_by_kernel = shown_by_kernel;
            self.screen.forget();
        }
        self.dashboard.settle(log.len().max(state.pods.as_ref().map_or(0, Vec::len)));
        let picture = self.dashboard.draw(state, log, self.size, colour);
        self.pending = self.screen.paint(picture);
        self.flush();
    }

    /// Gives it as many bytes as it takes.
    pub(crate) fn flush(&mut self) {
        while !self.pending.is_empty() {
            match rustix::io::write(&self.descriptor, &self.pending) {
                Ok(length @ 1..) => drop(self.pending.drain(..length)),
                _ => break,
            }
        }
        if self.pending.len() > MOST_PENDING {
            self.pending.clear();
            self.screen.forget();
        }
    }

    /// Gives the terminal back as it was.
    pub(crate) fn release(mut self, now: Duration) {
        self.happened(Event::End, now);
        let _ = tcsetattr(&self.descriptor, OptionalActions::Now, &self.before);
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

//! A service with its process and its output.
//! Decides nothing: `service::machine` does.

use crate::kmsg::{self, Level};
use crate::lines::Lines;
use crate::service::machine::Service;
use crate::service::spec::{Name, Spec};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use std::os::fd::OwnedFd;

/// Read at most this much in one turn of the loop, so that a chatterer cannot
/// hold up the rest.
const MOST_PER_TURN: usize = 16 * 1024;

/// A service.
pub(crate) struct Unit {
    pub(crate) name: Name,
    pub(crate) spec: Spec,
    pub(crate) machine: Service,
    pub(crate) pid: Option<Pid>,
    /// What it last said about itself.
    pub(crate) status: String,
    /// Both ends of the pipe that its output goes through. PID 1 keeps them, so
    /// that nothing is lost when the service or the log writer starts anew.
    pub(crate) output: Option<(OwnedFd, OwnedFd)>,
    lines: Lines,
}

impl Unit {
    /// A stopped service. `piped`: its output is collected, not thrown away.
    pub(crate) fn new(name: Name, spec: Spec, piped: bool) -> Self {
        let output = if piped { pipe() } else { None };
        Self {
            name,
            spec,
            machine: Service::new(spec),
            pid: None,
            status: String::new(),
            output,
            lines: Lines::default(),
        }
    }

    /// Moves what the service has written into the kernel's log: for the time
    /// when nobody writes to the disk.
    pub(crate) fn relay(&mut self) {
        let Some((read, _)) = &self.output else {
            return;
        };
        let mut buffer = [0u8; 2048];
        let mut taken = 0;
        while taken < MOST_PER_TURN {
            let Ok(length @ 1..) = rustix::io::read(read, &mut buffer) else {
                return;
            };
            taken += length;
            let name = self.name.text();
            self.lines.feed(&buffer[..length], |line| say(name, line));
        }
    }

    /// Moves the rest of an unfinished line too.
    pub(crate) fn flush(&mut self) {
        let name = self.name.text();
        self.lines.flush(|line| say(name, line));
    }
}

fn say(name: &str, line: &[u8]) {
    kmsg::log(Level::Info, &format!("{name}: {}", String::from_utf8_lossy(line)));
}

fn pipe() -> Option<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    // Only this end: a service may block on a full pipe, PID 1 may not.
    rustix::io::ioctl_fionbio(&read, true).ok()?;
    Some((read, write))
}

//! Asks on every console at once and takes the first line that comes. Blocks: never in PID 1.

use rustix::event::{PollFd, PollFlags, poll};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

/// A terminal gives a line at a time; no answer is longer.
const LONGEST_LINE: usize = 256;

/// The open consoles.
pub(super) struct Consoles(Vec<File>);

impl Consoles {
    /// Opens those that the kernel writes to.
    pub(super) fn open() -> std::io::Result<Self> {
        let active = fs::read_to_string("/sys/class/tty/console/active")?;
        let open = |name: &str| {
            // The kernel's `tty0` is the screen that is shown; a person types on the first.
            let name = if name == "tty0" { "tty1" } else { name };
            File::options().read(true).write(true).open(Path::new("/dev").join(name)).ok()
        };
        Ok(Self(active.split_whitespace().filter_map(open).collect()))
    }

    /// Shows `text` on all of them. A console that is gone is no reason to stop.
    pub(super) fn say(&mut self, text: &str) {
        for console in &mut self.0 {
            // Raw terminals need the return, others do not mind it.
            let _ = console.write_all(text.replace('\n', "\r\n").as_bytes());
        }
    }

    /// Waits for a line on any of them; none when there is no console left.
    pub(super) fn line(&mut self) -> Option<String> {
        while !self.0.is_empty() {
            let mut fds: Vec<_> =
                self.0.iter().map(|file| PollFd::new(file, PollFlags::IN)).collect();
            // Interrupted: look again.
            if poll(&mut fds, None).is_err() {
                continue;
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            for at in (0..ready.len()).rev().filter(|at| ready[*at]) {
                let mut bytes = [0; LONGEST_LINE];
                match self.0[at].read(&mut bytes) {
                    Ok(length @ 1..) => {
                        return Some(String::from_utf8_lossy(&bytes[..length]).into_owned());
                    }
                    // Unplugged, or hung up.
                    _ => _ = self.0.remove(at),
                }
            }
        }
        None
    }
}

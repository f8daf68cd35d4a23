//! The hardware watchdog: opened in stage one, kept open ever after, so that it
//! stays armed across the switch of root and through the shutdown.
//! Never closes it in the way that disarms it, and never decides when to pet.
#![allow(unsafe_code)]

use crate::cmdline::Cmdline;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// Long enough for a slow disk's worst pause, short enough for the field.
const DEFAULT_TIMEOUT: u64 = 60;
/// `_IOWR('W', 6, int)` of linux/watchdog.h.
const SET_TIMEOUT: libc::Ioctl = 0xc004_5706;

/// An armed watchdog.
pub(crate) struct Watchdog {
    device: File,
    timeout: Duration,
}

impl Watchdog {
    /// Opens and so arms the watchdog, if the machine has one; the time comes
    /// from `holm.watchdog=<seconds>` (0: leave it alone).
    pub(crate) fn open(cmdline: &Cmdline) -> Option<Self> {
        let seconds = cmdline.number("holm.watchdog", DEFAULT_TIMEOUT);
        if seconds == 0 {
            return None;
        }
        let options =
            File::options().write(true).custom_flags(libc::O_NONBLOCK).open("/dev/watchdog");
        let mut watchdog = Self { device: options.ok()?, timeout: Duration::ZERO };
        watchdog.set_timeout(Duration::from_secs(seconds));
        Some(watchdog)
    }

    /// Takes over the watchdog that stage one opened, from its descriptor.
    pub(crate) fn take_over(descriptor: Option<String>) -> Option<Self> {
        let descriptor: RawFd = descriptor?.parse().ok()?;
        if descriptor <= 2 {
            return None;
        }
        // SAFETY: stage one opened this descriptor for us alone and said so in
        // the environment, which only PID 1 of the same image writes.
        let device = unsafe { File::from_raw_fd(descriptor) };
        let flags = rustix::io::FdFlags::CLOEXEC;
        rustix::io::fcntl_setfd(&device, flags).ok()?;
        Some(Self { device, timeout: Duration::from_secs(DEFAULT_TIMEOUT) })
    }

    /// Gives the descriptor up so that it lives on through an exec.
    pub(crate) fn hand_over(self) -> Option<RawFd> {
        rustix::io::fcntl_setfd(&self.device, rustix::io::FdFlags::empty()).ok()?;
        Some(self.device.into_raw_fd())
    }

    /// Sets the time after which the hardware resets the machine. The driver
    /// may choose another; what it chose is what `interval` goes by.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        let mut seconds = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
        // SAFETY: the call reads and writes one int, which outlives it.
        let result = unsafe { libc::ioctl(self.device.as_raw_fd(), SET_TIMEOUT, &mut seconds) };
        let chosen = if result < 0 { DEFAULT_TIMEOUT } else { seconds.max(1) as u64 };
        self.timeout = Duration::from_secs(chosen);
    }

    /// How often to pet it.
    pub(crate) fn interval(&self) -> Duration {
        (self.timeout / 3).max(Duration::from_millis(500))
    }

    /// Pets it.
    pub(crate) fn pet(&mut self) {
        // A zero byte only keeps it alive; `V` would disarm it.
        let _ = self.device.write(&[0]);
    }
}

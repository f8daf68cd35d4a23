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
/// The driver of the Raspberry Pi's watchdog takes any time and counts what is left
/// of it after division by 16 s: by its name in sysfs, it is asked for no more.
const SHORT: (&str, Duration) = ("Broadcom BCM2835 Watchdog timer", Duration::from_secs(15));
const IDENTITY: &str = "/sys/class/watchdog/watchdog0/identity";

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
        let timeout = bounded(Duration::from_secs(DEFAULT_TIMEOUT), &identity());
        Some(Self { device, timeout })
    }

    /// Gives the descriptor up so that it lives on through an exec.
    pub(crate) fn hand_over(self) -> Option<RawFd> {
        rustix::io::fcntl_setfd(&self.device, rustix::io::FdFlags::empty()).ok()?;
        Some(self.device.into_raw_fd())
    }

    /// Sets the time after which the hardware resets the machine. The driver
    /// may choose another; what it chose is what `interval` goes by.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        let timeout = bounded(timeout, &identity());
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

fn identity() -> String {
    std::fs::read_to_string(IDENTITY).unwrap_or_default()
}

/// The time that the driver of this name can really be asked for.
fn bounded(timeout: Duration, identity: &str) -> Duration {
    let (name, most) = SHORT;
    if identity.trim() == name { timeout.min(most) } else { timeout }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raspberry_pi_is_asked_for_no_more_than_its_hardware_counts() {
        let seconds = Duration::from_secs;
        let pi = "Broadcom BCM2835 Watchdog timer\n";
        assert_eq!(bounded(seconds(60), pi), seconds(15));
        assert_eq!(bounded(seconds(10), pi), seconds(10));
        assert_eq!(bounded(seconds(60), "i6300ESB timer\n"), seconds(60));
    }
}

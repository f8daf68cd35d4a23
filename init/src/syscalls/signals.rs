//! Signals as a file descriptor, for the poll loop.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What PID 1 hears. Children get a clean mask when they are started.
pub(crate) const OF_INIT: &[i32] =
    &[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGPWR, libc::SIGHUP, libc::SIGUSR1];
/// What asks a service to end.
pub(crate) const OF_TERMINATION: &[i32] = &[libc::SIGTERM, libc::SIGINT];
/// What a service hears that can also read its configuration again.
pub(crate) const OF_RELOAD: &[i32] = &[libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// Lets the child that `command` starts hear signals again: it would inherit
/// the mask of PID 1, and nobody could end it.
pub(crate) fn unblock_in(command: &mut Command) {
    let unblock = || {
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `none` is made by sigemptyset before sigprocmask reads it; both
        // may be called between fork and exec.
        let result = unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
        };
        if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the closure makes two calls that are safe after a fork.
    unsafe { command.pre_exec(unblock) };
}

/// The descriptor.
#[derive(Debug)]
pub(crate) struct Signals(File);

impl Signals {
    /// Blocks the signals `heard`, so that none is acted on by default, and opens
    /// the descriptor.
    pub(crate) fn open(heard: &[i32]) -> std::io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `set` is made by sigemptyset before any other use, and the
        // other calls only read it; a null old set and -1 for a new descriptor
        // are what these calls document.
        let descriptor = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in heard {
                libc::sigaddset(set.as_mut_ptr(), *signal);
            }
            libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh and nobody else has it.
        Ok(Self(unsafe { File::from_raw_fd(descriptor) }))
    }

    /// The next signal that is waiting.
    pub(crate) fn next(&mut self) -> Option<i32> {
        let mut record = [0u8; size_of::<libc::signalfd_siginfo>()];
        let length = self.0.read(&mut record).ok()?;
        (length == record.len())
            .then(|| i32::from_ne_bytes([record[0], record[1], record[2], record[3]]))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_hears_signals_that_its_parent_has_blocked() {
        let mut signals = Signals::open(OF_INIT).unwrap();
        assert_eq!(signals.next(), None);
        let mut command = Command::new("sleep");
        command.arg("1000");
        unblock_in(&mut command);
        let mut child = command.spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGTERM));
    }
}

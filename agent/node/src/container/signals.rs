//! Signals: numbers from outside, and the dispositions that a container starts with.
#![allow(unsafe_code)]

use nix::sys::signal::{SigHandler, Signal as NixSignal, signal};
use rustix::process::Signal;

/// The first number that the C library does not keep for itself, and the kernel's last.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// The signal of this number; images also ask for real-time ones (`SIGRTMIN+3`).
pub fn from_number(number: i32) -> Option<Signal> {
    if REAL_TIME.contains(&number) {
        // SAFETY: in the kernel's range and not reserved by the C library.
        return Some(unsafe { Signal::from_raw_unchecked(number) });
    }
    Signal::from_named_raw(number)
}

/// Undoes what Rust's start-up does: a program that inherits an ignored SIGPIPE writes on for ever
/// into a pipe that nobody reads.
pub fn restore_default_sigpipe() {
    // SAFETY: the default disposition runs no code of this process.
    let _ = unsafe { signal(NixSignal::SIGPIPE, SigHandler::SigDfl) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_time_signals_are_signals_and_reserved_numbers_are_not() {
        assert_eq!(from_number(15), Some(Signal::TERM));
        assert_eq!(from_number(37).map(Signal::as_raw), Some(37));
        for number in [-1, 0, 32, 33, 65] {
            assert_eq!(from_number(number), None, "{number}");
        }
    }
}

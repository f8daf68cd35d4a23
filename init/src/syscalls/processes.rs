//! All processes at once: the calls that rustix has no safe form of.
#![allow(unsafe_code)]

use rustix::process::{WaitId, WaitIdOptions, waitid};

/// Sends `signal` to every process but this one. Only PID 1 may ever call it.
pub(crate) fn signal_all(signal: i32) {
    if std::process::id() == 1 {
        // SAFETY: kill takes two integers and touches no memory of ours.
        unsafe { libc::kill(-1, signal) };
    }
}

/// Whether any child is left, running or not yet reaped. Orphans are children
/// of PID 1, so for it this means: whether any process is left.
pub(crate) fn any_child() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, options), Err(rustix::io::Errno::CHILD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_is_seen_until_it_is_reaped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        assert!(any_child());
        child.wait().unwrap();
    }
}

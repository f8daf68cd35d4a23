//! Waiting for descriptors until a point in time, whatever signals come between.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec};

/// The time left, never negative.
pub fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Waits until one of `fds` is ready or the time has come; returns how many are ready.
///
/// # Errors
/// What `poll` says, except an interruption.
pub fn poll(fds: &mut [PollFd<'_>], until: Instant) -> std::io::Result<usize> {
    loop {
        // A time too far for the kernel's type is as good as none; it is asked again.
        let timeout =
            Timespec::try_from(left(until)).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
        match rustix::event::poll(fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::PollFlags;

    #[test]
    fn a_ready_descriptor_ends_the_wait_and_a_passed_deadline_too() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut fds = [PollFd::new(&reader, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Instant::now()).unwrap(), 0);
        rustix::io::write(&writer, b"x").unwrap();
        assert_eq!(poll(&mut fds, Instant::now() + Duration::from_secs(60)).unwrap(), 1);
    }
}

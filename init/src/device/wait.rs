//! Waits for something that a device must bring, until a deadline, woken by the
//! kernel's announcements. Runs in children of PID 1 only.

use super::uevent::{Listener, Next};
use crate::clock::{Moment, now, timeout};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::BTreeSet;

/// What happened while waiting.
#[derive(Debug)]
pub(crate) enum News {
    /// These device aliases are new: a driver may be wanted.
    Aliases(BTreeSet<String>),
    /// Announcements were lost: look at everything again.
    Overrun,
}

/// Calls `look` now and after every announcement until it finds something or
/// `deadline` has passed; `on_news` hears of new devices in between.
pub(crate) fn wait_for<T>(
    listener: &Listener,
    deadline: Moment,
    mut look: impl FnMut() -> Option<T>,
    mut on_news: impl FnMut(News),
) -> Option<T> {
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        let left = timeout(deadline, now());
        if left.tv_sec == 0 && left.tv_nsec == 0 {
            return None;
        }
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        // An interrupted poll only looks once more than it has to.
        let _ = poll(&mut fds, Some(&left));
        let mut aliases = BTreeSet::new();
        loop {
            match listener.next() {
                Next::Event(event) if event.action == "add" && !event.alias.is_empty() => {
                    aliases.insert(event.alias);
                }
                Next::Event(_) => {}
                Next::Overrun => on_news(News::Overrun),
                Next::Nothing => break,
            }
        }
        if !aliases.is_empty() {
            on_news(News::Aliases(aliases));
        }
    }
}

//! What signals ask of the service.

use std::os::fd::{AsFd, BorrowedFd};

use crate::syscalls::signals::{OF_RELOAD, Signals};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// SIGTERM or SIGINT: leave.
    Leave,
    /// SIGHUP: read the node document again.
    Reload,
}

/// Where orders come from.
pub(crate) struct Orders(Signals);

impl Orders {
    /// From now on signals are orders.
    pub(crate) fn hear() -> std::io::Result<Self> {
        Signals::open(OF_RELOAD).map(Self)
    }

    /// The descriptor to wait on.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The next order, if there is one.
    pub(crate) fn next(&mut self) -> Option<Order> {
        loop {
            match self.0.next()? {
                libc::SIGTERM | libc::SIGINT => return Some(Order::Leave),
                libc::SIGHUP => return Some(Order::Reload),
                _ => {}
            }
        }
    }
}

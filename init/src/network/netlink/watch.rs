//! Hears of changes. What exactly changed does not matter, as everything is looked at again; only
//! the DNS options of router advertisements exist in the message alone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SocketFlags};

use super::NetlinkError;
use super::socket::{messages, open};

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR`,
/// `RTMGRP_IPV6_ROUTE`, and `RTNLGRP_ND_USEROPT`.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400 | 1 << 19;
const NEW_ND_USER_OPTION: u16 = 68;
/// More waits for the next turn of the loop.
const BATCH: usize = 64;

/// A socket that becomes readable when something changed.
#[derive(Debug)]
pub(crate) struct Watch {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// What was heard.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    /// Something changed, or messages were lost: look again.
    pub(crate) has_changed: bool,
    /// Router advertisement options, as the kernel passes them on.
    pub(crate) options: Vec<Vec<u8>>,
}

impl Watch {
    /// Opens it, in the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let socket = open(GROUPS, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        Ok(Self { socket, buffer: vec![0; 8192] })
    }

    /// The descriptor to wait on.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes what is there, whole.
    #[cfg(test)]
    pub(crate) fn take_raw(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Ok((bytes, _)) = net::recv(&self.socket, &mut self.buffer[..], RecvFlags::empty())
        {
            all.extend(
                messages(&self.buffer[..bytes]).map(|message| message.into_inner().to_vec()),
            );
        }
        all
    }

    /// Takes what is there.
    pub(crate) fn take(&mut self) -> Result<Watched, NetlinkError> {
        let mut watched = Watched::default();
        for _ in 0..BATCH {
            match net::recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((bytes, _)) => {
                    for message in messages(&self.buffer[..bytes]) {
                        match message.message_type() {
                            NEW_ND_USER_OPTION => watched.options.push(message.payload().to_vec()),
                            _ => watched.has_changed = true,
                        }
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => watched.has_changed = true,
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(watched)
    }
}

//! The kernel's side of the network by route netlink: look (`read`), act (`write`) and be told of
//! changes (`watch`). The only place that knows the netlink crates. Must not decide anything.
//!
//! `rtnetlink` is not used: it needs an async runtime. Questions here are answered at once by the
//! kernel, so a plain socket will do. Answers are read attribute by attribute, as the typed parser
//! gives up a whole link for one attribute that it does not know.

mod read;
mod socket;
mod watch;
mod write;

use std::io;

pub(crate) use read::observe;
pub(crate) use socket::Socket;
pub(crate) use watch::Watch;
pub(crate) use write::perform;

/// Why the kernel was not asked, or refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    /// The socket could not be made or used.
    #[error("netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The kernel refused.
    #[error("{what}: {why}")]
    Refused {
        /// What was asked.
        what: String,
        /// The kernel's answer.
        why: io::Error,
    },
    /// The answer could not be understood.
    #[error("netlink answer: {0}")]
    Decode(#[from] netlink_packet_core::DecodeError),
    /// Everything changed all the time while it was listed.
    #[error("the kernel's tables changed too fast to be read")]
    Restless,
    /// A link that was there a moment ago is not.
    #[error("{0} is not there any more")]
    Gone(String),
}

//! The services' notifications: <https://www.freedesktop.org/software/systemd/man/sd_notify.html>.
//! Believes only what the kernel says about the sender; never blocks.

use super::launch::NOTIFY_SOCKET;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix,
    SocketFlags, SocketType, bind, recvmsg, socket_with, sockopt,
};
use rustix::process::Pid;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One thing that a service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// It is ready.
    Ready,
    /// It lives.
    Alive,
    /// What it is doing, in words.
    Status(String),
}

/// The words of `STATUS=` are for a line on a screen.
const LONGEST_STATUS: usize = 200;

/// Reads a notification; what Holm does not use is passed over.
pub(crate) fn parse(text: &str) -> Vec<Message> {
    let message = |line: &str| match line.split_once('=')? {
        ("READY", "1") => Some(Message::Ready),
        ("WATCHDOG", "1") => Some(Message::Alive),
        ("STATUS", words) => Some(Message::Status(words.chars().take(LONGEST_STATUS).collect())),
        _ => None,
    };
    text.lines().filter_map(message).collect()
}

/// The socket that the services write to.
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Opens the socket.
    pub(crate) fn open() -> std::io::Result<Self> {
        Self::open_at(NOTIFY_SOCKET)
    }

    /// Opens a socket at `path`.
    pub(crate) fn open_at(path: &str) -> std::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        sockopt::set_socket_passcred(&socket, true)?;
        let _ = std::fs::remove_file(path);
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self(socket))
    }

    /// The next notification that is waiting, with its sender.
    pub(crate) fn next(&self) -> Option<(Pid, Vec<Message>)> {
        let mut text = [0u8; 2048];
        // Room for a descriptor too, which is closed when it is dropped.
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(4))];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut text)];
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let received = match recvmsg(&self.0, &mut slices, &mut control, flags) {
                Ok(received) => received,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return None,
            };
            let mut sender = None;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmCredentials(credentials) = message {
                    sender = Some(credentials.pid);
                }
            }
            let length = received.bytes.min(text.len());
            let messages = str::from_utf8(&text[..length]).map(parse);
            if let (Some(sender), Ok(messages)) = (sender, messages) {
                return Some((sender, messages));
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_words_are_understood() {
        assert_eq!(
            parse("READY=1\nSTATUS=3 pods run\nMAINPID=4\n"),
            [Message::Ready, Message::Status("3 pods run".into())]
        );
        assert_eq!(parse("WATCHDOG=1"), [Message::Alive]);
        assert!(parse("READY=0\nWATCHDOG=trigger\nnonsense").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_status_is_bounded(text in ".{0,400}") {
            for message in parse(&format!("STATUS={text}")) {
                if let Message::Status(words) = message {
                    prop_assert!(words.chars().count() <= LONGEST_STATUS);
                }
            }
        }
    }
}

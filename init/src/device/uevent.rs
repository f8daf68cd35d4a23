//! The kernel's announcements of devices, over netlink.
//! Listens only; never blocks.

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::net::{bind, recv, socket_with};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Larger than any event: the kernel's own limit is 2048 bytes of variables.
const LARGEST_EVENT: usize = 4096;
/// Coldplug makes some thousand events in a burst.
const QUEUE_BYTES: usize = 1 << 20;

/// One announcement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// `add`, `remove`, `change`, `bind`, ...
    pub(crate) action: String,
    /// `block`, `pci`, ...
    pub(crate) subsystem: String,
    /// What driver the device wants; empty if it says nothing.
    pub(crate) alias: String,
}

impl Event {
    /// Reads the kernel's form: `add@/devices/...`, then `KEY=value`, each ended
    /// by a zero byte. Messages of other form, such as udev's, give nothing.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let mut parts = message.split(|&byte| byte == 0);
        let head = parts.next()?;
        head.contains(&b'@').then_some(())?;
        let mut event = Self::default();
        for part in parts {
            let Some((key, value)) = str::from_utf8(part).ok().and_then(|p| p.split_once('='))
            else {
                continue;
            };
            match key {
                "ACTION" => event.action = value.to_owned(),
                "SUBSYSTEM" => event.subsystem = value.to_owned(),
                "MODALIAS" => event.alias = value.to_owned(),
                _ => {}
            }
        }
        (!event.action.is_empty()).then_some(event)
    }
}

/// A listener. What happened before it was opened must be read from sysfs.
pub(crate) struct Listener(OwnedFd);

impl Listener {
    /// Opens the listener, in this process's network namespace.
    pub(crate) fn open() -> std::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(KOBJECT_UEVENT);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
        // Only a privileged process may pass the system's limit; it is one.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE_BYTES);
        bind(&socket, &SocketAddrNetlink::new(0, 1))?;
        Ok(Self(socket))
    }

    /// The next announcement that is waiting, if any. An overrun of the queue
    /// shows as `Overrun`: then sysfs has to be read anew.
    pub(crate) fn next(&self) -> Next {
        let mut buffer = [0u8; LARGEST_EVENT];
        loop {
            match recv(&self.0, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => match Event::parse(&buffer[..length.min(LARGEST_EVENT)]) {
                    Some(event) => return Next::Event(event),
                    None => continue,
                },
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::NOBUFS) => return Next::Overrun,
                Err(_) => return Next::Nothing,
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a listener has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// An announcement.
    Event(Event),
    /// Announcements were lost.
    Overrun,
    /// Nothing is waiting.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kernel_event_is_read() {
        let message = b"add@/devices/pci0000:00/0000:00:03.0\0ACTION=add\0SUBSYSTEM=pci\0\
            MODALIAS=pci:v00001AF4d00001000\0SEQNUM=7\0";
        let event = Event::parse(message).unwrap();
        assert_eq!(event.action, "add");
        assert_eq!(event.subsystem, "pci");
        assert_eq!(event.alias, "pci:v00001AF4d00001000");
    }

    #[test]
    fn udev_message_is_passed_over() {
        assert_eq!(Event::parse(b"libudev\0\xfe\xed\xca\xfe"), None);
        assert_eq!(Event::parse(b""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Event::parse(&bytes);
        }
    }
}

//! The one place where this process waits: for answers, a changed network, the end, or a
//! deadline; tells the supervisor on the way that it lives. Decides nothing else.

use std::io;
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::notify::Notify;
use crate::syscalls::signals::{OF_TERMINATION, Signals};

/// The files of the network service whose change is worth a look.
const WATCHED: [&[u8]; 2] = [b"network.json", b"resolv.conf"];

/// The supervisor asked this process to end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// Why a rest ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Deadline,
    NetworkChanged,
}

#[derive(Default)]
pub(crate) struct Wakeups {
    signals: Option<Signals>,
    notify: Notify,
    network: Option<OwnedFd>,
    watchdog: Option<Duration>,
    network_changed: bool,
    stopped: bool,
}

impl Wakeups {
    /// Listens for signals and for changes in `run_folder`; the supervisor behind `notify` wants
    /// to hear each `watchdog` that this process lives.
    pub(crate) fn listen(
        run_folder: &Path,
        notify: Notify,
        watchdog: Option<Duration>,
    ) -> io::Result<Self> {
        let signals = Some(Signals::open(OF_TERMINATION)?);
        let network =
            inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let changes = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&network, run_folder, changes)?;
        Ok(Self { signals, notify, network: Some(network), watchdog, ..Self::default() })
    }

    /// As after SIGTERM.
    #[cfg(test)]
    pub(crate) fn stopped() -> Self {
        Self { stopped: true, ..Self::default() }
    }

    /// To tell the supervisor more than that this process lives.
    pub(crate) fn notify(&mut self) -> &mut Notify {
        &mut self.notify
    }

    /// Waits until one of `sockets` can be read, and says which; none at the deadline.
    pub(crate) fn readable(
        &mut self,
        sockets: &[&UdpSocket],
        deadline: Instant,
    ) -> Result<Vec<usize>, Stopped> {
        loop {
            if self.stopped {
                return Err(Stopped);
            }
            let ready = self.wait_once(sockets, deadline);
            if !ready.is_empty() || Instant::now() >= deadline {
                return Ok(ready);
            }
        }
    }

    /// Waits for the deadline or until the network changes; a change since the last rest counts.
    pub(crate) fn rest(&mut self, deadline: Instant) -> Result<Wake, Stopped> {
        loop {
            if self.stopped {
                return Err(Stopped);
            }
            if std::mem::take(&mut self.network_changed) {
                return Ok(Wake::NetworkChanged);
            }
            if Instant::now() >= deadline {
                return Ok(Wake::Deadline);
            }
            self.wait_once(&[], deadline);
        }
    }

    /// One poll, cut short by the supervisor's watchdog. An interrupted poll is an empty one.
    fn wait_once(&mut self, sockets: &[&UdpSocket], deadline: Instant) -> Vec<usize> {
        if self.watchdog.is_some() {
            self.notify.watchdog();
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let left = self.watchdog.map_or(left, |watchdog| left.min(watchdog));
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let signals = self.signals.iter().map(AsFd::as_fd);
        let network = self.network.iter().map(AsFd::as_fd);
        let all = sockets.iter().map(|socket| socket.as_fd()).chain(signals).chain(network);
        let mut watched: Vec<PollFd<'_>> =
            all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        if poll(&mut watched, Some(&timeout)).is_err() {
            return Vec::new();
        }
        let is_ready: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (of_sockets, own) = is_ready.split_at(sockets.len());
        let ready = of_sockets.iter().enumerate().filter(|(_, ready)| **ready).map(|(n, _)| n);
        let ready: Vec<usize> = ready.collect();
        if own.iter().any(|ready| *ready) {
            self.read_own();
        }
        ready
    }

    fn read_own(&mut self) {
        if let Some(signals) = &mut self.signals {
            self.stopped |= signals.next().is_some();
        }
        if let Some(network) = &self.network {
            let mut buffer = [MaybeUninit::uninit(); 1024];
            let mut events = inotify::Reader::new(network, &mut buffer);
            while let Ok(event) = events.next() {
                let name = event.file_name().map(|name| name.to_bytes()).unwrap_or_default();
                self.network_changed |= WATCHED.contains(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_rest_ends_at_its_deadline() {
        assert_eq!(Wakeups::default().rest(soon()), Ok(Wake::Deadline));
    }

    #[test]
    fn only_the_network_services_files_end_a_rest() {
        let folder = tempfile::tempdir().unwrap();
        let network = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        let changes = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&network, folder.path(), changes).unwrap();
        let mut wakeups = Wakeups { network: Some(network), ..Wakeups::default() };
        std::fs::write(folder.path().join("other"), "x").unwrap();
        assert_eq!(wakeups.rest(soon()), Ok(Wake::Deadline));
        std::fs::rename(folder.path().join("other"), folder.path().join("network.json")).unwrap();
        assert_eq!(wakeups.rest(far()), Ok(Wake::NetworkChanged));
        assert_eq!(wakeups.rest(soon()), Ok(Wake::Deadline), "once for each change");
    }

    #[test]
    fn a_socket_with_data_is_named() {
        let sockets =
            [UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap()];
        sockets[0].send_to(b"x", sockets[1].local_addr().unwrap()).unwrap();
        let ready = Wakeups::default().readable(&[&sockets[0], &sockets[1]], far());
        assert_eq!(ready, Ok(vec![1]));
    }

    #[test]
    fn a_stop_ends_every_wait() {
        let mut wakeups = Wakeups::stopped();
        assert_eq!(wakeups.rest(far()), Err(Stopped));
        assert_eq!(wakeups.readable(&[], far()), Err(Stopped));
    }
}

//! A service's side of the `sd_notify` protocol: tells PID 1 how the service is. Must never wait: a
//! supervisor that is slow or not there is no reason to stand still (the crate of that name blocks
//! while the supervisor's queue is full). `service::notify` is the side of PID 1.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

/// The supervisor's ear; by default nobody's.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    to: Option<(UnixDatagram, PathBuf)>,
    status: String,
}

impl Notify {
    /// As the environment of a service says.
    pub(crate) fn from_environment() -> Self {
        Self::new(std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from))
    }

    /// To the socket at `path`; to nobody without one.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        let socket = || {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some(socket)
        };
        Self { to: path.and_then(|path| Some((socket()?, path))), status: String::new() }
    }

    /// The service does its duty.
    pub(crate) fn ready(&self) {
        self.send("READY=1\n");
    }

    /// The service is alive.
    pub(crate) fn watchdog(&self) {
        self.send("WATCHDOG=1\n");
    }

    /// The service leaves.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    /// A line for people; sent when it differs from the last one.
    pub(crate) fn status(&mut self, line: String) {
        if line != self.status {
            self.send(&format!("STATUS={line}\n"));
            self.status = line;
        }
    }

    fn send(&self, message: &str) {
        if let Some((socket, path)) = &self.to {
            // The supervisor may be restarting or slow: the next message makes up for it.
            let _ = socket.send_to(message.as_bytes(), path);
        }
    }
}

/// How often to say `WATCHDOG=1`, as the environment of a service says.
pub(crate) fn watchdog_period() -> Option<Duration> {
    half_of(std::env::var("WATCHDOG_USEC").ok().as_deref())
}

fn half_of(micros: Option<&str>) -> Option<Duration> {
    let micros: u64 = micros?.parse().ok()?;
    (micros > 1).then(|| Duration::from_micros(micros / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_sent_once_and_ready_when_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let ear = UnixDatagram::bind(&path).unwrap();
        ear.set_nonblocking(true).unwrap();
        let mut notify = Notify::new(Some(path));
        notify.status("eth0: no carrier".into());
        notify.status("eth0: no carrier".into());
        notify.ready();
        let mut buffer = [0; 64];
        let mut hear = || ear.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec());
        assert_eq!(hear(), Some(b"STATUS=eth0: no carrier\n".to_vec()));
        assert_eq!(hear(), Some(b"READY=1\n".to_vec()));
        assert_eq!(hear(), None);
    }

    #[test]
    fn supervisor_with_a_full_queue_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _ear = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(Some(path.clone()));
        let (socket, _) = notify.to.as_ref().unwrap();
        let fills = |_: &u32| socket.send_to(b"STATUS=full\n", &path).is_err();
        assert!((0..100_000).find(fills).is_some(), "the queue has an end");
        notify.ready();
        notify.watchdog();
    }

    #[test]
    fn watchdog_is_fed_twice_in_its_period() {
        assert_eq!(half_of(Some("10000000")), Some(Duration::from_secs(5)));
        for bad in [None, Some(""), Some("0"), Some("-1"), Some("x")] {
            assert_eq!(half_of(bad), None);
        }
    }
}

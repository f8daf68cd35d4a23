//! Tells init how the agent is, by datagrams on `$NOTIFY_SOCKET`. Without that variable, as when a
//! person runs the agent by hand, nobody is told.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

/// The way to init.
pub struct Notifier {
    socket: Option<(UnixDatagram, PathBuf)>,
    /// Within which time init wants to hear of the agent.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Takes the two variables that init sets.
    pub fn new(socket: Option<OsString>, watchdog_usec: Option<OsString>) -> io::Result<Self> {
        let socket = match socket.map(PathBuf::from) {
            None => None,
            Some(path) => {
                let socket = UnixDatagram::unbound()?;
                // Init reads whenever it can; the main loop must not wait for it.
                socket.set_nonblocking(true)?;
                Some((socket, path))
            }
        };
        let micros = watchdog_usec.and_then(|text| text.to_str()?.parse().ok());
        Ok(Self { socket, watchdog: micros.map(Duration::from_micros) })
    }

    /// How often to send [`Self::alive`]: twice as often as is asked for.
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2).filter(|interval| !interval.is_zero())
    }

    /// Everything is open and the main loop runs.
    pub fn ready(&self) -> io::Result<()> {
        self.send("READY=1\nSTATUS=running pods")
    }

    /// The main loop still runs.
    pub fn alive(&self) -> io::Result<()> {
        self.send("WATCHDOG=1")
    }

    /// The agent ends because it was asked to.
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1\nSTATUS=stopping pods")
    }

    fn send(&self, message: &str) -> io::Result<()> {
        let Some((socket, path)) = &self.socket else { return Ok(()) };
        match socket.send_to(message.as_bytes(), path) {
            // Init has enough to read as it is, and the next message follows.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_hears_the_words_of_the_protocol() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let init = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(Some(path.into()), Some("3000000".into())).unwrap();
        assert_eq!(notifier.interval(), Some(Duration::from_millis(1500)));
        notifier.ready().unwrap();
        notifier.alive().unwrap();
        let mut buffer = [0; 64];
        let length = init.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"READY=1\n"));
        let length = init.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"WATCHDOG=1");
    }

    #[test]
    fn agent_without_init_tells_nobody() {
        let notifier = Notifier::new(None, None).unwrap();
        assert_eq!(notifier.interval(), None);
        notifier.ready().unwrap();
    }

    #[test]
    fn main_loop_never_waits_for_a_busy_init() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _init = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(Some(path.into()), None).unwrap();
        for _ in 0..5_000 {
            notifier.alive().unwrap();
        }
    }
}

//! Reads what the parts of a node leave behind, below one root: that of the node
//! itself, or of a recording. Reads only, and bounded.

use crate::control;
use holm_console::{Filling, Known, LOGS, Messages};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// PID 1 answers at once, or is in no state to.
const PATIENCE: Duration = Duration::from_secs(2);
/// A file that is longer is not what it should be. The list of pods is the longest.
const LONGEST: u64 = 4 << 20;
/// How much of a log's end is read.
const LOG_END: u64 = 64 << 10;
const ERRORS_END: u64 = 16 << 10;
const LOG_FOLDER: &str = "data/var/log/holm";

/// The files of a node.
pub(crate) struct Gather {
    root: PathBuf,
    is_live: bool,
    kernel: Option<File>,
    messages: Messages,
}

impl Gather {
    /// Of the node that this program runs on.
    pub(crate) fn of_node() -> Self {
        let device = File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
        let messages = Messages::default();
        Self { root: "/".into(), is_live: true, kernel: device.ok(), messages }
    }

    /// Of the node whose files lie below `root`.
    pub(crate) fn of_recorded(root: PathBuf) -> Self {
        let mut messages = Messages::default();
        for record in read(&root.join("run/holm/kmsg")).lines() {
            messages.take(record.as_bytes(), 4);
        }
        Self { root, is_live: false, kernel: None, messages }
    }

    /// Takes in what the kernel has said since, and gives all that it said.
    pub(crate) fn messages(&mut self) -> &Messages {
        let mut record = [0; 8192];
        let mut threshold = None;
        while let Some(device) = &mut self.kernel {
            match device.read(&mut record) {
                Ok(length @ 1..) => {
                    let threshold = *threshold.get_or_insert_with(threshold_of_console);
                    self.messages.take(&record[..length], threshold);
                }
                // Records were overwritten before they were read.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                _ => break,
            }
        }
        &self.messages
    }

    /// Everything else.
    pub(crate) fn known(&self) -> Known {
        let text = |path: &str| read(&self.root.join(path));
        let (status, no_status) = match self.status() {
            Ok(status) => (status, None),
            Err(error) => (String::new(), Some(error.to_string())),
        };
        Known {
            status,
            no_status,
            hostname: text("run/holm/hostname"),
            os_release: text("etc/os-release"),
            cmdline: text("proc/cmdline"),
            entries: names(&self.root.join("boot/EFI/Linux")),
            update: text("run/holm/update.json"),
            network: text("run/holm/network.json"),
            pods: text("run/holm/pods.json"),
            loadavg: text("proc/loadavg"),
            meminfo: text("proc/meminfo"),
            uptime: text("proc/uptime"),
            data: self.is_live.then(|| filling(&self.root.join("data"))).flatten(),
            temperatures: temperatures(&self.root.join("sys/class/thermal")),
            agent_log: self.end_of("agent", ERRORS_END),
        }
    }

    /// The end of one of the logs that the dashboard shows.
    pub(crate) fn log(&mut self, name: &str) -> Vec<String> {
        if name == LOGS[0] {
            return self.messages().lines();
        }
        self.end_of(name, LOG_END).lines().map(str::to_owned).collect()
    }

    /// PID 1's answer, in a recording a file.
    fn status(&self) -> io::Result<String> {
        if self.is_live {
            ask_status(Path::new(control::SOCKET))
        } else {
            fs::read_to_string(self.root.join("run/holm/status.json"))
        }
    }

    /// The last whole lines of a log within `length` bytes.
    fn end_of(&self, name: &str, length: u64) -> String {
        let path = self.root.join(LOG_FOLDER).join(format!("{name}.log"));
        let read = || -> io::Result<(bool, Vec<u8>)> {
            let mut file = File::open(path)?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(length)))?;
            let mut bytes = Vec::new();
            file.take(length).read_to_end(&mut bytes)?;
            Ok((size > length, bytes))
        };
        let Ok((is_cut, bytes)) = read() else {
            return String::new();
        };
        let text = String::from_utf8_lossy(&bytes);
        match text.split_once('\n') {
            Some((_, whole)) if is_cut => whole.to_owned(),
            _ => text.into_owned(),
        }
    }
}

fn ask_status(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"{\"op\":\"status\"}\n")?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    Ok(line)
}

/// The kernel shows messages of lower levels on its consoles.
fn threshold_of_console() -> u8 {
    let text = fs::read_to_string("/proc/sys/kernel/printk").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(4)
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn filling(path: &Path) -> Option<Filling> {
    let found = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Filling {
        used: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
        size: bytes(found.f_blocks),
    })
}

fn temperatures(folder: &Path) -> Vec<String> {
    let zones = names(folder).into_iter().filter(|name| name.starts_with("thermal_zone"));
    zones.map(|zone| read(&folder.join(zone).join("temp"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn recorded_node_is_read_from_its_folder() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("console/tests/recorded");
        let mut gather = Gather::of_recorded(root);
        let known = gather.known();
        let state = holm_console::read(&known, gather.messages());
        assert_eq!((state.hostname.as_str(), state.slot.as_str()), ("edge-1", "slot a, good"));
        assert_eq!((state.pods.map(|pods| pods.len()), state.unknown), (Some(4), None));
        assert!(gather.log("messages").iter().any(|line| line.ends_with("after kernel start")));
        assert_eq!(gather.log("agent").len(), 4);
        assert!(gather.log("time").is_empty());
    }

    #[test]
    fn end_of_a_long_log_begins_with_a_whole_line() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(LOG_FOLDER);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("agent.log"), "one line\n".repeat(10_000)).unwrap();
        let mut gather = Gather::of_recorded(root.path().to_owned());
        let lines = gather.log("agent");
        assert!(lines.len() > 7000 && lines.iter().all(|line| line == "one line"));
    }

    #[test]
    fn pid_1_is_asked_on_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut question).unwrap();
            stream.write_all(b"{\"ready-ms\":7}\n").unwrap();
            question
        });
        assert_eq!(ask_status(&path).unwrap(), "{\"ready-ms\":7}\n");
        assert_eq!(
            control::parse(answer.join().unwrap().trim().as_bytes()),
            Ok(control::Request::Status {})
        );
        assert!(ask_status(Path::new("/nonexistent")).is_err());
    }
}

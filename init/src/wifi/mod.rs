//! The service `wifi`: waits for wireless links, writes the configuration of
//! Debian's wpa_supplicant, and becomes it. PID 1 starts it again when it ends. It
//! only joins networks: addresses are the service `network`'s.

mod conf;

use crate::clock::{now, timeout};
use crate::durable;
use crate::notify::Notify;
use crate::syscalls::signals::{OF_TERMINATION, Signals};
use rustix::event::{PollFd, PollFlags, poll};
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

const PROGRAM: &str = "/usr/sbin/wpa_supplicant";
const CONFIGURATION: &str = "/run/holm/wpa_supplicant.conf";
const LINKS: &str = "/sys/class/net";
/// How often to look for a radio that is not there yet.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until SIGTERM, or as wpa_supplicant.
pub(crate) fn main() -> ExitCode {
    let mut notify = Notify::from_environment();
    let mut signals = match Signals::open(OF_TERMINATION) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("wifi: cannot hear signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let path = std::env::var_os("HOLM_CONFIG").unwrap_or_else(|| "/run/holm/holm.toml".into());
    let text = fs::read_to_string(path).unwrap_or_default();
    let networks = holm_config::parse(&text, "holm.toml").unwrap_or_default().wifi;
    if !Path::new(PROGRAM).exists() {
        notify.status("this board's image has no wpa_supplicant".to_owned());
        eprintln!("wifi: this board's image has no wpa_supplicant; the board file asks for it");
        while !ended(&mut signals, Duration::from_secs(3600)) {}
        return ExitCode::SUCCESS;
    }
    let links = loop {
        let links = wireless(Path::new(LINKS));
        if !links.is_empty() {
            break links;
        }
        notify.status("no wireless link".to_owned());
        if ended(&mut signals, LOOK) {
            return ExitCode::SUCCESS;
        }
    };
    if let Err(error) =
        durable::replace(Path::new(CONFIGURATION), conf::text(&networks).as_bytes(), 0o600)
    {
        eprintln!("wifi: {CONFIGURATION} cannot be written: {error}");
        return ExitCode::FAILURE;
    }
    notify.status(format!("joining on {}", links.join(", ")));
    let mut command = Command::new(PROGRAM);
    command.args(arguments(&links));
    crate::syscalls::signals::unblock_in(&mut command);
    let error = command.exec();
    eprintln!("wifi: {PROGRAM} cannot be run: {error}");
    ExitCode::FAILURE
}

/// Waits for the end, at most for `time`; whether it has come.
fn ended(signals: &mut Signals, time: Duration) -> bool {
    let moment = now();
    let mut fds = [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    let _ = poll(&mut fds, Some(&timeout(moment + time, moment)));
    let mut end = false;
    while let Some(signal) = signals.next() {
        end |= signal == libc::SIGTERM || signal == libc::SIGINT;
    }
    end
}

/// The links that are radios.
fn wireless(class: &Path) -> Vec<String> {
    let entries = fs::read_dir(class).into_iter().flatten().flatten();
    let radios = entries.filter(|entry| entry.path().join("phy80211").exists());
    let mut names: Vec<String> =
        radios.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// wpa_supplicant's arguments: one group for each link.
fn arguments(links: &[String]) -> Vec<OsString> {
    let mut words = Vec::new();
    for (index, link) in links.iter().enumerate() {
        if index > 0 {
            words.push("-N".to_owned());
        }
        words.extend(["-D", "nl80211", "-i", link, "-c", CONFIGURATION].map(str::to_owned));
    }
    words.into_iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_radios_are_joined_on() {
        let class = tempfile::tempdir().unwrap();
        for link in ["eth0", "wlan0/phy80211", "wlan1/phy80211"] {
            fs::create_dir_all(class.path().join(link)).unwrap();
        }
        let links = wireless(class.path());
        assert_eq!(links, ["wlan0", "wlan1"]);
        let words: Vec<_> =
            arguments(&links).iter().map(|w| w.to_string_lossy().into_owned()).collect();
        let line = words.join(" ");
        assert_eq!(
            line,
            "-D nl80211 -i wlan0 -c /run/holm/wpa_supplicant.conf -N \
             -D nl80211 -i wlan1 -c /run/holm/wpa_supplicant.conf"
        );
    }
}

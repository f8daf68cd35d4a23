//! The `time` service: sets the clock from NTP servers, keeps it right, and remembers the time
//! over a reboot. Runs as a child of PID 1; `floor` also serves PID 1 itself.
//! Must never wait for the network before it says that it is ready.

mod clock;
mod daemon;
mod discipline;
mod dns;
mod exchange;
pub(crate) mod floor;
mod packet;
mod rtc;
mod saved;
mod select;
mod servers;
mod sources;
mod syscalls;
mod wakeups;

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::notify::{Notify, watchdog_period};
pub(crate) use clock::SystemClock;
use daemon::{Daemon, Places};
pub(crate) use rtc::date_text;
pub(crate) use saved::FILE as SAVED;
use wakeups::Wakeups;

/// Folder of what the services tell each other.
const RUN: &str = "/run/holm";

/// Runs the service until SIGTERM.
pub(crate) fn main() -> ExitCode {
    match floor::lift(&mut SystemClock, Path::new(floor::OS_RELEASE), Path::new(SAVED)) {
        Ok(None) => {}
        Ok(Some(lifted)) => eprintln!("time: {lifted}"),
        Err(error) => eprintln!("time: {}", chain(&error)),
    }
    // Without the build's time every server's word is possible.
    let image_built = floor::built(Path::new(floor::OS_RELEASE)).unwrap_or(0);
    let run = Path::new(RUN);
    let wakeups = match Wakeups::listen(run, Notify::from_environment(), watchdog_period()) {
        Ok(wakeups) => wakeups,
        Err(error) => {
            eprintln!("time: signals and changes in {RUN} cannot be heard: {error}");
            return ExitCode::FAILURE;
        }
    };
    let places = Places {
        network: run.join("network.json"),
        resolv_conf: run.join("resolv.conf"),
        saved: SAVED.into(),
        rtc: rtc::DEVICE.into(),
        ntp_port: 123,
        dns_port: 53,
    };
    let mut daemon = Daemon::new(SystemClock, wakeups, places, configured_servers(), image_built);
    daemon.wakeups.notify().ready();
    daemon.run();
    ExitCode::SUCCESS
}

/// The servers of the node document. A document that cannot be read is PID 1's to complain of;
/// the clock is kept right without it.
fn configured_servers() -> Vec<String> {
    let file = env::var_os("HOLM_CONFIG").unwrap_or_else(|| format!("{RUN}/holm.toml").into());
    let text = fs::read_to_string(&file).unwrap_or_default();
    holm_config::parse(&text, &file.to_string_lossy()).unwrap_or_default().time.servers
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

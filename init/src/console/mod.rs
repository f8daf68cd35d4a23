//! The service `console`: shows the dashboard of `holm_console` on the node's
//! terminals. Reads what the others say and changes nothing. A child of PID 1, so
//! that a terminal that does not take its bytes holds nobody up.

mod gather;
mod places;
mod service;
mod terminal;

use crate::notify::{Notify, watchdog_period};
use crate::syscalls::signals::{OF_TERMINATION, Signals};
use service::Service;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs until SIGTERM. With a folder as argument it shows the node whose files lie
/// there, on the terminal that it was started from, until the key to leave.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let recorded = arguments.next().map(PathBuf::from);
    let signals = match Signals::open(OF_TERMINATION) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("console: cannot hear signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = match recorded {
        Some(root) => Service::of_recorded(root, signals).map(Service::run),
        None => {
            let mut notify = Notify::from_environment();
            notify.status("waiting for somebody to look".to_owned());
            notify.ready();
            Service::of_node(signals, notify, watchdog_period()).run();
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("console: cannot use this terminal: {error}");
            ExitCode::FAILURE
        }
    }
}

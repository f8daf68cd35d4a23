//! The work that PID 1 gives to children of the same binary, by name.
//! Each may block; none is ever called in PID 1 itself.

use crate::modules::drivers;
use crate::stage_one;
use crate::storage::{self, crashes, unmount};
use crate::{configuration, identity};
use std::io::Write;
use std::process::ExitCode;

/// Runs the task named by the first argument.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let name = arguments.next().unwrap_or_default();
    let result = match name.as_str() {
        "root" => stage_one::root::prepare(|| answer("modules loaded"))
            .map(|disk| answer(&format!("root on {disk}")))
            .map_err(|error| error.to_string()),
        "modules" => drivers::coldplug(),
        "pstore" => drivers::keep_panics(),
        "coldplug" => drivers::coldplug_rest(),
        "drivers" => drivers::load_wished(arguments),
        "storage" => storage::prepare(),
        "identity" => identity::set_up(),
        "configuration" => configuration::apply().map(|settings| answer(&settings.encode())),
        "crashes" => crashes::keep(),
        "unmount" => unmount::all(),
        #[cfg(feature = "payload")]
        "payload" => crate::payload::run(),
        _ => Err(format!("no task is named {name:?}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            answer(&reason);
            ExitCode::FAILURE
        }
    }
}

/// Says one line to PID 1. When nobody listens any more there is nobody to tell.
fn answer(line: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

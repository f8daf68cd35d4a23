//! The work that PID 1 gives to children of the same binary, by name.
//! Each may block; none is ever called in PID 1 itself.

use crate::device::firmware;
use crate::install;
use crate::modules::drivers;
use crate::stage_one;
use crate::storage::{self, crashes, unmount};
use crate::{configuration, identity, kmsg};
use holm_config::AfterInstall;
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
        "coldplug" => drivers::coldplug_rest(),
        "drivers" => drivers::load_wished(arguments),
        "storage" => storage::prepare(),
        "identity" => {
            if let Some(complaint) = firmware::complaint() {
                kmsg::announce(&complaint);
            }
            identity::set_up()
        }
        "configuration" => configuration::apply().map(|settings| answer(&settings.encode())),
        "crashes" => crashes::keep().map(|_| ()),
        "unmount" => {
            let unmounted = unmount::all();
            // What stays mounted is read-only, which is no reason against a trial.
            let wants_trial = arguments.next().as_deref() == Some("trial");
            let armed = if wants_trial { crate::trial::arm() } else { Ok(()) };
            armed.and(unmounted)
        }
        "install" => match install::run() {
            Ok(AfterInstall::Reboot) => return ExitCode::from(install::REBOOT as u8),
            other => other.map(drop),
        },
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

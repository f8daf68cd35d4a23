//! holm-init: PID 1 of a node, and the small programs that it runs as children.
//! This file only chooses which of them this process is.

mod clock;
mod cmdline;
mod device;
mod gpt;
mod kmsg;
mod modules;
mod mounts;
mod stage_one;
mod syscalls;
mod task;
mod tasks;
mod verity;
mod watchdog;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    if program.rsplit('/').next() == Some("modprobe") {
        return modules::modprobe::main(arguments);
    }
    if std::process::id() == 1 {
        if Path::new(stage_one::MARKER).exists() {
            stage_one::main();
        }
        return ExitCode::FAILURE;
    }
    match arguments.next().as_deref() {
        Some("task") => tasks::main(arguments),
        _ => {
            eprintln!("usage: holm-init ctl status|reboot|poweroff|restart SERVICE|log");
            ExitCode::FAILURE
        }
    }
}

//! holm-init: PID 1 of a node, and the small programs that it runs as children.
//! This file only chooses which of them this process is.

mod boot;
mod cgroups;
mod clock;
mod cmdline;
mod configuration;
mod console;
mod control;
mod ctl;
mod device;
mod durable;
mod gpt;
mod health;
mod identity;
mod install;
mod kmsg;
mod lines;
mod log;
mod mbr;
mod modules;
mod mounts;
mod network;
mod notify;
#[cfg(feature = "payload")]
mod payload;
mod service;
mod shutdown;
mod stage_one;
mod stage_two;
mod storage;
mod syscalls;
mod task;
mod tasks;
mod time;
mod trial;
mod verity;
#[cfg(test)]
mod vm;
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
            // Only when the kernel refused to reboot: its panic does it then.
            return ExitCode::FAILURE;
        }
        stage_two::main();
    }
    match arguments.next().as_deref() {
        Some("network") => network::main(),
        Some("task") => tasks::main(arguments),
        Some("log") => log::main(),
        Some("console") => console::main(arguments),
        Some("time") => time::main(),
        Some("ctl") => ctl::main(arguments),
        _ => {
            eprintln!("usage: holm-init ctl status|reboot|poweroff|restart SERVICE|log");
            ExitCode::FAILURE
        }
    }
}

//! Containers for real, in a throw-away VM: `--ignored vm::` as root, with cgroup v2, overlayfs and
//! seccomp. The one static binary is three things: the test, the shim that it spawns, and the
//! program in its containers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail")]

mod bench;
mod fixture;
mod payload;
mod vm;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_ref().and_then(|word| word.to_str()) {
        // Before any thread exists, as in the agent.
        Some("shim") => return holm_node::container::shim::main(args),
        Some("payload") => return payload::main(args),
        Some("agent") => return vm::agent(args),
        _ => {}
    }
    let trial = |name: &str, run: fn()| {
        let run = move || {
            run();
            Ok(())
        };
        Trial::test(format!("vm::{name}"), run).with_ignored_flag(true)
    };
    let trials = vm::TESTS.iter().chain(bench::TESTS).map(|(name, run)| trial(name, *run));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

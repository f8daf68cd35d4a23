//! `holm`: the agent that init supervises, the shim that holds a container, and the commands that
//! look at both. Only dispatches; everything else is in the modules and crates by role.

mod agent;
mod document;
mod fetch;
mod log;
mod logs;
mod memory;
mod notify;
mod places;
mod pod_network;
mod pods;
mod readable;
mod updater;

use std::ffi::OsString;
use std::process::ExitCode;

const USAGE: &str = "\
usage: holm COMMAND
  agent                     run the pods of this node (started by init)
  shim                      hold one container (started by the agent)
  pods [--json]             list the pods of this node
  logs [-f] [-p] POD [CONTAINER]
                            print a container's log: -f goes on with what is added,
                            -p is the one before the latest restart
  fetch URL                 print what a URL holds (used by init)
  update COMMAND            keep the node's version; without a command: which there are
  updater                   the service behind it (started by init)
  version                   print the version";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next();
    let rest: Vec<OsString> = args.collect();
    match command.as_deref().and_then(|command| command.to_str()) {
        // Before any thread, runtime or allocator setting: libcontainer forks.
        Some("shim") => holm_node::container::shim::main(rest),
        Some("agent") => agent::main(),
        Some("pods") => pods::main(&rest),
        Some("logs") => logs::main(&rest),
        Some("fetch") => fetch::main(&rest),
        Some("update") => updater::command(&rest),
        Some("updater") => updater::main(),
        Some("version") => {
            println!("holm {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

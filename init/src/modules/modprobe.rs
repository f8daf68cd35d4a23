//! `modprobe`, as the kernel calls it when it wants a module of itself.
//! Understands only what the kernel uses: `modprobe -q -- NAME`.

use super::load::{Loader, folder, read_texts};
use crate::cmdline::Cmdline;
use std::process::ExitCode;

/// Loads each module named in `arguments`; fails if any is unknown or refused.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let cmdline = Cmdline::read().unwrap_or_default();
    let texts = read_texts(&folder());
    let mut loader = Loader::new(&texts, folder(), &cmdline);
    let mut quiet = false;
    let mut code = ExitCode::SUCCESS;
    for argument in arguments {
        match argument.as_str() {
            "-q" | "--quiet" => quiet = true,
            "--" => {}
            request => {
                if let Err(error) = loader.load(request) {
                    code = ExitCode::FAILURE;
                    if !quiet {
                        eprintln!("modprobe: {error}");
                    }
                }
            }
        }
    }
    code
}

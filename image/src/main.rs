//! holm-image: the command line over the library. Maps an error to an exit code, and no more.
#![forbid(unsafe_code)]

mod command;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let line = command::Line::parse();
    match command::run(line) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("holm-image: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

//! `holm-image serve`: hands over to the program that lies beside this one. It brings SQLite, which
//! takes longer to build than all the rest here.

use std::error::Error;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;

const PROGRAM: &str = "holm-image-serve";

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// As `holm-image serve --help` says
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let program = std::env::current_exe()?.with_file_name(PROGRAM);
    if !program.is_file() {
        return Err(format!(
            "{} is not there: build it with `cargo build --package holm-serve`",
            program.display()
        )
        .into());
    }
    // Only comes back with an error.
    Err(Command::new(program).args(arguments.arguments).exec().into())
}

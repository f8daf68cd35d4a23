//! `holm-image kernel`.

use std::error::Error;

use clap::Args;
use holm_image::build;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Board whose kernel Debian's package does not serve, as a file of boards/ is named
    #[arg(long)]
    board: String,
    /// Stop when the configuration is known to keep the board's fragment
    #[arg(long)]
    only_configure: bool,
    /// Use nothing but the cache
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let place = super::place(arguments.offline)?;
    let workspace = super::workspace()?;
    let made =
        build::compile_kernel(&workspace, &place, &arguments.board, arguments.only_configure)?;
    println!("{}", made.display());
    Ok(())
}

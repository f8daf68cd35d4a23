//! `holm-image keys`.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use holm_image::build;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder for the keys; keep it outside of the repository, and safe
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Use nothing but the cache
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let place = super::place(arguments.offline)?;
    build::create_keys(&super::workspace()?, &place, &arguments.dir)?;
    println!("{}", arguments.dir.display());
    println!("PK, KEK and db: .key is secret; enrol .auth (or .crt) in the nodes' firmware");
    Ok(())
}

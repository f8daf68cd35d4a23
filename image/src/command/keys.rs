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
    /// Root keys for updates
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    root_keys: u32,
    /// How many of them have to sign
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    threshold: u32,
    /// Use nothing but the cache
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let place = super::place(arguments.offline)?;
    let Arguments { dir, root_keys, threshold, .. } = &arguments;
    build::create_keys(&super::workspace()?, &place, dir, *root_keys, *threshold)?;
    println!("{}", arguments.dir.display());
    println!("PK, KEK and db: .key is secret; enrol .auth (or .crt) in the nodes' firmware");
    println!(
        "update: take all but {threshold} root-*.key to other places, and signers.json says who signs"
    );
    Ok(())
}

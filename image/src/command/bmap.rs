//! `holm-image bmap`.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use holm_image::flash::bmap;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Raw disk image
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Where the block map goes [default: IMAGE.bmap]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let map = bmap::create(&arguments.image)?;
    let beside = || {
        let mut name = OsString::from(&arguments.image);
        name.push(".bmap");
        PathBuf::from(name)
    };
    let output = arguments.output.clone().unwrap_or_else(beside);
    fs::write(&output, map.text()).map_err(|error| format!("{}: {error}", output.display()))?;
    println!("{}", output.display());
    Ok(())
}

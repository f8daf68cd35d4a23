//! The subcommands: what they take, and what they say when done.

mod build;
mod keys;
mod run;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use holm_image::build::Place;

/// Builds, signs and runs Holm's disk images.
#[derive(Debug, Parser)]
#[command(name = "holm-image", version, propagate_version = true)]
pub(crate) struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a board's image
    Build(build::Arguments),
    /// Make the owner's Secure Boot keys
    Keys(keys::Arguments),
    /// Boot an image in QEMU
    Run(run::Arguments),
}

/// Runs what the line asks for.
pub(crate) fn run(line: Line) -> Result<ExitCode, Box<dyn Error>> {
    match line.command {
        Command::Build(arguments) => build::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Keys(arguments) => keys::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Run(arguments) => run::run(arguments),
    }
}

/// The repository: the nearest folder above with `boards/base.toml`.
fn workspace() -> Result<PathBuf, String> {
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let found = here.ancestors().find(|folder| folder.join("boards/base.toml").is_file());
    let text = || format!("{} is not inside of Holm's repository", here.display());
    found.map(PathBuf::from).ok_or_else(text)
}

/// A folder or text of the environment; empty is as good as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where builds go, unless the environment names another place.
fn build_folder() -> Result<PathBuf, String> {
    match variable("HOLM_BUILD_DIR") {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => Ok(workspace()?.join("build")),
    }
}

/// Where builds keep things, by the environment and the repository's place.
fn place(offline: bool) -> Result<Place, String> {
    let target = variable("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = match target {
        Some(folder) => folder,
        None => workspace()?.join("target"),
    };
    Ok(Place {
        folder: build_folder()?,
        cache: variable("HOLM_CACHE_DIR").map(PathBuf::from),
        // Apart from the host's own builds: other flags would throw each other's results away.
        target: target.join("node"),
        mirror: variable("HOLM_APT_MIRROR"),
        security_mirror: variable("HOLM_APT_SECURITY_MIRROR"),
        offline,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn documented_forms_are_understood() {
        for words in [
            "holm-image build --board x86-64",
            "holm-image build --board x86-64 --output a.img --document h.toml --manifests m \
             --preload a.tar --preload b.tar --size 4096 --offline",
            "holm-image build --board x86-64 --config h.toml --binaries dir --keys k",
            "holm-image keys --dir keys",
            "holm-image run a.img --headless --memory 128 --cpus 1 --append holm.debug \
             --forward 8080:80 --forward udp:53:53 --config h.toml",
            "holm-image run a.img --secure-boot --keys k -- -s",
            "holm-image run a.img --board arm64-uefi",
        ] {
            let line = Line::try_parse_from(words.split_whitespace());
            assert!(line.is_ok(), "{words}: {:?}", line.err().map(|error| error.to_string()));
        }
        let unsigned = ["holm-image", "run", "a.img", "--secure-boot", "--append", "x"];
        assert!(Line::try_parse_from(unsigned).is_err(), "a signed command line takes no more");
    }
}

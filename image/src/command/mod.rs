//! The subcommands: what they take, and what they say when done.

mod bmap;
mod build;
mod flash;
mod kernel;
mod keys;
mod publish;
mod repository;
mod run;
mod serve;

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
    /// Make the block map of an image, for bmaptool and `flash`
    Bmap(bmap::Arguments),
    /// Write an image to a card, stick, disk or file
    Flash(flash::Arguments),
    /// Compile the kernel of a board that Debian's package does not serve; takes hours, once
    Kernel(kernel::Arguments),
    /// Make the owner's keys, for Secure Boot and for updates
    Keys(keys::Arguments),
    /// Offer built images as an update
    Publish(publish::Arguments),
    /// Look after an update repository
    Repository(repository::Arguments),
    /// Boot an image in QEMU
    Run(run::Arguments),
    /// Serve an update repository, with a page of the fleet
    Serve(serve::Arguments),
}

/// Runs what the line asks for.
pub(crate) fn run(line: Line) -> Result<ExitCode, Box<dyn Error>> {
    match line.command {
        Command::Build(arguments) => build::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Bmap(arguments) => bmap::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Flash(arguments) => flash::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Kernel(arguments) => kernel::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Keys(arguments) => keys::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Publish(arguments) => publish::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Repository(arguments) => repository::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Run(arguments) => run::run(arguments),
        Command::Serve(arguments) => serve::run(arguments).map(|()| ExitCode::SUCCESS),
    }
}

/// The repository: the nearest folder above with `boards/base.toml`.
fn workspace() -> Result<PathBuf, String> {
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let found = here.ancestors().find(|folder| folder.join("boards/base.toml").is_file());
    let text = || format!("{} is not inside of Holm's repository", here.display());
    found.map(PathBuf::from).ok_or_else(text)
}

/// Where builds keep things, by the environment and the repository's place.
fn place(offline: bool) -> Result<Place, String> {
    Ok(Place::of_environment(&workspace()?, offline))
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
            "holm-image build --board x86-64 --kernel bzImage --modules lib/modules/6.12 \
             --device-trees dtbs --repair e2fsck.static",
            "holm-image bmap a.img --output a.bmap",
            "holm-image flash --list",
            "holm-image flash a.img.xz",
            "holm-image flash - /dev/sdb --yes --internal",
            "holm-image flash a.img /dev/sdb --config h.toml --hostname edge-1 --manifests m \
             --file ca.pem",
            "holm-image keys --dir keys",
            "holm-image keys --dir keys --root-keys 5 --threshold 3",
            "holm-image publish a.img b.img --repository r --channel stable",
            "holm-image publish a.img --repository r --keys k --channel beta --urgent \
             --notes notes.md --minimum-version 1.2.0 --as 2.0.0 --start 2026-12-01T00:00:00Z \
             --waves 0:5,3600:100",
            "holm-image repository refresh --repository r --keys k --all",
            "holm-image repository show --repository r --keys k",
            "holm-image repository rotate targets --repository r",
            "holm-image repository rotate root --key abc --repository r",
            "holm-image repository revoke root abc --repository r",
            "holm-image serve repository --listen 127.0.0.1:8480 --database fleet.db",
            "holm-image repository withdraw x86-64 1.2.3 --repository r",
            "holm-image run a.img --headless --memory 128 --cpus 1 --append holm.debug \
             --forward 8080:80 --forward udp:53:53 --config h.toml",
            "holm-image run a.img --secure-boot --keys k -- -s",
            "holm-image run a.img --board arm64-uefi",
            "holm-image run a.img --board rpi --tryboot",
        ] {
            let line = Line::try_parse_from(words.split_whitespace());
            assert!(line.is_ok(), "{words}: {:?}", line.err().map(|error| error.to_string()));
        }
        for (given, lacking) in [("--kernel", "modules"), ("--modules", "kernel")] {
            let line = Line::try_parse_from(["holm-image", "build", "--board", "b", given, "x"]);
            assert!(line.is_err(), "{given} without {lacking}");
        }
        assert!(Line::try_parse_from(["holm-image", "flash"]).is_err(), "of which image?");
        let unsigned = ["holm-image", "run", "a.img", "--secure-boot", "--append", "x"];
        assert!(Line::try_parse_from(unsigned).is_err(), "a signed command line takes no more");
    }
}

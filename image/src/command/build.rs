//! `holm-image build`.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use holm_image::build::{self, Given, GivenKernel, Options, Outputs};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Board, as a file of boards/ is named
    #[arg(long)]
    board: String,
    /// Where the disk image goes; all other files go beside it
    /// [default: build/<board>/holm-<board>.img]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Node document for the boot partition
    #[arg(long, value_name = "FILE", visible_alias = "document")]
    config: Option<PathBuf>,
    /// Folder of Pod manifests for the boot partition
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// Container image archive for the data partition; may be repeated
    #[arg(long, value_name = "FILE")]
    preload: Vec<PathBuf>,
    /// Also build an image for a USB stick that installs the first onto a disk of the machine; its
    /// name ends in .installer.img
    #[arg(long, conflicts_with = "installs")]
    installer: bool,
    /// Build only such an image, for this raw one of the same board
    #[arg(long, value_name = "IMAGE", requires = "output")]
    installs: Option<PathBuf>,
    /// Size of the disk image in MiB; what is more than needed goes to data
    #[arg(long, value_name = "MIB")]
    size: Option<u64>,
    /// Owner's keys, as made by `holm-image keys` [default: development keys in build/keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Folder with ready-made holm-init and holm
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Kernel of your own, in place of Debian's
    #[arg(long, value_name = "FILE", requires = "modules")]
    kernel: Option<PathBuf>,
    /// Folder of that kernel's modules, as lib/modules/<release>
    #[arg(long, value_name = "DIR", requires = "kernel")]
    modules: Option<PathBuf>,
    /// Folder of that kernel's device trees, as <vendor>/<name>.dtb
    #[arg(long, value_name = "DIR", requires = "kernel")]
    device_trees: Option<PathBuf>,
    /// Static e2fsck of your own, in place of Debian's
    #[arg(long, value_name = "FILE")]
    repair: Option<PathBuf>,
    /// Cargo features for the node's binaries, as holm-init/payload
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    features: Vec<String>,
    /// More kernel arguments, signed with the kernel
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Use nothing but the cache
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let device_trees = arguments.device_trees;
    let kernel = arguments.kernel.zip(arguments.modules);
    let kernel = kernel.map(|(image, modules)| GivenKernel { image, modules, device_trees });
    let options = Options {
        workspace: super::workspace()?,
        place: super::place(arguments.offline)?,
        board: arguments.board,
        output: arguments.output,
        config: arguments.config,
        manifests: arguments.manifests,
        preload: arguments.preload,
        installs: arguments.installs,
        size: arguments.size,
        keys: arguments.keys,
        binaries: arguments.binaries,
        given: Given { kernel, repair: arguments.repair },
        features: arguments.features,
        append: arguments.append,
    };
    let outputs = build::build(&options)?;
    show(&outputs);
    if arguments.installer {
        let output = outputs.image.with_extension("installer.img");
        let installs = Some(outputs.image.clone());
        // The size is that of the image for the disk; its installer is as large as it has to be.
        let options = Options { installs, output: Some(output), size: None, ..options };
        show(&build::build(&options)?);
    }
    Ok(())
}

fn show(outputs: &Outputs) {
    for note in &outputs.notes {
        eprintln!("holm-image: {note}");
    }
    for used in &outputs.uses {
        println!("{used}");
    }
    println!("{}", outputs.image.display());
}

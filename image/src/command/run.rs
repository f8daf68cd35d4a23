//! `holm-image run`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use holm_image::board::{self, Architecture, BootPath};
use holm_image::keys::Keys;
use holm_image::process;
use holm_image::qemu::{self, Boot, Description, Forward, Machine};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Disk image; it stays as it is, changes go to an overlay that ends with QEMU
    image: PathBuf,
    /// Write to the image itself
    #[arg(long)]
    write: bool,
    /// Board, as a file of boards/ is named [default: what the manifest beside the image says]
    #[arg(long)]
    board: Option<String>,
    /// Memory in MiB [default: the board's]
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
    /// Processors [default: the board's]
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,
    /// No window; the serial line is on the terminal either way
    #[arg(long)]
    headless: bool,
    /// More kernel arguments; may be repeated; not with --secure-boot
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, conflicts_with = "secure_boot")]
    append: Vec<String>,
    /// Lead a port of this machine into the node: [tcp:|udp:][ADDRESS:]HOST:GUEST; may be repeated
    #[arg(long, value_name = "PORTS")]
    forward: Vec<Forward>,
    /// Node document, given through QEMU in place of the image's own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Enforce Secure Boot with the owner's keys enrolled
    #[arg(long)]
    secure_boot: bool,
    /// Owner's keys for --secure-boot [default: build/keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Words for QEMU, after all others
    #[arg(last = true)]
    more: Vec<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let image = arguments.image.canonicalize();
    let image = image.map_err(|error| format!("{}: {error}", arguments.image.display()))?;
    let Description { architecture, boot: path, qemu: hardware } = match &arguments.board {
        Some(name) => Description::from(&board::read(&super::workspace()?.join("boards"), name)?),
        None => qemu::describe(&image)?,
    };
    let program = qemu::program(architecture);
    if !process::is_installed(program) {
        let package = match architecture {
            Architecture::X86_64 => "qemu-system-x86",
            Architecture::Aarch64 => "qemu-system-arm",
        };
        return Err(format!("{program} is not installed; Debian's package is {package}").into());
    }
    let scratch = tempfile::Builder::new().prefix("holm-run-").tempdir()?;
    let boot = boot(&arguments, path, architecture, scratch.path())?;
    let (disk, disk_format) = match arguments.write {
        true => (image, "raw"),
        false => (overlay(&image, scratch.path())?, "qcow2"),
    };
    let machine = Machine {
        architecture,
        accelerator: qemu::probe(architecture),
        memory: arguments.memory.unwrap_or(hardware.memory),
        cpus: arguments.cpus.unwrap_or(hardware.processors),
        hardware,
        boot,
        disk: Some(disk),
        disk_format: disk_format.to_owned(),
        headless: arguments.headless,
        serial: "mon:stdio".to_owned(),
        forwards: arguments.forward,
        config: arguments.config,
        more: arguments.more,
    };
    let status = Command::new(program).args(qemu::arguments(&machine)).status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What the machine's firmware is, and what it can be asked for.
fn boot(
    arguments: &Arguments,
    path: BootPath,
    architecture: Architecture,
    scratch: &Path,
) -> Result<Boot, Box<dyn Error>> {
    match path {
        BootPath::Uefi => Ok(Boot::Uefi {
            code: qemu::find(architecture, arguments.secure_boot)?.code,
            variables: variables(arguments, architecture, scratch)?,
            secure: arguments.secure_boot,
            append: arguments.append.join(" "),
        }),
        BootPath::UBoot if arguments.secure_boot => {
            Err("--secure-boot is for boards with UEFI firmware; this one starts by U-Boot".into())
        }
        BootPath::UBoot if !arguments.append.is_empty() => {
            Err("--append is for boards with UEFI firmware; give it to `holm-image build`".into())
        }
        BootPath::UBoot => Ok(Boot::UBoot { program: qemu::find_u_boot()? }),
    }
}

/// A file of the machine's own for its UEFI variables.
fn variables(
    arguments: &Arguments,
    architecture: Architecture,
    scratch: &Path,
) -> Result<PathBuf, Box<dyn Error>> {
    let firmware = qemu::find(architecture, arguments.secure_boot)?;
    let mut store = std::fs::read(&firmware.variables)?;
    if arguments.secure_boot {
        let folder = match &arguments.keys {
            Some(folder) => folder.clone(),
            None => super::place(false)?.folder.join("keys"),
        };
        let keys = Keys::open(&folder)?;
        let read = |name| std::fs::read(keys.path(name, ".esl"));
        let [pk, kek, db] = [read("PK")?, read("KEK")?, read("db")?];
        store = qemu::enrol(&store, [&pk, &kek, &db])?;
    }
    let path = scratch.join("variables.fd");
    std::fs::write(&path, store)?;
    Ok(path)
}

/// An empty layer over the image.
fn overlay(image: &Path, scratch: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let path = scratch.join("overlay.qcow2");
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(image).arg(&path);
    process::run(&mut command)?;
    Ok(path)
}

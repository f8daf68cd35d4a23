//! `holm-image run`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use holm_image::board::{self, Architecture, BootPath};
use holm_image::keys::Keys;
use holm_image::process;
use holm_image::qemu::{self, Accelerator, Boot, Description, Forward, Machine};

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
    /// Begin with the slot that a trial would boot, where firmware keeps a flag for trials
    #[arg(long)]
    tryboot: bool,
    /// Words for QEMU, after all others
    #[arg(last = true)]
    more: Vec<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let image = arguments.image.canonicalize();
    let image = image.map_err(|error| format!("{}: {error}", arguments.image.display()))?;
    let description = match &arguments.board {
        Some(name) => Description::from(&board::read(&super::workspace()?.join("boards"), name)?),
        None => qemu::describe(&image)?,
    };
    let architecture = description.architecture;
    let program = qemu::program(architecture);
    if !process::is_installed(program) {
        let package = match architecture {
            Architecture::X86_64 => "qemu-system-x86",
            Architecture::Aarch64 => "qemu-system-arm",
        };
        return Err(format!("{program} is not installed; Debian's package is {package}").into());
    }
    let scratch = tempfile::Builder::new().prefix("holm-run-").tempdir()?;
    let is_card = description.boot == BootPath::Rpi;
    let boot = boot(&arguments, &description, &image, scratch.path())?;
    let size = match is_card {
        true => Some(card_size(&arguments, &image)?),
        false => None,
    };
    let (disk, disk_format) = match arguments.write {
        true => (image, "raw"),
        false => (overlay(&image, size, scratch.path())?, "qcow2"),
    };
    let hardware = description.qemu;
    // The slot of the next boot is for firmware to choose, which QEMU would not ask.
    let no_reboot = is_card.then(|| "-no-reboot".to_owned());
    let machine = Machine {
        architecture,
        // A machine that is one certain board has that board's processor.
        accelerator: match description.model {
            Some(_) => Accelerator::Tcg,
            None => qemu::probe(architecture),
        },
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
        more: no_reboot.into_iter().chain(arguments.more).collect(),
    };
    let status = Command::new(program).args(qemu::arguments(&machine)).status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What the machine's firmware is, or what it would choose, and what it can be asked for.
fn boot(
    arguments: &Arguments,
    description: &Description,
    image: &Path,
    scratch: &Path,
) -> Result<Boot, Box<dyn Error>> {
    let architecture = description.architecture;
    let is_uefi = description.boot == BootPath::Uefi;
    if arguments.secure_boot && !is_uefi {
        return Err("--secure-boot is for boards with UEFI firmware".into());
    }
    if arguments.tryboot && description.boot != BootPath::Rpi {
        return Err("--tryboot is for boards whose firmware keeps a flag for trials".into());
    }
    let append = arguments.append.join(" ");
    match description.boot {
        BootPath::Uefi => Ok(Boot::Uefi {
            code: qemu::find(architecture, arguments.secure_boot)?.code,
            variables: variables(arguments, architecture, scratch)?,
            secure: arguments.secure_boot,
            append,
        }),
        BootPath::UBoot if !append.is_empty() => {
            Err("--append is for boards with other firmware; give it to `holm-image build`".into())
        }
        BootPath::UBoot => Ok(Boot::UBoot { program: qemu::find_u_boot()? }),
        BootPath::Rpi => {
            let Some(model) = &description.model else {
                let text =
                    "QEMU has no machine that is this board; its build has checked the image";
                return Err(text.into());
            };
            if arguments.config.is_some() {
                let text = "this machine takes no --config; put the document on the card with \
                            `holm-image build --config` or `holm-image flash`";
                return Err(text.into());
            }
            let (tryboot, rom) = (arguments.tryboot, &description.rom);
            let (partition, boot) =
                qemu::lay_out_slot(image, model, rom, tryboot, &append, scratch)?;
            eprintln!("holm-image: {} boots partition {partition}", model.name);
            Ok(boot)
        }
    }
}

/// The bytes of a card that QEMU's card reader takes, and that has the image on it.
fn card_size(arguments: &Arguments, image: &Path) -> Result<u64, Box<dyn Error>> {
    let length = std::fs::metadata(image)?.len();
    let size = length.next_power_of_two();
    if arguments.write && size != length {
        let mib = size >> 20;
        return Err(format!("a card has a power of two of MiB; build with --size {mib}").into());
    }
    Ok(size)
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

/// An empty layer over the image, `size` bytes large if that is said.
fn overlay(image: &Path, size: Option<u64>, scratch: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let path = scratch.join("overlay.qcow2");
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(image).arg(&path);
    command.args(size.map(|bytes| bytes.to_string()));
    process::run(&mut command)?;
    Ok(path)
}

//! A scenario: a folder and a disk of its own, what is put on the disk before the boot, and boots.
//!
//! Must never leave a machine or a folder behind, except where `HOLM_VM_KEEP` asks for the folder.

use std::error::Error as _;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_image::board::Architecture;
use holm_image::keys::Keys;
use holm_image::qemu;

use crate::archive::{self, Image};
use crate::console::ConsoleError;
use crate::disk::{Disk, DiskError};
use crate::http::HttpError;
use crate::machine::{BootPath, Link, Machine};
use crate::qmp::QmpError;
use crate::shell::{self, Shell, ShellError};
use crate::vm::{Vm, VmError};

/// Why a scenario could not go on.
#[derive(thiserror::Error)]
pub enum ScenarioError {
    /// The environment does not say which image to boot.
    #[error("HOLM_IMAGE names no image; run 'ci/test boot', which builds one and names it")]
    NoImage,
    /// The environment does not say which image of a board to boot.
    #[error("{0} names no image; run 'ci/test boards', which builds one and names it")]
    NoBoardImage(&'static str),
    /// QEMU has no machine that is the board.
    #[error("QEMU has no machine for {}", .0.display())]
    NoMachine(PathBuf),
    /// The image has no manifest beside it.
    #[error(transparent)]
    Description(#[from] qemu::DescriptionError),
    /// There is no U-Boot to stand in for a board's.
    #[error(transparent)]
    UBoot(#[from] qemu::NoUBoot),
    /// The card does not boot.
    #[error(transparent)]
    Slot(#[from] qemu::SlotError),
    /// The layer over the image could not be made.
    #[error("cannot make a layer over the image")]
    Layer(#[source] holm_image::process::Error),
    /// The environment does not say whose keys to enrol.
    #[error("HOLM_KEYS names no folder with keys; 'ci/test boot' names it")]
    NoKeys,
    /// The keys.
    #[error(transparent)]
    Keys(holm_image::keys::Error),
    /// The variable store for the keys.
    #[error(transparent)]
    Variables(#[from] qemu::VariablesError),
    /// The firmware.
    #[error(transparent)]
    Firmware(#[from] qemu::FirmwareError),
    /// A file of the scenario.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The machine.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// The console.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// The shell.
    #[error(transparent)]
    Shell(#[from] ShellError),
    /// The page.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The image's kernel is not what it should be.
    #[error("the image's first slot holds no unified kernel image with an initramfs of some size")]
    Uki,
    /// The monitor.
    #[error(transparent)]
    Qmp(#[from] QmpError),
}

/// A test that fails prints its error for debugging: a console should be read as lines.
impl std::fmt::Debug for ScenarioError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What a node announces when its boot is over.
pub const READY: &str = "holm: ready ";

/// How long a boot may take, firmware and all, on a machine that emulates and is busy.
pub const BOOT_WAIT: Duration = Duration::from_secs(120);

/// The scenario's own files and the machine that boots from them.
pub struct Scenario {
    folder: Folder,
    image: PathBuf,
    /// The disk that the machine boots from.
    pub disk: Disk,
    /// The machine; change it between boots.
    pub machine: Machine,
}

impl Scenario {
    /// Prepares a copy of the image that `HOLM_IMAGE` names, and a machine with one network link.
    pub fn new(name: &str) -> Result<Self, ScenarioError> {
        let image = std::env::var_os("HOLM_IMAGE").ok_or(ScenarioError::NoImage)?;
        Self::with_image(name, Path::new(&image))
    }

    /// The same with a given image.
    pub fn with_image(name: &str, image: &Path) -> Result<Self, ScenarioError> {
        let folder = Folder::new(name)?;
        let disk = Disk::copy(image, folder.0.join("disk.raw"))?;
        let variables = folder.0.join("variables.fd");
        let firmware = qemu::find(Architecture::X86_64, false)?;
        copy(&firmware.variables, &variables)?;
        let machine = Machine {
            memory_mib: 256,
            processors: 1,
            boot: BootPath::Firmware { code: firmware.code, variables, secure: false },
            disks: vec![disk.path().to_owned()],
            usb_disks: Vec::new(),
            links: vec![Link::User { forwarded_ports: vec![8080] }],
            firmware_entries: Vec::new(),
            append: String::new(),
        };
        Ok(Self { folder, image: image.to_owned(), disk, machine })
    }

    /// A scenario with the shell's pod on the disk and a document that names the node.
    pub fn with_shell(name: &str) -> Result<Self, ScenarioError> {
        let scenario = Self::new(name)?;
        scenario.write_document("[node]\nhostname = \"edge-1\"\n")?;
        scenario.add_shell()?;
        Ok(scenario)
    }

    /// A scenario with the shell's pod and a pod that serves a page on port 8080.
    pub fn with_shell_and_page(name: &str) -> Result<Self, ScenarioError> {
        let scenario = Self::with_shell(name)?;
        scenario.add_page()?;
        Ok(scenario)
    }

    /// Lets QEMU load the kernel, from the files that the build leaves beside the image: a machine
    /// too small for the firmware, or a measurement without it.
    pub fn boot_without_firmware(&mut self) -> Result<(), ScenarioError> {
        let beside = |extension: &str| self.image.with_extension(extension);
        let path = beside("cmdline");
        let command_line = std::fs::read_to_string(&path)
            .map_err(|source| ScenarioError::File { what: "read", path, source })?;
        self.machine.boot = BootPath::Kernel {
            kernel: beside("vmlinuz"),
            initramfs: beside("initramfs.zst"),
            command_line: command_line.trim().to_owned(),
        };
        Ok(())
    }

    /// Adds the privileged pod that serves a shell.
    pub fn add_shell(&self) -> Result<(), ScenarioError> {
        self.add_manifest("shell", shell::MANIFEST)?;
        let image = archive::busybox("localhost/busybox:1", static_busybox()?, &[]);
        self.preload("busybox", &image)
    }

    /// Adds a pod that serves [`PAGE`] on port 8080.
    pub fn add_page(&self) -> Result<(), ScenarioError> {
        self.add_manifest("web", WEB_MANIFEST)?;
        self.preload_page()
    }

    /// Adds the image of that pod alone.
    pub fn preload_page(&self) -> Result<(), ScenarioError> {
        let pages = [("index.html", PAGE)];
        self.preload("web", &archive::busybox("localhost/web:1", static_busybox()?, &pages))
    }

    /// Lets the firmware check signatures, with the keys in `HOLM_KEYS` enrolled as the owner's.
    pub fn enforce_secure_boot(&mut self) -> Result<(), ScenarioError> {
        let keys = std::env::var_os("HOLM_KEYS").ok_or(ScenarioError::NoKeys)?;
        let keys = Keys::open(Path::new(&keys)).map_err(ScenarioError::Keys)?;
        let read = |path: PathBuf| match std::fs::read(&path) {
            Ok(content) => Ok(content),
            Err(source) => Err(ScenarioError::File { what: "read", path, source }),
        };
        let lists: Result<Vec<_>, _> =
            Keys::names().iter().map(|name| read(keys.path(name, ".esl"))).collect();
        let lists = lists?;
        let firmware = qemu::find(Architecture::X86_64, true)?;
        let store = read(firmware.variables)?;
        let store = qemu::enrol(&store, [&lists[0], &lists[1], &lists[2]])?;
        let variables = self.write_file("variables.fd", &store)?;
        self.machine.boot = BootPath::Firmware { code: firmware.code, variables, secure: true };
        Ok(())
    }

    /// Puts the node document on the boot partition.
    pub fn write_document(&self, text: &str) -> Result<(), ScenarioError> {
        Ok(self.disk.write_boot_file("holm.toml", text.as_bytes())?)
    }

    /// Puts a pod's manifest beside the node document.
    pub fn add_manifest(&self, name: &str, text: &str) -> Result<(), ScenarioError> {
        Ok(self.disk.write_boot_file(&format!("manifests/{name}.yaml"), text.as_bytes())?)
    }

    /// Puts a container image on the data partition.
    pub fn preload(&self, name: &str, image: &Image) -> Result<(), ScenarioError> {
        let path = self.folder.0.join(format!("{name}.tar"));
        let failed = |source| ScenarioError::File { what: "write", path: path.clone(), source };
        let file = File::create(&path).map_err(failed)?;
        archive::write(image, BufWriter::new(file)).map_err(failed)?;
        Ok(self.disk.write_ext4_file("data", &format!("preload/{name}.tar"), &path)?)
    }

    /// Writes a file for the machine's use and returns its path.
    pub fn write_file(&self, name: &str, content: &[u8]) -> Result<PathBuf, ScenarioError> {
        let path = self.folder.0.join(name);
        match std::fs::write(&path, content) {
            Ok(()) => Ok(path),
            Err(source) => Err(ScenarioError::File { what: "write", path, source }),
        }
    }

    /// The scenario's folder.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Leaves the scenario's files where they are, for a machine that outlives it.
    pub fn keep(mut self) -> PathBuf {
        self.folder.1 = true;
        self.folder.0.clone()
    }

    /// Starts the machine.
    pub fn start(&self) -> Result<Vm, ScenarioError> {
        Ok(Vm::start(&self.machine, &self.folder.0)?)
    }

    /// Starts the machine and waits until the node says ready.
    pub fn boot(&self) -> Result<Vm, ScenarioError> {
        let vm = self.start()?;
        vm.console.expect(READY, BOOT_WAIT)?;
        Ok(vm)
    }

    /// Boots, and opens the shell.
    pub fn boot_with_shell(&self) -> Result<(Vm, Shell), ScenarioError> {
        let vm = self.boot()?;
        let shell = vm.shell(BOOT_WAIT)?;
        Ok((vm, shell))
    }
}

/// The page that [`Scenario::add_page`] serves.
pub const PAGE: &str = include_str!("../../demo-files/index.html");

/// The manifest of the pod that serves it.
pub const WEB_MANIFEST: &str = include_str!("../../demo-files/manifests/web.yaml");

/// A static busybox: `HOLM_BUSYBOX`, or Debian's.
pub fn static_busybox() -> Result<Vec<u8>, ScenarioError> {
    let path =
        std::env::var_os("HOLM_BUSYBOX").map_or_else(|| "/bin/busybox".into(), PathBuf::from);
    let content = std::fs::read(&path);
    content.map_err(|source| ScenarioError::File { what: "read", path, source })
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), ScenarioError> {
    let copied = std::fs::copy(from, to).map(drop);
    copied.map_err(|source| ScenarioError::File { what: "copy", path: from.to_owned(), source })
}

/// A folder that goes with its scenario, unless it is to be kept.
pub(crate) struct Folder(PathBuf, bool);

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn new(name: &str) -> Result<Self, ScenarioError> {
        // Socket paths are short by the kernel's rule, so the folder is near the root.
        let path = std::env::temp_dir().join(format!("holm-{}-{name}", std::process::id()));
        match std::fs::create_dir_all(&path) {
            Ok(()) => Ok(Self(path, false)),
            Err(source) => Err(ScenarioError::File { what: "create", path, source }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::env::var_os("HOLM_VM_KEEP").is_some() {
            eprintln!("the scenario's files are in {}", self.0.display());
        } else if !self.1 {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

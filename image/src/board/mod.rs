//! Board files: TOML over a shared base, merged and checked. Holds the rules of inheritance.
//! Must never know how a build does its work.

mod inherit;
mod machine;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use inherit::merge;
pub use machine::{BootPath, Model, Qemu};

/// Everything that a build needs to know about a board.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Board {
    /// The board file's name without `.toml`; set when it is read.
    #[serde(skip)]
    pub name: String,
    /// The processor.
    pub architecture: Architecture,
    /// Where packages come from.
    pub debian: Debian,
    /// The packages of each role.
    pub packages: Packages,
    /// Firmware files for the root file system.
    #[serde(default)]
    pub firmware: Vec<Firmware>,
    /// How the firmware comes to a kernel.
    pub boot: Boot,
    /// How the kernel is started.
    pub kernel: Kernel,
    /// How the node binaries are compiled.
    pub build: Build,
    /// The root file system.
    pub root: Root,
    /// Sizes in MiB of the disk's partitions.
    pub partitions: Partitions,
    /// The data file system.
    pub data: Data,
    /// Upper bounds in MiB.
    pub budgets: Budgets,
    /// Kernel modules.
    pub modules: Modules,
    /// The machine that stands in for the board.
    pub qemu: Qemu,
}

impl Board {
    /// The suites that package names ask for by `name/suite`.
    pub fn other_suites(&self) -> Vec<String> {
        let roles = &self.packages;
        let fixed = [&roles.kernel, &roles.boot_loader, &roles.repair, &roles.certificates];
        let names = fixed.into_iter().chain(self.firmware.iter().map(|one| &one.package));
        let named: BTreeSet<&str> =
            names.filter_map(|name| Some(name.split_once('/')?.1)).collect();
        named.into_iter().map(str::to_owned).collect()
    }
}

/// The processor of a board, and what Debian and UEFI call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// 64-bit PCs.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Architecture {
    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The suffix that UEFI and systemd-boot use in file names.
    pub fn uefi(self) -> &'static str {
        match self {
            Self::X86_64 => "x64",
            Self::Aarch64 => "aa64",
        }
    }

    /// The architecture that this program was built for, where it is one of ours.
    pub fn of_host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }
}

/// The Debian release that packages are taken from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    /// Code name of the release.
    pub suite: String,
    /// Archive components.
    pub components: Vec<String>,
}

/// Package names by role; `name/suite` takes a package from another suite than the others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Packages {
    /// The kernel image, or the meta-package that depends on it.
    pub kernel: String,
    /// systemd-boot and the EFI stub, or the board's own firmware.
    pub boot_loader: String,
    /// The static e2fsck.
    pub repair: String,
    /// The trusted certificate authorities.
    pub certificates: String,
}

/// Firmware out of one package.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// The package.
    pub package: String,
    /// Files below `/usr/lib/firmware`, with `*` as a wildcard inside of one name.
    pub files: Vec<String>,
}

/// How the firmware comes to a kernel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// Which way.
    pub path: BootPath,
    /// Files of the boot loader's package that a ROM loads before it knows of slots.
    #[serde(default)]
    pub rom: Vec<String>,
    /// Lines of `config.txt`.
    #[serde(default)]
    pub config: Vec<String>,
    /// The models that the image boots.
    #[serde(default)]
    pub models: Vec<Model>,
    /// What the boot loader's package has for the board's flash; put on the card for its owner.
    #[serde(default)]
    pub firmware: Vec<String>,
}

/// How the kernel is started.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kernel {
    /// Arguments beside those that the build adds.
    pub command_line: Vec<String>,
    /// The consoles, as the kernel names them; `/dev/console` is the last one that there is.
    pub consoles: Vec<String>,
    /// Device trees of the kernel's package, with `*` as a wildcard.
    #[serde(default)]
    pub device_trees: Vec<String>,
}

impl Kernel {
    /// The kernel's arguments, without those that only a build knows.
    pub fn arguments(&self) -> Vec<String> {
        let consoles = self.consoles.iter().map(|name| format!("console={name}"));
        self.command_line.iter().cloned().chain(consoles).collect()
    }
}

/// How the node binaries are compiled.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The Rust target.
    pub target: String,
}

/// The root file system's format.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Which file system.
    pub format: Format,
    /// The argument to the maker's compression option.
    pub compression: String,
}

/// A read-only file system that the kernel and our tools know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// EROFS.
    Erofs,
    /// SquashFS.
    Squashfs,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Erofs => "erofs",
            Self::Squashfs => "squashfs",
        })
    }
}

/// Partition sizes in MiB.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partitions {
    /// The EFI system partition, or each of the two boot slots.
    pub boot: u64,
    /// Where firmware learns which boot slot to take.
    #[serde(default)]
    pub select: u64,
    /// Each of the two root slots.
    pub root: u64,
    /// Identity, configuration, the cluster's database.
    pub state: u64,
    /// Images, volumes and logs, as it is in the image.
    pub data: u64,
}

/// The data file system.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Data {
    /// The largest size in GiB that it can grow to while mounted.
    pub grow_to_gib: u64,
}

/// Upper bounds in MiB.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// Root file system and its verity tree.
    pub root: u64,
    /// What firmware loads of one slot: the unified kernel image, or the files of a boot partition.
    pub boot: u64,
}

/// Kernel modules by name, with `*` as a wildcard; what they depend on comes along.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// In the initramfs, and on the root too.
    pub initramfs: Vec<String>,
    /// Loaded first by stage one, in this order.
    pub load: Vec<String>,
    /// On the root only.
    pub root: Vec<String>,
    /// Folders of the repository with modules of Holm's own; they are on the root.
    #[serde(default)]
    pub own: Vec<String>,
}

/// Why a board file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such board.
    #[error("there is no board {name:?}; known: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not TOML, or a key or a value is wrong.
    #[error("{path}: {said}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        said: String,
    },
    /// The files name each other as base.
    #[error("{path} is among its own bases")]
    Circle {
        /// The file seen twice.
        path: PathBuf,
    },
}

/// Reads `<folder>/<name>.toml` and its bases.
pub fn read(folder: &Path, name: &str) -> Result<Board, Error> {
    let path = folder.join(format!("{name}.toml"));
    if !path.is_file() || name.contains('/') || is_base(name) {
        return Err(Error::Unknown { name: name.to_owned(), known: names(folder) });
    }
    let read = |path: &Path| std::fs::read_to_string(path);
    parse(&path, name, &read)
}

/// As [`read`], with the files' texts from `text`.
pub fn parse(
    path: &Path,
    name: &str,
    text: &dyn Fn(&Path) -> std::io::Result<String>,
) -> Result<Board, Error> {
    let table = inherit::flatten(path, text)?;
    let invalid = |said: String| Error::Invalid { path: path.to_owned(), said };
    let mut board = Board::deserialize(table).map_err(|e| invalid(e.message().to_owned()))?;
    board.name = name.to_owned();
    // Stage one needs the root's file system whatever the lists say.
    for list in [&mut board.modules.initramfs, &mut board.modules.load] {
        list.push(board.root.format.to_string());
    }
    check(&board).map_err(invalid)?;
    Ok(board)
}

/// The boards in a folder: all files but those that others build upon, whose names say so.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
        .filter(|name| !is_base(name))
        .collect();
    names.sort();
    names
}

fn is_base(name: &str) -> bool {
    name == "base" || name.starts_with("base-")
}

fn check(board: &Board) -> Result<(), String> {
    let partitions = &board.partitions;
    if partitions.root != board.budgets.root {
        return Err(format!(
            "partitions.root is {} MiB and budgets.root {} MiB: a slot is as large as its budget",
            partitions.root, board.budgets.root
        ));
    }
    check_boot(board)?;
    for (name, size) in [("state", partitions.state), ("data", partitions.data)] {
        if size < 64 {
            return Err(format!("partitions.{name} is {size} MiB; at least 64 are needed"));
        }
    }
    if let Some(word) = board.kernel.arguments().iter().find(|word| word.contains(['\n', '\0'])) {
        return Err(format!("the kernel's arguments have a line break in {word:?}"));
    }
    Ok(())
}

/// FAT32 has no fewer clusters than 65,525; with its tables they take this many MiB.
const SMALLEST_FAT32: u64 = 34;

fn check_boot(board: &Board) -> Result<(), String> {
    let (partitions, budget) = (&board.partitions, board.budgets.boot);
    match board.boot.path {
        BootPath::Uefi | BootPath::UBoot => {
            // Both slots' kernels and a third while it is being written.
            let needed = 3 * budget + 4;
            if partitions.boot < needed {
                return Err(format!(
                    "partitions.boot is {} MiB, but three kernels of budgets.boot need {needed}",
                    partitions.boot
                ));
            }
        }
        BootPath::Rpi => {
            let needed = (budget + 4).max(SMALLEST_FAT32);
            if partitions.boot < needed {
                return Err(format!(
                    "partitions.boot is {} MiB, but a slot of budgets.boot needs {needed}",
                    partitions.boot
                ));
            }
            if partitions.select < SMALLEST_FAT32 {
                return Err(format!(
                    "partitions.select is {} MiB; FAT32 needs {SMALLEST_FAT32}",
                    partitions.select
                ));
            }
            let models = &board.boot.models;
            if models.is_empty() {
                return Err("boot.models is empty: name what the image boots".to_owned());
            }
            if let Some(line) = board.boot.config.iter().find(|line| line.starts_with('[')) {
                return Err(format!("boot.config has the section {line}: its lines are for all"));
            }
            let emulated = board.qemu.model.as_ref();
            if let Some(name) = emulated.filter(|name| models.iter().all(|m| m.name != **name)) {
                return Err(format!("qemu.model {name:?} is none of boot.models"));
            }
        }
    }
    Ok(())
}

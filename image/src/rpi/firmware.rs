//! What the firmware does between power and kernel, as a function of a card's files: it chooses the
//! partition, reads the settings there, and finds kernel, initramfs, command line and device tree.
//! Pure, so that a card is checked for every model without one. It follows the documentation;
//! where that allows more than Holm uses, it is strict.

use super::AUTOBOOT;
use super::config::{Config, Problem};
use crate::board::Model;

/// The longest `autoboot.txt` that is read.
const LONGEST_AUTOBOOT: usize = 512;

/// A partition that firmware can read: files of its top folder by name.
pub trait Partition {
    /// The content of a file; none when it is not there.
    fn file(&self, name: &str) -> Option<Vec<u8>>;
    /// The size in bytes of a file; none when it is not there.
    fn size(&self, name: &str) -> Option<u64>;
}

/// What the firmware starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The number of the partition.
    pub partition: u32,
    /// The kernel's file.
    pub kernel: String,
    /// The initramfs's file.
    pub initramfs: String,
    /// The device tree's file.
    pub device_tree: String,
    /// The kernel's arguments, without those that firmware adds.
    pub command_line: String,
}

/// Why a card does not boot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file that says what to boot is not understood.
    #[error("partition {partition}: {file}, {problem}")]
    Config {
        /// Where.
        partition: u32,
        /// The file.
        file: &'static str,
        /// What is wrong.
        problem: Problem,
    },
    /// `autoboot.txt` is too long.
    #[error("autoboot.txt has {0} bytes; the firmware reads {LONGEST_AUTOBOOT}")]
    Autoboot(usize),
    /// A setting is missing or of no use.
    #[error("partition {partition}: {file} must say {wanted}")]
    Setting {
        /// Where.
        partition: u32,
        /// The file.
        file: &'static str,
        /// What it should say.
        wanted: String,
    },
    /// There is no such FAT partition.
    #[error("autoboot.txt names partition {0}, which is not there or no FAT file system")]
    NoPartition(u32),
    /// A file is not there, or empty.
    #[error("partition {partition} has no {file}, which {model} loads")]
    Missing {
        /// Where.
        partition: u32,
        /// The file.
        file: String,
        /// Who looks for it.
        model: String,
    },
    /// Firmware is where it must not be.
    #[error("partition 1 holds {0}: with a damaged autoboot.txt it would be booted")]
    Astray(String),
}

/// What `model` starts from a card, whose FAT partitions `partition` gives by number. `tryboot`
/// says that the flag for one trial is up.
///
/// # Errors
/// The first thing that keeps the model from booting, or makes it boot by luck.
pub fn boot<P: Partition>(
    partition: &dyn Fn(u32) -> Option<P>,
    model: &Model,
    rom: &[String],
    tryboot: bool,
) -> Result<Chosen, Error> {
    let lacking = |partition, file: &str| Error::Missing {
        partition,
        file: file.to_owned(),
        model: model.name.clone(),
    };
    let first = partition(1).ok_or(Error::NoPartition(1))?;
    if let Some(file) = rom.iter().find(|file| first.size(file).unwrap_or(0) == 0) {
        return Err(lacking(1, file));
    }
    if let Some(program) = model.firmware.iter().find(|file| first.size(file).is_some()) {
        return Err(Error::Astray(program.clone()));
    }
    let number = slot(&first, tryboot)?;
    let slot = partition(number).ok_or(Error::NoPartition(number))?;
    let need = |file: &str| match slot.size(file) {
        Some(1..) => Ok(file.to_owned()),
        _ => Err(lacking(number, file)),
    };
    for file in &model.firmware {
        need(file)?;
    }
    let content = slot.file("config.txt").ok_or_else(|| lacking(number, "config.txt"))?;
    let mut filters: Vec<&str> = model.filters.iter().map(String::as_str).collect();
    filters.extend(tryboot.then_some("tryboot"));
    let config = Config::parse(&content, &filters).map_err(|problem| Error::Config {
        partition: number,
        file: "config.txt",
        problem,
    })?;
    let setting = |wanted: &str| Error::Setting {
        partition: number,
        file: "config.txt",
        wanted: wanted.to_owned(),
    };
    if config.get("arm_64bit") != Some("1") {
        return Err(setting("arm_64bit=1, or a kernel of 32 bits is expected"));
    }
    if config.get("upstream_kernel") != Some("1") {
        return Err(setting("upstream_kernel=1, or device trees are looked for by other names"));
    }
    let kernel = need(config.get("kernel").ok_or_else(|| setting("kernel=FILE"))?)?;
    let initramfs = config.get("initramfs").and_then(|value| value.strip_suffix(" followkernel"));
    let initramfs = need(initramfs.ok_or_else(|| setting("initramfs FILE followkernel"))?)?;
    let names = model.device_tree_names();
    let device_trees = names.iter().map(|name| need(name)).collect::<Result<Vec<_>, _>>()?;
    let device_tree =
        device_trees.into_iter().next().ok_or_else(|| lacking(number, "device tree"))?;
    let name = config.get("cmdline").unwrap_or(super::COMMAND_LINE);
    let line = slot.file(name).ok_or_else(|| lacking(number, name))?;
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    if line.is_empty() || line.contains('\n') {
        return Err(Error::Setting {
            partition: number,
            file: super::COMMAND_LINE,
            wanted: "all arguments in one line".to_owned(),
        });
    }
    Ok(Chosen { partition: number, kernel, initramfs, device_tree, command_line: line })
}

/// The partition that `autoboot.txt` names.
fn slot(first: &impl Partition, tryboot: bool) -> Result<u32, Error> {
    let wanted =
        |wanted: &str| Error::Setting { partition: 1, file: AUTOBOOT, wanted: wanted.to_owned() };
    let content = first.file(AUTOBOOT).ok_or_else(|| Error::Missing {
        partition: 1,
        file: AUTOBOOT.to_owned(),
        model: "every model".to_owned(),
    })?;
    if content.len() > LONGEST_AUTOBOOT {
        return Err(Error::Autoboot(content.len()));
    }
    let filters: &[&str] = if tryboot { &["tryboot"] } else { &[] };
    let config = Config::parse(&content, filters).map_err(|problem| Error::Config {
        partition: 1,
        file: AUTOBOOT,
        problem,
    })?;
    if config.get("tryboot_a_b") != Some("1") {
        return Err(wanted("tryboot_a_b=1, or a trial reads tryboot.txt"));
    }
    let number = config.get("boot_partition").and_then(|value| value.parse().ok());
    let number = number.filter(|number| (2..=63).contains(number));
    number.ok_or_else(|| wanted("boot_partition=NUMBER, of the partition of a slot"))
}

#[cfg(test)]
#[path = "firmware_tests.rs"]
mod tests;

//! Which disk an image that installs itself goes to: the disks seen and the node document in, the
//! decision out. Pure. Must never decide for a disk that holds something unless it was named and
//! its owner said that it may be erased.
//!
//! | `disk` | the disk | decision |
//! |---|---|---|
//! | unset | | ask |
//! | `auto` | exactly one is built in, blank and fits | write |
//! | `auto` | none or several such | ask, and say why |
//! | a name or serial number | fits and is blank | write |
//! | the same | fits, holds something, `erase` | write |
//! | the same | holds something, or does not fit, or is not there | ask, and say why |

use holm_config::{Install, Target};

/// A disk as the machine shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The kernel's name, `nvme0n1`.
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Bytes in a sector.
    pub(crate) sector: u64,
    /// Who made it, as far as it says.
    pub(crate) model: String,
    /// Its serial number; empty when it does not say.
    pub(crate) serial: String,
    /// Whether it is built in, not on a USB port and not removable.
    pub(crate) is_internal: bool,
    /// Whether it refuses to be written.
    pub(crate) is_read_only: bool,
    /// Whether this system runs from it.
    pub(crate) is_own: bool,
    /// Whether there is nothing on it.
    pub(crate) is_blank: bool,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The disk of this name is written.
    Write(String),
    /// A person is asked; why the document did not do.
    Ask(String),
}

/// Decides by the document; `needs` is the image's size in bytes.
pub(crate) fn decide(disks: &[Disk], wanted: &Install, needs: u64) -> Decision {
    match &wanted.disk {
        None => Decision::Ask("the node document names no disk".to_owned()),
        Some(Target::Auto) => automatic(disks, needs),
        Some(Target::Named(name)) => named(disks, name, wanted.erase, needs),
    }
}

fn automatic(disks: &[Disk], needs: u64) -> Decision {
    let fit = disks.iter().filter(|disk| disk.is_internal && obstacle(disk, needs).is_none());
    let (blank, full): (Vec<_>, Vec<_>) = fit.partition(|disk| disk.is_blank);
    match (&blank[..], &full[..]) {
        ([disk], _) => Decision::Write(disk.name.clone()),
        ([], []) => Decision::Ask("no disk that is built in could take the image".to_owned()),
        ([], full) => {
            let names: Vec<_> = full.iter().map(|disk| disk.name.as_str()).collect();
            Decision::Ask(format!("no blank disk is built in; {} holds data", names.join(", ")))
        }
        (several, _) => {
            let names: Vec<_> = several.iter().map(|disk| disk.name.as_str()).collect();
            Decision::Ask(format!("more than one blank disk is built in: {}", names.join(", ")))
        }
    }
}

fn named(disks: &[Disk], name: &str, may_erase: bool, needs: u64) -> Decision {
    let mut found = disks.iter().filter(|disk| disk.name == name || disk.serial == name);
    let Some(disk) = found.next() else {
        return Decision::Ask(format!("no disk is called {name} or has that serial number"));
    };
    if found.next().is_some() {
        return Decision::Ask(format!("more than one disk is called {name}"));
    }
    if let Some(why) = obstacle(disk, needs) {
        return Decision::Ask(format!("{} {why}", disk.name));
    }
    if disk.is_blank || may_erase {
        return Decision::Write(disk.name.clone());
    }
    Decision::Ask(format!("{} holds data, and the document does not say erase = true", disk.name))
}

/// Why a disk cannot take an image of `needs` bytes, whoever asks.
fn obstacle(disk: &Disk, needs: u64) -> Option<String> {
    if disk.is_own {
        return Some("is what this system runs from".to_owned());
    }
    if disk.is_read_only {
        return Some("is read-only".to_owned());
    }
    if disk.sector != 512 {
        return Some(format!("has sectors of {} bytes, and the image is for 512", disk.sector));
    }
    if disk.size < needs {
        return Some(format!("is too small: {} of {}", gigabytes(disk.size), gigabytes(needs)));
    }
    None
}

/// The lines that a person chooses from.
pub(crate) fn menu(disks: &[Disk], needs: u64) -> Vec<String> {
    let line = |disk: &Disk| {
        let Disk { name, model, size, .. } = disk;
        let state = obstacle(disk, needs)
            .unwrap_or_else(|| if disk.is_blank { "is blank" } else { "HOLDS DATA" }.to_owned());
        let serial = if disk.serial.is_empty() { "" } else { " no. " };
        format!("  {name}  {}  {model}{serial}{}  {state}", gigabytes(*size), disk.serial)
    };
    disks.iter().map(line).collect()
}

/// What a person's line comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// That disk is written.
    Write(String),
    /// Nothing yet; what to say to the person.
    Say(String),
}

/// Understands a line: the name of a disk, or `erase` and the name of one that holds something.
pub(crate) fn answer(line: &str, disks: &[Disk], needs: u64) -> Answer {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, may_erase) = match words[..] {
        [name] => (name, false),
        ["erase", name] => (name, true),
        _ => return Answer::Say("write the name of a disk".to_owned()),
    };
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let Some(disk) = disks.iter().find(|disk| disk.name == name) else {
        return Answer::Say(format!("there is no disk {name}"));
    };
    if let Some(why) = obstacle(disk, needs) {
        return Answer::Say(format!("{name} {why}"));
    }
    if disk.is_blank || may_erase {
        return Answer::Write(name.to_owned());
    }
    Answer::Say(format!("{name} holds data, all of which would be lost; to go on: erase {name}"))
}

fn gigabytes(bytes: u64) -> String {
    format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

//! Whether a disk may be written, and which one is meant when none was named. Pure.
//! Must never choose a disk that could hold something of anybody's.

use std::path::PathBuf;

use super::contents::Contents;
use super::disk::{Connection, Disk, Use};
use super::size_text;
use crate::flash::table::SECTOR;

/// Why a disk is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no medium in it.
    #[error("{0} has no medium; put the card in")]
    Empty(String),
    /// Something uses it.
    #[error("{disk} {use}; {advice}", use = .by, advice = advice(.by))]
    InUse {
        /// The disk.
        disk: String,
        /// The first reason.
        by: Use,
    },
    /// It is write-protected.
    #[error("{0} is read-only; mind the switch on the card's or the reader's side")]
    ReadOnly(String),
    /// The image is larger.
    #[error("{disk} is too small: it has {}, the image needs {}", size_text(*.has), size_text(*.needs))]
    TooSmall {
        /// The disk.
        disk: String,
        /// Its size in bytes.
        has: u64,
        /// The image's size in bytes.
        needs: u64,
    },
    /// The image's partition table counts in other sectors.
    #[error(
        "{disk} has sectors of {sector} bytes, and images are made for those of 512; use another disk"
    )]
    Sector {
        /// The disk.
        disk: String,
        /// Its sector size.
        sector: u64,
    },
    /// It is built in, and nobody said that it is meant.
    #[error("{0} is built into this machine; if you mean it, add --internal")]
    Internal(String),
}

fn advice(by: &Use) -> &'static str {
    match by {
        Use::System(_) => "it is never written",
        Use::Mounted(_) => "unmount it first",
        Use::Swap(_) => "turn its swap off first (swapoff)",
        Use::Held(_) => "close that first",
    }
}

/// Whether an image of `needs` bytes, where that is known, may go to the disk that was named.
pub fn check(disk: &Disk, needs: Option<u64>, may_be_internal: bool) -> Result<(), Refusal> {
    let name = || disk.path.display().to_string();
    if let Some(by) = disk.uses.first() {
        return Err(Refusal::InUse { disk: name(), by: by.clone() });
    }
    // A loop device is a file: somebody set it up to be written.
    if !disk.is_removable && !may_be_internal && disk.connection != Connection::Loop {
        return Err(Refusal::Internal(name()));
    }
    if disk.size == 0 {
        return Err(Refusal::Empty(name()));
    }
    if disk.is_read_only {
        return Err(Refusal::ReadOnly(name()));
    }
    if disk.sector != SECTOR {
        return Err(Refusal::Sector { disk: name(), sector: disk.sector });
    }
    match needs {
        Some(needs) if needs > disk.size => {
            Err(Refusal::TooSmall { disk: name(), has: disk.size, needs })
        }
        _ => Ok(()),
    }
}

/// Why no disk was chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// Nothing removable is there.
    #[error("no removable disk is there; plug one in, or name the target")]
    None,
    /// Several, or some that hold data: a person must say which.
    #[error("name the target; these could be meant:\n{}", .0.join("\n"))]
    Name(Vec<String>),
    /// All that are there are refused.
    #[error("no removable disk can be written:\n{}", .0.join("\n"))]
    Refused(Vec<String>),
}

/// The disk that is meant when none was named: the only removable one, and only when it is blank.
/// `look` says what a disk holds.
pub fn choose(
    disks: &[Disk],
    needs: Option<u64>,
    look: impl Fn(&Disk) -> Contents,
) -> Result<PathBuf, NoChoice> {
    let removable: Vec<&Disk> = disks.iter().filter(|disk| disk.is_removable).collect();
    let (mut fit, mut refused) = (Vec::new(), Vec::new());
    for disk in &removable {
        match check(disk, needs, false) {
            Ok(()) => fit.push((*disk, look(disk))),
            Err(refusal) => refused.push(format!("  {refusal}")),
        }
    }
    match &fit[..] {
        [] if refused.is_empty() => Err(NoChoice::None),
        [] => Err(NoChoice::Refused(refused)),
        [(disk, Contents::Blank)] => Ok(disk.path.clone()),
        _ => Err(NoChoice::Name(
            fit.iter().map(|(disk, contents)| format!("  {} {contents}", line(disk))).collect(),
        )),
    }
}

/// A disk in one line: name, size, connection, model.
pub fn line(disk: &Disk) -> String {
    let (path, size) = (disk.path.display().to_string(), size_text(disk.size));
    format!("{path:14} {size:>9}  {:6}  {}", disk.connection.to_string(), disk.model)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stick(name: &str) -> Disk {
        Disk {
            name: name.to_owned(),
            path: PathBuf::from("/dev").join(name),
            number: "8:0".into(),
            size: 1000 * 512,
            sector: 512,
            model: "Stick".into(),
            connection: Connection::Usb,
            is_removable: true,
            is_read_only: false,
            partitions: 0,
            uses: vec![],
        }
    }

    #[test]
    fn free_stick_takes_an_image_of_its_size_and_no_larger() {
        assert_eq!(check(&stick("sda"), None, false), Ok(()));
        assert_eq!(check(&stick("sda"), Some(512_000), false), Ok(()));
        let refusal = check(&stick("sda"), Some(512_001), false).expect_err("too small");
        assert_eq!(
            refusal.to_string(),
            "/dev/sda is too small: it has 512.0 kB, the image needs 512.0 kB"
        );
    }

    #[test]
    fn every_use_is_refused_whatever_was_allowed() {
        let uses = [
            (Use::System("/".into()), "/dev/sda carries this system (/); it is never written"),
            (Use::Mounted("/mnt".into()), "/dev/sda is mounted at /mnt; unmount it first"),
            (Use::Held("dm-0".into()), "/dev/sda is in use by dm-0; close that first"),
            (
                Use::Swap("/dev/sda1".into()),
                "/dev/sda has swap space in use (/dev/sda1); turn its swap off first (swapoff)",
            ),
        ];
        for (by, text) in uses {
            let disk = Disk { uses: vec![by], ..stick("sda") };
            assert_eq!(check(&disk, None, true).expect_err("in use").to_string(), text);
        }
    }

    #[test]
    fn disk_that_cannot_take_an_image_is_refused() {
        let cases = [
            Disk { size: 0, ..stick("a") },
            Disk { is_read_only: true, ..stick("a") },
            Disk { sector: 4096, ..stick("a") },
        ];
        assert!(matches!(check(&cases[0], None, false), Err(Refusal::Empty(_))));
        assert!(matches!(check(&cases[1], None, false), Err(Refusal::ReadOnly(_))));
        assert!(matches!(check(&cases[2], None, false), Err(Refusal::Sector { sector: 4096, .. })));
    }

    #[test]
    fn internal_disk_needs_to_be_allowed() {
        let disk = Disk { is_removable: false, connection: Connection::Nvme, ..stick("nvme0n1") };
        assert!(matches!(check(&disk, None, false), Err(Refusal::Internal(_))));
        assert_eq!(check(&disk, None, true), Ok(()));
        let disk = Disk { connection: Connection::Loop, ..disk };
        assert_eq!(check(&disk, None, false), Ok(()));
    }

    #[test]
    fn only_blank_stick_is_chosen_without_being_named() {
        let blank = |_: &Disk| Contents::Blank;
        assert_eq!(choose(&[stick("sda")], None, blank), Ok("/dev/sda".into()));
        let full = choose(&[stick("sda")], None, |_| Contents::Unknown);
        assert!(matches!(full, Err(NoChoice::Name(disks)) if disks.len() == 1));
        let two = choose(&[stick("sda"), stick("sdb")], None, blank);
        assert!(matches!(two, Err(NoChoice::Name(disks)) if disks.len() == 2));
    }

    #[test]
    fn internal_disk_is_never_chosen() {
        let disk = Disk { is_removable: false, connection: Connection::Other, ..stick("sda") };
        assert_eq!(choose(&[disk], None, |_| Contents::Blank), Err(NoChoice::None));
        let mounted = Disk { uses: vec![Use::Mounted("/mnt".into())], ..stick("sdb") };
        let choice = choose(std::slice::from_ref(&mounted), None, |_| Contents::Blank);
        assert!(choice.expect_err("refused").to_string().contains("mounted at /mnt"));
        let other = choose(&[mounted, stick("sda")], None, |_| Contents::Blank);
        assert_eq!(other, Ok("/dev/sda".into()), "the mounted one is not in question");
    }
}

//! Performs the commit of a slot: writable for a moment, rename, flush, read-only again.
//! Never decides: that is [`crate::boot_count::plan`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use crate::boot_count::{Plan, Slot, plan};

/// How a commit ended without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// The counter was removed from this name just now.
    Now(String),
    /// There was nothing to do.
    Before,
}

/// Why the slot could not be committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The folder of boot entries could not be read.
    #[error("read boot entries in {}", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        #[source]
        /// What the kernel said.
        source: io::Error,
    },
    /// The boot partition holds no entry of the slot that runs.
    #[error("{} has no boot entry for slot {slot}", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
        /// The slot that runs.
        slot: Slot,
    },
    /// See [`Plan::Ambiguous`].
    #[error("slot {slot} has more than one boot entry: {}", names.join(", "))]
    Ambiguous {
        /// The slot that runs.
        slot: Slot,
        /// The names found.
        names: Vec<String>,
    },
    /// The boot partition could not be made writable or read-only again.
    #[error("remount {} {mode}", path.display())]
    Remount {
        /// Where the boot partition is mounted.
        path: PathBuf,
        /// `writable` or `read-only`.
        mode: &'static str,
        #[source]
        /// What the kernel said.
        source: io::Error,
    },
    /// The rename, or its flush to the disk, failed.
    #[error("rename boot entry {from} to {to}")]
    Rename {
        /// Name with the counter.
        from: String,
        /// Name without it.
        to: String,
        #[source]
        /// What the kernel said.
        source: io::Error,
    },
}

/// Commits `slot` on the boot partition mounted at `boot`. Twice is harmless, and the partition is
/// not touched when there is nothing to do.
pub fn commit(boot: &Path, slot: Slot) -> Result<Committed, CommitError> {
    commit_with(boot, slot, &remount)
}

type Remount<'a> = &'a dyn Fn(&Path, bool) -> io::Result<()>;

fn commit_with(boot: &Path, slot: Slot, remount: Remount<'_>) -> Result<Committed, CommitError> {
    let folder = boot.join("EFI/Linux");
    let names =
        read_names(&folder).map_err(|source| CommitError::Read { path: folder.clone(), source })?;
    let (from, to) = match plan(slot, &names) {
        Plan::AlreadyCommitted => return Ok(Committed::Before),
        Plan::Missing => return Err(CommitError::Missing { path: folder, slot }),
        Plan::Ambiguous(names) => return Err(CommitError::Ambiguous { slot, names }),
        Plan::Rename { from, to } => (from, to),
    };
    let remount_as = |writable: bool| {
        remount(boot, writable).map_err(|source| CommitError::Remount {
            path: boot.to_owned(),
            mode: if writable { "writable" } else { "read-only" },
            source,
        })
    };
    remount_as(true)?;
    let renamed = rename_and_flush(&folder, &from, &to);
    // Read-only again whatever happened: a FAT that stays writable is at risk at every power cut.
    let closed = remount_as(false);
    renamed.map_err(|source| CommitError::Rename { from: from.clone(), to, source })?;
    closed?;
    Ok(Committed::Now(from))
}

fn read_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        // A name that is not UTF-8 cannot be one of ours.
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn rename_and_flush(folder: &Path, from: &str, to: &str) -> io::Result<()> {
    let dir = fs::File::open(folder)?;
    fs::rename(folder.join(from), folder.join(to))?;
    dir.sync_all()?;
    // FAT keeps its tables apart from the folder: flush the whole (small) file system.
    rustix::fs::syncfs(&dir)?;
    Ok(())
}

fn remount(path: &Path, writable: bool) -> io::Result<()> {
    let keep = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let flags = if writable { keep } else { keep | MountFlags::RDONLY };
    Ok(rustix::mount::mount_remount(path, flags, c"")?)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn boot_with(files: &[&str]) -> tempfile::TempDir {
        let boot = tempfile::tempdir().unwrap();
        fs::create_dir_all(boot.path().join("EFI/Linux")).unwrap();
        for name in files {
            fs::write(boot.path().join("EFI/Linux").join(name), name).unwrap();
        }
        boot
    }

    fn entries(boot: &Path) -> Vec<String> {
        let mut names = read_names(&boot.join("EFI/Linux")).unwrap();
        names.sort();
        names
    }

    #[test]
    fn counter_is_removed_between_two_remounts() {
        let boot = boot_with(&["holm-a+3.efi", "holm-b.efi"]);
        let log = RefCell::new(Vec::new());
        let remount = |_: &Path, writable: bool| {
            log.borrow_mut().push((writable, entries(boot.path())[0].clone()));
            Ok(())
        };
        let done = commit_with(boot.path(), Slot::A, &remount).unwrap();
        assert_eq!(done, Committed::Now("holm-a+3.efi".into()));
        assert_eq!(entries(boot.path()), ["holm-a.efi", "holm-b.efi"]);
        assert_eq!(fs::read(boot.path().join("EFI/Linux/holm-a.efi")).unwrap(), b"holm-a+3.efi");
        assert_eq!(
            log.into_inner(),
            [(true, "holm-a+3.efi".to_owned()), (false, "holm-a.efi".to_owned())]
        );
    }

    #[test]
    fn committed_slot_is_never_made_writable() {
        let boot = boot_with(&["holm-a.efi"]);
        let remount = |_: &Path, _: bool| panic!("no remount is needed");
        assert_eq!(commit_with(boot.path(), Slot::A, &remount).unwrap(), Committed::Before);
    }

    #[test]
    fn failed_rename_still_closes_the_partition() {
        let boot = boot_with(&["holm-a+3.efi"]);
        // The entry vanishes between the plan and its execution.
        let log = RefCell::new(Vec::new());
        let remount = |path: &Path, writable: bool| {
            log.borrow_mut().push(writable);
            if writable {
                fs::remove_file(path.join("EFI/Linux/holm-a+3.efi"))?;
            }
            Ok(())
        };
        let error = commit_with(boot.path(), Slot::A, &remount).unwrap_err();
        assert!(matches!(error, CommitError::Rename { .. }), "{error:?}");
        assert_eq!(log.into_inner(), [true, false]);
    }

    #[test]
    fn partition_that_cannot_be_written_keeps_its_counter() {
        let boot = boot_with(&["holm-a+2-1.efi"]);
        let remount = |_: &Path, _: bool| Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem));
        let error = commit_with(boot.path(), Slot::A, &remount).unwrap_err();
        assert_eq!(error.to_string(), format!("remount {} writable", boot.path().display()));
        assert_eq!(entries(boot.path()), ["holm-a+2-1.efi"]);
    }

    #[test]
    fn missing_folder_and_missing_entry_are_told_apart() {
        let empty = tempfile::tempdir().unwrap();
        let remount = |_: &Path, _: bool| Ok(());
        let error = commit_with(empty.path(), Slot::A, &remount).unwrap_err();
        assert!(matches!(error, CommitError::Read { .. }), "{error:?}");
        let boot = boot_with(&["holm-a.efi"]);
        let error = commit_with(boot.path(), Slot::B, &remount).unwrap_err();
        assert!(matches!(error, CommitError::Missing { slot: Slot::B, .. }), "{error:?}");
    }
}

//! Reads the boot medium and performs planned writes on it: writable for a moment, each write
//! flushed, read-only again. Never decides: that is the boot path's.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use crate::boot_count::{self, BootCount};
use crate::boot_path::{BootPath, BootPathError, Change, RebootFlag, Write};
use crate::slot::{Slot, Slots};
use crate::state_files;
use crate::tryboot::{self, Tryboot};
use crate::two_files::TwoFiles;

/// Why the boot medium could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// What the medium says.
    #[error(transparent)]
    Path(#[from] BootPathError),
    /// It could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It could not be made writable or read-only again.
    #[error("remount {} {mode}", path.display())]
    Remount {
        /// Where it is mounted.
        path: PathBuf,
        /// `writable` or `read-only`.
        mode: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A write, or its flush to the disk, failed.
    #[error("perform {write:?}")]
    Write {
        /// The write.
        write: Write,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// How a board boots.
pub enum Kind {
    /// UEFI with systemd-boot.
    BootCount,
    /// The Raspberry Pi's firmware.
    Tryboot(Box<dyn RebootFlag>),
    /// U-Boot with a script and two state files.
    TwoFiles,
}

/// The boot medium of this node.
pub struct Medium {
    mount: PathBuf,
    kind: Kind,
    remount: Remount,
}

/// Makes a mount writable or read-only.
type Remount = Box<dyn Fn(&Path, bool) -> io::Result<()>>;

impl Medium {
    /// The file system mounted at `mount`, read-only while nobody writes.
    pub fn new(mount: PathBuf, kind: Kind) -> Self {
        Self { mount, kind, remount: Box::new(remount) }
    }

    /// What boots next.
    ///
    /// # Errors
    /// The medium is unreadable.
    pub fn slots(&self, running: Slot) -> Result<Slots, MediumError> {
        Ok(self.read()?.slots(running)?)
    }

    /// Makes `change`. Twice is harmless, and the medium is not touched when it is made already.
    /// Returns what was written.
    ///
    /// # Errors
    /// See [`MediumError`]. The medium is read-only again, if the kernel lets it.
    pub fn change(&self, running: Slot, change: Change) -> Result<Vec<Write>, MediumError> {
        let writes = self.read()?.plan(running, change)?;
        if writes.is_empty() {
            return Ok(writes);
        }
        self.while_writable(|| {
            for write in &writes {
                self.perform(write)
                    .map_err(|source| MediumError::Write { write: write.clone(), source })?;
            }
            Ok(writes.clone())
        })
    }

    /// Runs `work` while the medium is writable, and closes it whatever came of that: a FAT that
    /// stays writable is at risk at every power cut.
    ///
    /// # Errors
    /// Those of `work`, and [`MediumError::Remount`].
    pub fn while_writable<T>(
        &self,
        work: impl FnOnce() -> Result<T, MediumError>,
    ) -> Result<T, MediumError> {
        let remount_as = |writable: bool| {
            (self.remount)(&self.mount, writable).map_err(|source| MediumError::Remount {
                path: self.mount.clone(),
                mode: if writable { "writable" } else { "read-only" },
                source,
            })
        };
        remount_as(true)?;
        let done = work();
        let closed = remount_as(false);
        let done = done?;
        closed?;
        Ok(done)
    }

    /// The folder that names in [`Write`] are of.
    pub fn folder(&self) -> PathBuf {
        match self.kind {
            Kind::BootCount => self.mount.join(boot_count::FOLDER),
            Kind::Tryboot(_) | Kind::TwoFiles => self.mount.clone(),
        }
    }

    fn read(&self) -> Result<Box<dyn BootPath>, MediumError> {
        let folder = self.folder();
        match &self.kind {
            Kind::BootCount => {
                let names = read_names(&folder);
                let names = names.map_err(|source| MediumError::Read { path: folder, source })?;
                Ok(Box::new(BootCount { names }))
            }
            Kind::Tryboot(_) => {
                let path = folder.join(tryboot::FILE);
                let content = fs::read(&path);
                let autoboot = content.map_err(|source| MediumError::Read { path, source })?;
                // The flag is only ever raised for the reboot that follows.
                Ok(Box::new(Tryboot { autoboot, flag: false }))
            }
            Kind::TwoFiles => {
                let read = |name: &str| {
                    let path = folder.join(name);
                    fs::read(&path).map_err(|source| MediumError::Read { path, source })
                };
                let [first, second] = state_files::NAMES;
                Ok(Box::new(TwoFiles { files: [read(first)?, read(second)?] }))
            }
        }
    }

    fn perform(&self, write: &Write) -> io::Result<()> {
        let folder = self.folder();
        match write {
            Write::Rename { from, to } => {
                // FAT ignores case, so only the kernel knows what the new name would replace.
                if folder.join(to).exists() && !from.eq_ignore_ascii_case(to) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                fs::rename(folder.join(from), folder.join(to))?;
            }
            Write::Remove(name) => fs::remove_file(folder.join(name))?,
            Write::Overwrite { name, content } => {
                let file = fs::File::options().write(true).open(folder.join(name))?;
                file.write_all_at(content, 0)?;
                file.sync_all()?;
            }
            Write::RaiseFlag => {
                return match &self.kind {
                    Kind::Tryboot(flag) => flag.raise(),
                    _ => Err(io::ErrorKind::Unsupported.into()),
                };
            }
        }
        let folder = fs::File::open(folder)?;
        folder.sync_all()?;
        // FAT keeps its tables apart from the folder: flush the whole (small) file system.
        rustix::fs::syncfs(&folder)?;
        Ok(())
    }
}

fn read_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        // A name that is not UTF-8 cannot be one of ours.
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn remount(path: &Path, writable: bool) -> io::Result<()> {
    let keep = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let flags = if writable { keep } else { keep | MountFlags::RDONLY };
    Ok(rustix::mount::mount_remount(path, flags, c"")?)
}

#[cfg(test)]
mod tests;

//! The store's folder on a real file system.
//!
//! Must never leave the folder: the store gives it only names that it made itself.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, statvfs, syncfs};

use super::tree::LinuxTree;
use super::{Disk, Space, Tree};

/// A folder on a real file system.
pub(crate) struct LinuxDisk {
    root: PathBuf,
    fd: OwnedFd,
}

impl LinuxDisk {
    /// Makes the folder where it is missing and opens it.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let fd = open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root: root.to_owned(), fd })
    }
}

impl Disk for LinuxDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.root.join(path))
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.root.join(path))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.root.join(path).try_exists()
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(self.root.join(path))?.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("longer than {limit} bytes")));
        }
        Ok(bytes)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(self.root.join(path))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn flush_all(&self) -> io::Result<()> {
        Ok(syncfs(&self.fd)?)
    }

    fn flush_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(self.root.join(path))?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        gone_is_fine(fs::remove_file(self.root.join(path)))
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let path = self.root.join(path);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => gone_is_fine(fs::remove_dir_all(path)),
            Ok(_) => gone_is_fine(fs::remove_file(path)),
            Err(e) => gone_is_fine(Err(e)),
        }
    }

    fn space(&self) -> io::Result<Space> {
        let stat = statvfs(&self.root)?;
        Ok(Space { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize })
    }

    fn tree(&self, path: &Path) -> io::Result<Box<dyn Tree + '_>> {
        Ok(Box::new(LinuxTree::open(self.root.join(path))?))
    }
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

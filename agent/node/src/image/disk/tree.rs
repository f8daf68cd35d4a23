//! A layer's folder on a real file system, through file descriptors only.
//!
//! Must never follow a symbolic link or leave the folder: each parent is opened with
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, and each name is used relative to its parent.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{self, AtFlags, CWD, Dev, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec};
use rustix::fs::{Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Kind, Meta, Node, Sink, Tree, copy_exactly};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A layer's folder.
pub(crate) struct LinuxTree {
    root: OwnedFd,
    /// The folder that was used last: archives list a folder's entries one after another.
    recent: RefCell<Option<(PathBuf, Rc<OwnedFd>)>>,
}

impl LinuxTree {
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let root = fs::openat(CWD, &path, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Self { root, recent: RefCell::new(None) })
    }

    fn open_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(fs::openat2(&self.root, path, FOLDER, Mode::empty(), resolve)?)
    }

    /// The parent of `path`, opened, and the name in it; the folder itself is `.`.
    fn place(&self, path: &Path) -> io::Result<(Rc<OwnedFd>, OsString)> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or(OsStr::new(".")).to_owned();
        let mut recent = self.recent.borrow_mut();
        if let Some((known, fd)) = recent.as_ref().filter(|(known, _)| known == parent) {
            let _ = known;
            return Ok((fd.clone(), name));
        }
        let fd = Rc::new(self.open_folder(parent)?);
        *recent = Some((parent.to_owned(), fd.clone()));
        Ok((fd, name))
    }

    fn stat(&self, path: &Path) -> io::Result<fs::Stat> {
        let (parent, name) = self.place(path)?;
        Ok(fs::statat(&*parent, &name, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

impl Tree for LinuxTree {
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        let stat = match self.stat(path) {
            Ok(stat) => stat,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound) => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => {
                let (parent, name) = self.place(path)?;
                Kind::Symlink(fs::readlinkat(&*parent, &name, Vec::new())?.into_bytes())
            }
            FileType::CharacterDevice if stat.st_rdev == fs::makedev(0, 0) => Kind::Whiteout,
            _ => Kind::Special,
        }))
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        let stat = self.stat(path)?;
        Ok(Meta {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: u64::try_from(stat.st_mtime).unwrap_or(0),
            xattrs: Vec::new(),
        })
    }

    fn make_dir(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        Ok(fs::mkdirat(&*parent, &name, Mode::from_raw_mode(0o755))?)
    }

    fn make_file(&mut self, path: &Path) -> io::Result<Box<dyn Sink>> {
        let (parent, name) = self.place(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = fs::openat(&*parent, &name, flags, Mode::from_raw_mode(0o600))?;
        Ok(Box::new(File::from(fd)))
    }

    fn make_symlink(&mut self, path: &Path, target: &[u8]) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        Ok(fs::symlinkat(OsStr::from_bytes(target), &*parent, &name)?)
    }

    fn make_link(&mut self, path: &Path, to: &Path) -> io::Result<()> {
        let (old_parent, old_name) = self.place(to)?;
        let (parent, name) = self.place(path)?;
        Ok(fs::linkat(&*old_parent, &old_name, &*parent, &name, AtFlags::empty())?)
    }

    fn make_node(&mut self, path: &Path, node: Node) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        let (kind, device): (_, Dev) = match node {
            Node::Char { major, minor } => (FileType::CharacterDevice, fs::makedev(major, minor)),
            Node::Block { major, minor } => (FileType::BlockDevice, fs::makedev(major, minor)),
            Node::Fifo => (FileType::Fifo, 0),
        };
        Ok(fs::mknodat(&*parent, &name, kind, Mode::from_raw_mode(0o600), device)?)
    }

    fn set_meta(&mut self, path: &Path, meta: &Meta) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
        fs::chownat(&*parent, &name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        let stat = fs::statat(&*parent, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        // A symbolic link has no mode of its own. Nothing else can have replaced it meanwhile: the
        // folder is the store's alone.
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            let mode = Mode::from_raw_mode(meta.mode & 0o7777);
            fs::chmodat(&*parent, &name, mode, AtFlags::empty())?;
        }
        for (attribute, value) in &meta.xattrs {
            set_xattr(parent.as_fd(), &name, attribute, value)?;
        }
        set_mtime(parent.as_fd(), &name, meta.mtime)
    }

    fn set_mtime(&mut self, path: &Path, mtime: u64) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        set_mtime(parent.as_fd(), &name, mtime)
    }

    fn set_xattr(&mut self, path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
        let (parent, file) = self.place(path)?;
        set_xattr(parent.as_fd(), &file, name, value)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        // The folder that is remembered may be in what goes.
        self.recent.replace(None);
        match fs::unlinkat(&*parent, &name, AtFlags::empty()) {
            Err(Errno::ISDIR) => std::fs::remove_dir_all(by_descriptor(parent.as_fd(), &name)),
            other => Ok(other?),
        }
    }
}

fn set_mtime(parent: BorrowedFd<'_>, name: &OsStr, mtime: u64) -> io::Result<()> {
    let time = Timespec { tv_sec: i64::try_from(mtime).unwrap_or(i64::MAX), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Linux 6.13 has `setxattrat`; before it, only a path reaches a name without opening it.
fn set_xattr(parent: BorrowedFd<'_>, name: &OsStr, key: &str, value: &[u8]) -> io::Result<()> {
    let path = by_descriptor(parent, name);
    match fs::lsetxattr(&path, key, value, XattrFlags::empty()) {
        // A file system without user attributes still runs the image; one without file
        // capabilities or whiteouts does not.
        Err(Errno::OPNOTSUPP) if key.starts_with("user.") => Ok(()),
        // Attributes of the user namespace exist on files and folders only.
        Err(Errno::PERM) if key.starts_with("user.") => Ok(()),
        other => Ok(other?),
    }
}

fn by_descriptor(parent: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(name)
}

impl Sink for File {
    fn copy(&mut self, from: &mut dyn Read, length: u64) -> io::Result<()> {
        copy_exactly(from, self, length)
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        Seek::seek(self, SeekFrom::Start(offset)).map(drop)
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }
}

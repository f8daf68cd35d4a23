//! Tells when files or folders change, by inotify. Says only that something changed: whoever
//! listens reads everything again.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// Watches for changes. The descriptor becomes readable when there are any.
pub struct Watch {
    inotify: OwnedFd,
    places: Vec<PathBuf>,
}

impl Watch {
    /// Watches these files and folders, whether or not they exist yet.
    pub fn new(places: Vec<PathBuf>) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let mut watch = Self { inotify, places };
        watch.renew()?;
        Ok(watch)
    }

    /// Takes all news. `true` when there were any; watches are set anew then, because folders may
    /// have come, gone or been replaced.
    pub fn changed(&mut self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        let mut news = false;
        loop {
            match reader.next() {
                Ok(_) => news = true,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if news {
            self.renew()?;
        }
        Ok(news)
    }

    /// Sets the watches. Setting one twice changes nothing; one whose folder is gone is gone too.
    fn renew(&mut self) -> io::Result<()> {
        for place in &self.places {
            // The folder that holds the place tells of its coming, going and replacement.
            let parent = place.parent().unwrap_or(Path::new("/"));
            let mut candidates = vec![place.as_path()];
            candidates.extend(parent.ancestors());
            let mut found = false;
            for path in candidates {
                // Not `CREATE` in the place itself: a file counts when its writer closes it.
                let mut flags = WatchFlags::CLOSE_WRITE
                    | WatchFlags::MOVED_TO
                    | WatchFlags::MOVED_FROM
                    | WatchFlags::DELETE
                    | WatchFlags::DELETE_SELF
                    | WatchFlags::MOVE_SELF;
                if path != place {
                    flags |= WatchFlags::CREATE | WatchFlags::ONLYDIR;
                }
                match inotify::add_watch(&self.inotify, path, flags) {
                    Ok(_) => {
                        found = true;
                        if path != place {
                            break;
                        }
                    }
                    Err(Errno::NOENT | Errno::NOTDIR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if !found {
                return Err(io::Error::from(io::ErrorKind::NotFound));
            }
        }
        Ok(())
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl std::os::fd::AsRawFd for Watch {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.inotify)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn changes_in_a_folder_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("manifests");
        fs::create_dir(&folder).unwrap();
        let mut watch = Watch::new(vec![folder.clone()]).unwrap();
        assert!(!watch.changed().unwrap());
        fs::write(folder.join("a.yaml"), "x").unwrap();
        assert!(watch.changed().unwrap());
        assert!(!watch.changed().unwrap());
        fs::rename(folder.join("a.yaml"), folder.join("b.yaml")).unwrap();
        assert!(watch.changed().unwrap());
        fs::remove_file(folder.join("b.yaml")).unwrap();
        assert!(watch.changed().unwrap());
    }

    #[test]
    fn folder_that_comes_later_is_watched_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("config/manifests");
        let mut watch = Watch::new(vec![folder.clone()]).unwrap();
        for _ in 0..2 {
            fs::create_dir_all(&folder).unwrap();
            // The outer folder came first: the inner one is seen by looking again.
            assert!(watch.changed().unwrap());
            watch.changed().unwrap();
            fs::write(folder.join("a.yaml"), "x").unwrap();
            assert!(watch.changed().unwrap());
            fs::remove_dir_all(dir.path().join("config")).unwrap();
            assert!(watch.changed().unwrap());
            watch.changed().unwrap();
        }
    }

    #[test]
    fn replaced_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("resolv.conf");
        fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(vec![file.clone()]).unwrap();
        for text in ["b", "c"] {
            fs::write(dir.path().join("new"), text).unwrap();
            watch.changed().unwrap();
            fs::rename(dir.path().join("new"), &file).unwrap();
            assert!(watch.changed().unwrap());
        }
    }
}

//! Network namespaces that outlive processes: made in a thread that is thrown away, kept by a bind
//! mount. Never changes the namespace of a thread that lives on.
#![allow(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;

use rustix::mount::UnmountFlags;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Whether a namespace is mounted at `path`.
pub fn exists(path: &Path) -> io::Result<bool> {
    const NSFS_MAGIC: u64 = 0x6e73_6673;
    match rustix::fs::statfs(path) {
        Ok(found) => Ok(found.f_type as u64 == NSFS_MAGIC),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes a network namespace and mounts it at `path`, which must not have one yet. Its folder is
/// made when it is missing.
pub fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // An empty file of an attempt that was cut short serves as well as a new one.
    OpenOptions::new().create(true).append(true).open(path)?;
    in_thread(|| {
        // SAFETY: only the network namespace is unshared; the table of open files stays shared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
        Ok(rustix::mount::mount_bind("/proc/thread-self/ns/net", path)?)
    })
}

/// Unmounts the namespace and removes its folder entry. Twice is harmless.
pub fn remove(path: &Path) -> io::Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH) {
        // Not mounted, or not there at all.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Runs `work` inside the network namespace at `path`.
pub fn within<T: Send>(path: &Path, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let namespace = File::open(path)?;
    in_thread(|| {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    })
}

/// Runs `work` in a thread of its own, whose namespace ends with it. The stack is small, because
/// the agent's memory is.
fn in_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("netns".to_owned())
            .stack_size(128 << 10)
            .spawn_scoped(scope, work)?;
        worker.join().unwrap_or_else(|_| Err(io::Error::other("thread in namespace panicked")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_without_a_namespace_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uid");
        assert!(!exists(&path).unwrap());
        fs::write(&path, "").unwrap();
        assert!(!exists(&path).unwrap());
        assert!(exists(Path::new("/proc/self/ns/net")).unwrap());
    }

    #[test]
    fn removing_twice_is_harmless() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uid");
        fs::write(&path, "").unwrap();
        // Unmounting takes privileges before the kernel looks at the path.
        if rustix::process::geteuid().is_root() {
            remove(&path).unwrap();
            assert!(!path.exists());
            remove(&path).unwrap();
        }
    }
}

//! The shim's sign of life: a record lock (`fcntl`) on a file of its own.
//!
//! Unlike `flock`, such a lock is not inherited by the container that the shim forks, the kernel
//! drops it with the process however it ends, and it tells the holder's process id.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType, Pid};

/// Takes the lock for this process, until the descriptor is closed. Closing any other descriptor of
/// the file gives it up too.
///
/// # Errors
/// `WouldBlock` when another process holds it.
pub fn take(path: &Path) -> std::io::Result<OwnedFd> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file.into()),
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN) => {
            Err(Error::new(ErrorKind::WouldBlock, "another shim runs for this container"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The process that holds the lock. Opens for reading only, which wakes no watcher.
///
/// # Errors
/// The file exists and cannot be read.
pub fn holder(path: &Path) -> std::io::Result<Option<Pid>> {
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let lock = rustix::process::fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))?;
    Ok(lock.and_then(|lock| lock.pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_a_file_that_is_absent_or_was_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        assert_eq!(holder(&path).unwrap(), None);
        drop(take(&path).unwrap());
        assert_eq!(holder(&path).unwrap(), None);
    }

    #[test]
    fn another_process_sees_the_holder_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        std::fs::write(&path, "").unwrap();
        // A process of its own, since one never sees its own locks.
        let script = "import fcntl,sys; f=open(sys.argv[1],'w'); fcntl.lockf(f,fcntl.LOCK_EX); \
                      print('held',flush=True); sys.stdin.read()";
        let Ok(mut child) = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
        else {
            return;
        };
        let mut line = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let pid = holder(&path).unwrap().expect("the lock is held");
        assert_eq!(pid.as_raw_nonzero().get().unsigned_abs(), child.id());
        assert_eq!(take(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(holder(&path).unwrap(), None);
    }
}

//! cgroup v2: the folder of one container, made, watched, emptied and removed.
//!
//! Limits are written by libcontainer, from the specification. Must never touch a cgroup of another
//! container: whoever calls has checked that the folder is still the one that was made.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal};

use super::deadline;

/// Where the unified hierarchy is mounted.
pub const ROOT: &str = "/sys/fs/cgroup";
/// Those that limits are written for.
const CONTROLLERS: &[&str] = &["cpu", "io", "memory", "pids"];

/// The folder of a cgroup given by its path from the hierarchy's root.
pub fn folder(cgroup: &Path) -> PathBuf {
    Path::new(ROOT).join(cgroup.strip_prefix("/").unwrap_or(cgroup))
}

/// The controllers to turn on: wanted, there, and not on yet. Empty when nothing is to be done.
fn missing_controllers(available: &str, enabled: &str) -> String {
    let has = |text: &str, name: &str| text.split_whitespace().any(|word| word == name);
    let missing = CONTROLLERS.iter().filter(|name| has(available, name) && !has(enabled, name));
    missing.map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ")
}

/// A value of a flat keyed file such as `memory.events`.
fn keyed_value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Makes the cgroup and what is above it, with the controllers on all the way down, and returns the
/// inode of its folder.
///
/// # Errors
/// `AlreadyExists` when processes are in it.
pub fn make(cgroup: &Path) -> std::io::Result<u64> {
    let leaf = folder(cgroup);
    let mut current = PathBuf::from(ROOT);
    for component in cgroup.strip_prefix("/").unwrap_or(cgroup).components() {
        let available = std::fs::read_to_string(current.join("cgroup.controllers"))?;
        let control = current.join("cgroup.subtree_control");
        let missing = missing_controllers(&available, &std::fs::read_to_string(&control)?);
        if !missing.is_empty() {
            write(&control, &missing)?;
        }
        current.push(component);
        match std::fs::create_dir(&current) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => other.map_err(|error| with_path(error, &current))?,
        }
    }
    // A leftover's counters (of OOM kills) would be taken for those of the new container.
    if std::fs::metadata(&leaf)?.is_dir() && populated(&leaf)? {
        let message = format!("processes are in cgroup {}", leaf.display());
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    if oom_kills(&leaf) > 0 {
        remove_folders(&leaf)?;
        std::fs::create_dir(&leaf)?;
    }
    inode(&leaf)
}

/// Inode of a cgroup's folder: unique for as long as the machine runs.
///
/// # Errors
/// `NotFound`, mostly.
pub fn inode(folder: &Path) -> std::io::Result<u64> {
    Ok(std::fs::metadata(folder)?.ino())
}

fn write(path: &Path, value: &str) -> std::io::Result<()> {
    let open = OpenOptions::new().write(true).open(path);
    open.and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| with_path(error, path))
}

fn with_path(error: Error, path: &Path) -> Error {
    Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn ignore_absent(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        // A cgroup that is removed meanwhile answers ENODEV.
        Err(error)
            if error.kind() == ErrorKind::NotFound
                || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Kills every process in the cgroup and below it.
///
/// # Errors
/// The cgroup exists and refuses.
pub fn kill(folder: &Path) -> std::io::Result<()> {
    let file = folder.join("cgroup.kill");
    let open = OpenOptions::new().write(true).open(file);
    ignore_absent(open.and_then(|mut file| file.write_all(b"1")))
}

/// How many processes of the cgroup the kernel killed for want of memory.
pub fn oom_kills(folder: &Path) -> u64 {
    let text = std::fs::read_to_string(folder.join("memory.events")).unwrap_or_default();
    keyed_value(&text, "oom_kill").unwrap_or(0)
}

fn populated(folder: &Path) -> std::io::Result<bool> {
    let text = std::fs::read_to_string(folder.join("cgroup.events"))?;
    Ok(keyed_value(&text, "populated") == Some(1))
}

/// Sends `signal` to every process in the cgroup and below it. Frozen meanwhile, so that none can
/// fork away or end and give its number to a stranger.
///
/// # Errors
/// The cgroup exists and refuses, or a process cannot be signalled.
pub fn signal_all(folder: &Path, signal: Signal, until: Instant) -> std::io::Result<()> {
    if signal == Signal::KILL {
        return kill(folder);
    }
    ignore_absent(write(&folder.join("cgroup.freeze"), "1"))?;
    let sent = wait_event(folder, "frozen", 1, until).and_then(|()| {
        for pid in processes(folder)? {
            match rustix::process::kill_process(pid, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    });
    ignore_absent(write(&folder.join("cgroup.freeze"), "0"))?;
    ignore_absent(sent)
}

fn processes(folder: &Path) -> std::io::Result<Vec<Pid>> {
    let text = std::fs::read_to_string(folder.join("cgroup.procs"))?;
    let pids = text.lines().filter_map(|line| line.parse().ok().and_then(Pid::from_raw));
    let mut pids: Vec<Pid> = pids.collect();
    for child in children(folder)? {
        pids.extend(processes(&child)?);
    }
    Ok(pids)
}

fn children(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Waits until a key of `cgroup.events` has this value. The kernel wakes the waiter.
fn wait_event(folder: &Path, key: &str, value: u64, until: Instant) -> std::io::Result<()> {
    let path = folder.join("cgroup.events");
    loop {
        // Opened before it is read: an event after the reading ends the wait.
        let file = std::fs::File::open(&path)?;
        let text = std::io::read_to_string(&file)?;
        if keyed_value(&text, key) == Some(value) {
            return Ok(());
        }
        let mut fds = [PollFd::new(&file, PollFlags::PRI)];
        if deadline::poll(&mut fds, until)? == 0 {
            let message = format!("{} waits for {key} {value} in vain", path.display());
            return Err(Error::new(ErrorKind::TimedOut, message));
        }
    }
}

/// Kills what is in the cgroup and removes it with all below it. Absent is fine.
///
/// # Errors
/// `TimedOut` when a process does not die (it hangs in the kernel).
pub fn destroy(folder: &Path, until: Instant) -> std::io::Result<()> {
    kill(folder)?;
    match wait_event(folder, "populated", 0, until) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    remove_folders(folder)
}

fn remove_folders(folder: &Path) -> std::io::Result<()> {
    match children(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(children) => {
            for child in children {
                remove_folders(&child)?;
            }
        }
    }
    ignore_absent(std::fs::remove_dir(folder)).map_err(|error| with_path(error, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_lie_below_the_mount() {
        assert_eq!(folder(Path::new("/pods/1/web")), Path::new("/sys/fs/cgroup/pods/1/web"));
    }

    #[test]
    fn only_controllers_that_are_there_and_off_are_turned_on() {
        assert_eq!(missing_controllers("cpuset cpu io memory pids", "cpu"), "+io +memory +pids");
        assert_eq!(missing_controllers("cpu memory", "memory cpu"), "");
        assert_eq!(missing_controllers("", ""), "");
    }

    #[test]
    fn keyed_values_are_found_by_the_whole_key() {
        let text = "low 0\noom 4\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(keyed_value(text, "oom_kill"), Some(2));
        assert_eq!(keyed_value(text, "oom"), Some(4));
        assert_eq!(keyed_value(text, "kill"), None);
    }

    #[test]
    fn an_absent_cgroup_is_empty_already() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("none");
        kill(&absent).unwrap();
        destroy(&absent, Instant::now()).unwrap();
        signal_all(&absent, Signal::TERM, Instant::now()).unwrap();
        assert_eq!(oom_kills(&absent), 0);
    }
}

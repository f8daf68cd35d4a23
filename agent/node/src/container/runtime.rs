//! [`Runtime`] for real: spawns a shim for each container, and reads what shims leave in files.
//!
//! Keeps no state of its own beside the ids that are just being created, so that a restarted agent
//! knows as much as the one before it. Must never fork by itself, nor wait for a child that it did
//! not spawn: other threads have theirs.

use std::collections::HashSet;
use std::io::{Error, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify;
use rustix::process::{PidfdFlags, Signal};

use super::control::{self, Answer, Request};
use super::record::{self, Record, ShimDir};
use super::{
    ContainerConfig, ContainerState, Runtime, RuntimeError, cgroup, deadline, liveness, spec,
};

/// A create reads libraries and layers from a slow card.
const CREATE_DEADLINE: Duration = Duration::from_secs(60);
/// For a killed container to be gone, its output to be in the log and its shim to end.
const DELETE_DEADLINE: Duration = Duration::from_secs(10);
/// What is being removed is renamed to this first, so that half of it is never taken for a container.
const REMOVED_PREFIX: &str = ".removed-";

/// Containers by shims.
#[derive(Debug)]
pub struct ShimRuntime {
    program: PathBuf,
    shims: PathBuf,
    containers: PathBuf,
    creating: Mutex<HashSet<String>>,
}

impl ShimRuntime {
    /// `program` is spawned as `<program> shim --dir <shims>/<id>`; on a node `/proc/self/exe`.
    /// `shims` is a folder of this boot (`/run/holm/shims`), its path short enough for a socket's;
    /// `containers` one on a disk (`/data/containers`).
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn open(program: PathBuf, shims: PathBuf, containers: PathBuf) -> std::io::Result<Self> {
        for folder in [&shims, &containers] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let creating = Mutex::default();
        let runtime = ShimRuntime { program, shims, containers, creating };
        runtime.remove_leftovers()?;
        Ok(runtime)
    }

    /// Finishes removals that a crash or a power cut interrupted, and removes what never became a
    /// container.
    fn remove_leftovers(&self) -> std::io::Result<()> {
        let alive = |id: &str| liveness::holder(&ShimDir::new(&self.shims, id).lock());
        for name in names(&self.containers)? {
            let path = self.containers.join(&name);
            let config = path.join(record::CONFIG);
            let damaged = || matches!(record::read::<ContainerConfig>(&config), Ok(None));
            if name.starts_with(REMOVED_PREFIX) || (damaged() && alive(&name)?.is_none()) {
                remove_folder(&path)?;
            }
        }
        for name in names(&self.shims)? {
            let id = name.strip_suffix(".lock").unwrap_or(&name);
            if !self.dir(id).exists() && alive(id)?.is_none() {
                let shim = ShimDir::new(&self.shims, id);
                remove_folder(shim.path())?;
                remove_file(&shim.lock())?;
            }
        }
        Ok(())
    }

    fn dir(&self, id: &str) -> PathBuf {
        self.containers.join(id)
    }

    fn try_create(&self, config: &ContainerConfig) -> std::io::Result<()> {
        let invalid = |text: String| Error::new(ErrorKind::InvalidInput, text);
        spec::check(config).map_err(|error| invalid(error.to_string()))?;
        let dir = self.dir(&config.id);
        if config.dir != dir {
            return Err(invalid(format!("its folder must be {}", dir.display())));
        }
        let shim = ShimDir::new(&self.shims, &config.id);
        let private = |path: &Path| std::fs::DirBuilder::new().mode(0o700).create(path);
        private(&dir)?;
        let made = private(shim.path())
            .and_then(|()| record::write(&dir.join(record::CONFIG), config))
            .and_then(|()| symlink(&dir, shim.container()))
            .and_then(|()| self.spawn(&shim));
        if let Err(error) = made {
            // Its reason counts, not what else goes wrong now.
            let _ = self.try_delete(&config.id);
            return Err(error);
        }
        Ok(())
    }

    fn spawn(&self, shim: &ShimDir) -> std::io::Result<()> {
        let mut child = Command::new(&self.program)
            .arg("shim")
            .arg("--dir")
            .arg(shim.path())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(shim.log())?)
            .spawn()?;
        let answer = child.stdout.take();
        // Ends as soon as it has forked the shim.
        let status = child.wait()?;
        let Some(answer) = answer.filter(|_| status.success()) else {
            return Err(Error::other(format!("shim: {status}: {}", self.last_words(shim))));
        };
        let until = Instant::now() + CREATE_DEADLINE;
        if deadline::poll(&mut [PollFd::new(&answer, PollFlags::IN)], until)? == 0 {
            let seconds = CREATE_DEADLINE.as_secs();
            let text = format!("the shim has not created it within {seconds} s");
            return Err(Error::new(ErrorKind::TimedOut, text));
        }
        match control::receive::<Answer<i32>>(answer) {
            Ok(answer) => answer.map(drop).map_err(Error::from),
            Err(error) => {
                Err(Error::new(error.kind(), format!("{error}: {}", self.last_words(shim))))
            }
        }
    }

    fn last_words(&self, shim: &ShimDir) -> String {
        let text = std::fs::read_to_string(shim.log()).unwrap_or_default();
        text.lines().last().unwrap_or("it said nothing").to_owned()
    }

    /// `Ok(false)`: no shim lives.
    fn order(&self, id: &str, request: &Request) -> std::io::Result<bool> {
        let shim = ShimDir::new(&self.shims, id);
        match control::order(&shim.control(), request) {
            Ok(()) => Ok(true),
            Err(error) if liveness::holder(&shim.lock())?.is_none() => match error.kind() {
                // It ended before, or on the way.
                ErrorKind::NotFound
                | ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof => Ok(false),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn known(&self, id: &str) -> std::io::Result<()> {
        match self.dir(id).join(record::CONFIG).exists() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::NotFound, "there is no such container")),
        }
    }

    fn state(&self, id: &str) -> std::io::Result<ContainerState> {
        let shim = ShimDir::new(&self.shims, id);
        let alive = liveness::holder(&shim.lock())?.is_some();
        let record: Option<Record> = record::read(&shim.record())?;
        let exit = match record::read(&shim.exit())? {
            Some(exit) => Some(exit),
            // Written before the one that the shim's folder has: not to be believed sooner.
            None if alive => None,
            None => record::read(&self.dir(id).join(record::EXIT))?,
        };
        Ok(record::state(alive, record.as_ref(), exit))
    }

    fn try_delete(&self, id: &str) -> std::io::Result<()> {
        let dir = self.dir(id);
        let shim = ShimDir::new(&self.shims, id);
        let until = Instant::now() + DELETE_DEADLINE;
        let config: Option<ContainerConfig> = record::read(&dir.join(record::CONFIG))?;
        let record: Option<Record> = record::read(&shim.record())?;
        let cgroup = config.zip(record).and_then(|(config, record)| {
            let folder = cgroup::folder(&config.cgroup);
            let same = cgroup::inode(&folder).is_ok_and(|inode| inode == record.cgroup_inode);
            same.then_some(folder)
        });
        if let Some(folder) = &cgroup {
            cgroup::kill(folder)?;
        }
        end_shim(&shim, until)?;
        if let Some(folder) = &cgroup {
            cgroup::destroy(folder, until)?;
        }
        let removed = self.containers.join(format!("{REMOVED_PREFIX}{id}"));
        match std::fs::rename(&dir, &removed) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        remove_folder(shim.path())?;
        remove_file(&shim.lock())?;
        remove_folder(&removed)
    }

    fn try_list(&self) -> std::io::Result<Vec<(ContainerConfig, ContainerState)>> {
        let mut containers = Vec::new();
        for name in names(&self.containers)? {
            let being_created =
                || self.creating.lock().unwrap_or_else(PoisonError::into_inner).contains(&name);
            if name.starts_with('.') || being_created() {
                continue;
            }
            let path = self.dir(&name).join(record::CONFIG);
            // Absent: removed meanwhile. Damaged: removed when the agent starts.
            let Some(config) = record::read(&path)? else { continue };
            containers.push((config, self.state(&name)?));
        }
        Ok(containers)
    }

    fn watch(&self) -> std::io::Result<OwnedFd> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        // The locks lie in this folder, and the kernel closes them with the shims.
        inotify::add_watch(&fd, &self.shims, inotify::WatchFlags::CLOSE_WRITE)?;
        Ok(fd)
    }
}

/// Waits for a shim whose container is dead; kills it when it does not end.
fn end_shim(shim: &ShimDir, until: Instant) -> std::io::Result<()> {
    let soft = Instant::now() + deadline::left(until) / 2;
    for (limit, kill) in [(soft, false), (until, true)] {
        let Some(pid) = liveness::holder(&shim.lock())? else { return Ok(()) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            other => other?,
        };
        // The number may have gone to a stranger before the descriptor was opened.
        if liveness::holder(&shim.lock())? != Some(pid) {
            return Ok(());
        }
        if kill {
            match rustix::process::pidfd_send_signal(&pidfd, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if deadline::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], limit)? > 0 {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::TimedOut, "its shim does not end"))
}

fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    std::fs::read_dir(folder)?.map(name).collect()
}

fn remove_file(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove_folder(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::new(error.kind(), format!("{}: {error}", path.display()))),
        Ok(()) => Ok(()),
    }
}

impl Runtime for ShimRuntime {
    fn create(&self, config: &ContainerConfig) -> Result<(), RuntimeError> {
        let creating = || self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match creating().insert(config.id.clone()) {
            true => None,
            false => Some(Err(ErrorKind::AlreadyExists.into())),
        };
        let result = result.unwrap_or_else(|| {
            let result = self.try_create(config);
            creating().remove(&config.id);
            result
        });
        result.map_err(failed("create", &config.id))
    }

    fn start(&self, id: &str) -> Result<(), RuntimeError> {
        let started = self.known(id).and_then(|()| match self.order(id, &Request::Start)? {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::NotFound, "it has ended already")),
        });
        started.map_err(failed("start", id))
    }

    fn signal(&self, id: &str, signal: i32, all: bool) -> Result<(), RuntimeError> {
        let request = Request::Signal { number: signal, all };
        let sent = self.known(id).and_then(|()| self.order(id, &request).map(drop));
        sent.map_err(failed("signal", id))
    }

    fn delete(&self, id: &str) -> Result<(), RuntimeError> {
        self.try_delete(id).map_err(failed("delete", id))
    }

    fn remove_cgroup(&self, cgroup: &Path) -> Result<(), RuntimeError> {
        let destroyed = cgroup::destroy(&cgroup::folder(cgroup), Instant::now() + DELETE_DEADLINE);
        destroyed.map_err(failed("remove the cgroup of", &cgroup.display().to_string()))
    }

    fn list(&self) -> Result<Vec<(ContainerConfig, ContainerState)>, RuntimeError> {
        self.try_list().map_err(failed("list", ""))
    }

    fn events(&self) -> Result<OwnedFd, RuntimeError> {
        self.watch().map_err(failed("watch", ""))
    }
}

fn failed(operation: &'static str, id: &str) -> impl FnOnce(Error) -> RuntimeError {
    let id = id.to_owned();
    move |source| RuntimeError { operation, id, source }
}

#[cfg(test)]
mod tests;

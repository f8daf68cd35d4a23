//! Starts a service's process: own session, own cgroup, its output in a pipe.
//! Blocks only as long as exec does, which reads a page of the verified root.
#![allow(unsafe_code)]

use super::spec::{Name, Spec};
use crate::syscalls::signals;
use rustix::io::FdFlags;
use rustix::process::Pid;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Where services send their notifications.
pub(crate) const NOTIFY_SOCKET: &str = "/run/holm/notify";
/// The folder of the services' cgroups.
pub(crate) const CGROUPS: &str = "/sys/fs/cgroup/holm";

/// What a service is told by its environment, beside its own notifications.
pub(crate) type Environment = Vec<(&'static str, String)>;

/// Starts the service and gives its process. `output` gets what it writes; none
/// leaves it this process's console. `inherited` stay open in the service.
pub(crate) fn launch(
    name: Name,
    spec: &Spec,
    output: Option<&OwnedFd>,
    environment: &Environment,
    inherited: &[&OwnedFd],
) -> std::io::Result<Pid> {
    let mut command = Command::new(spec.program);
    command.args(spec.arguments).env_clear().stdin(Stdio::null());
    command.env("PATH", "/usr/bin:/usr/sbin").env("HOME", "/").env("NOTIFY_SOCKET", NOTIFY_SOCKET);
    if let Some(limit) = spec.watchdog {
        command.env("WATCHDOG_USEC", limit.as_micros().to_string());
    }
    command.envs(environment.iter().map(|(key, value)| (*key, value.as_str())));
    if let Some(output) = output {
        command.stdout(output.try_clone()?).stderr(output.try_clone()?);
    }
    let procs = format!("{CGROUPS}/{}/cgroup.procs", name.text());
    let score = spec.oom_score_adjust.to_string();
    let inherited: Vec<RawFd> = inherited.iter().map(|fd| fd.as_raw_fd()).collect();
    let setup = move || {
        for &descriptor in &inherited {
            // SAFETY: the parent keeps the descriptor open until this child has
            // its own copy of it, which is what is changed here.
            let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
            rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        // None of these keeps a service from running.
        let _ = fs::write(&procs, "0");
        let _ = fs::write("/proc/self/oom_score_adj", &score);
        let _ = rustix::process::setsid();
        Ok(())
    };
    signals::unblock_in(&mut command);
    // SAFETY: between fork and exec the closure may do what is safe after a fork
    // of a single-threaded process; PID 1 never starts a thread.
    unsafe { command.pre_exec(setup) };
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

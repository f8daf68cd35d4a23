//! Stage one: PID 1 of the initramfs. Reaches the verified root and becomes
//! stage two. Does nothing that can block itself: a child loads modules, waits
//! for the disk and mounts, under a deadline.
//! Never hangs and never opens a shell: what fails is said, then the node reboots.

pub(crate) mod root;
mod switch;

use crate::clock::{Moment, now, timeout};
use crate::cmdline::Cmdline;
use crate::kmsg;
use crate::mounts;
use crate::task::{Outcome, Task};
use crate::watchdog::Watchdog;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{WaitOptions, WaitStatus, waitpid};
use rustix::system::{RebootCommand, reboot};
use std::convert::Infallible;
use std::time::Duration;

/// Says that this root is the initramfs.
pub(crate) const MARKER: &str = "/etc/holm-initramfs";
/// Where the child mounts the root.
pub(crate) const NEW_ROOT: &str = "/sysroot";

/// Why stage one could not go on.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot mount {0}: {1}")]
    Mount(&'static str, rustix::io::Errno),
    #[error("cannot start the child that prepares the root: {0}")]
    Spawn(std::io::Error),
    #[error("{0}")]
    Root(String),
    #[error("no root after {0} s")]
    Deadline(u64),
    #[error(transparent)]
    Switch(#[from] switch::Error),
}

/// Runs stage one. Comes back only when the reboot itself was refused.
pub(crate) fn main() {
    let started = now();
    let mounted = mounts::early();
    kmsg::lift_rate_limit();
    mounts::hurry_grace_periods(true);
    let cmdline = Cmdline::read().unwrap_or_default();
    let result = match mounted {
        Ok(()) => run(&cmdline, started),
        Err((target, errno)) => Err(Error::Mount(target, errno)),
    };
    let Err(error) = result;
    let delay = cmdline.number("holm.emergency-delay", 15).clamp(10, 30);
    kmsg::announce(&format!("phase root failed after {} ms: {error}", since(started)));
    kmsg::announce(&format!("stage one cannot go on; rebooting in {delay} s"));
    wait(now() + Duration::from_secs(delay));
    keep_panics();
    rustix::fs::sync();
    // A panic, where the kernel allows it: its record tells the next boot, of the other slot if this
    // was a trial, why this one failed. The kernel restarts after it.
    let _ = std::fs::write("/proc/sysrq-trigger", "c");
    let _ = reboot(RebootCommand::Restart);
}

/// A good boot does not wait for the module that keeps panics; this one needs it.
fn keep_panics() {
    let deadline = now() + Duration::from_secs(10);
    if let Ok(mut task) = Task::start("pstore", [], deadline) {
        while let (true, None) = step(&mut task, deadline) {}
    }
}

fn run(cmdline: &Cmdline, started: Moment) -> Result<Infallible, Error> {
    let limit = cmdline.number("holm.root-timeout", 60);
    let deadline = now() + Duration::from_secs(limit);
    let mut task = Task::start("root", [], deadline).map_err(Error::Spawn)?;
    let mut watchdog = None;
    let mut root_started = None;
    let outcome = loop {
        let (more, ended) = step(&mut task, deadline);
        // The child speaks once the named modules, the watchdog's among them, are in.
        if root_started.is_none() && !task.said().is_empty() {
            kmsg::announce(&format!("phase initramfs took {} ms", since(started)));
            root_started = Some(now());
            watchdog = Watchdog::open(cmdline);
        }
        if let Some(status) = ended {
            break task.finish(status);
        }
        if !more {
            return Err(Error::Deadline(limit));
        }
    };
    let answer = Answer::read(outcome).map_err(Error::Root)?;
    kmsg::announce(&format!("phase root took {} ms", since(root_started.unwrap_or(started))));
    Ok(switch::into_new_root(&answer.disk, watchdog)?)
}

/// Waits for the child to speak or end; whether there is time left, and the
/// child's status when it has ended.
fn step(task: &mut Task, deadline: Moment) -> (bool, Option<WaitStatus>) {
    let left = timeout(deadline, now());
    let talking = {
        let mut fds = [PollFd::new(&*task, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&left));
        task.listen()
    };
    // The pipe is closed at the child's end, so this wait is as good as over.
    let options = if talking { WaitOptions::NOHANG } else { WaitOptions::empty() };
    let ended = waitpid(Some(task.pid), options).ok().flatten().map(|(_, status)| status);
    (now() < deadline, ended)
}

/// What the child found.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    disk: String,
}

impl Answer {
    fn read(outcome: Outcome) -> Result<Self, String> {
        let last = outcome.text.lines().last().unwrap_or_default();
        match last.strip_prefix("root on ") {
            Some(disk) if outcome.succeeded => Ok(Self { disk: disk.to_owned() }),
            _ => Err(last.to_owned()),
        }
    }
}

fn since(start: Moment) -> u128 {
    now().since(start).as_millis()
}

/// Nothing is awaited here but the time that a person has to read the console.
fn wait(deadline: Moment) {
    while now() < deadline {
        let _ = poll(&mut [], Some(&timeout(deadline, now())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str, succeeded: bool) -> Outcome {
        Outcome { text: text.into(), succeeded }
    }

    #[test]
    fn answer_names_the_disk() {
        let answer = Answer::read(outcome("modules loaded\nroot on vda", true));
        assert_eq!(answer, Ok(Answer { disk: "vda".into() }));
    }

    #[test]
    fn failure_is_the_last_thing_said() {
        let answer = Answer::read(outcome("modules loaded\nno partition root-a", false));
        assert_eq!(answer, Err("no partition root-a".into()));
        assert!(Answer::read(outcome("root on vda", false)).is_err());
    }
}

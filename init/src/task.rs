//! Work that may block, done by a child that runs this same binary: PID 1 only
//! starts it, collects what it says and hears how it ended.
//! The child's standard output is its answer; its errors go there as text too.

use crate::clock::Moment;
use crate::syscalls::signals;
use rustix::process::{Pid, WaitStatus};
use std::ffi::OsString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout, Command, Stdio};

/// An answer longer than this is cut off.
const LONGEST_ANSWER: usize = 32 * 1024;

/// A running task.
pub(crate) struct Task {
    /// Its process.
    pub(crate) pid: Pid,
    /// When it counts as hung.
    pub(crate) deadline: Moment,
    output: ChildStdout,
    answer: Vec<u8>,
    silent: bool,
    // Dropping a child neither waits for nor kills it: PID 1 reaps everything.
    _child: Child,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What it answered; when it failed, why.
    pub(crate) text: String,
    /// Whether it ended with status 0.
    pub(crate) succeeded: bool,
}

impl Task {
    /// Starts the task `name` with `arguments`.
    pub(crate) fn start(
        name: &str,
        arguments: impl IntoIterator<Item = OsString>,
        deadline: Moment,
    ) -> std::io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.arg("task").arg(name).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        signals::unblock_in(&mut command);
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        rustix::io::ioctl_fionbio(&output, true)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(Self { pid, deadline, output, answer: Vec::new(), silent: false, _child: child })
    }

    /// Takes what the task has said since; whether it may say more.
    pub(crate) fn listen(&mut self) -> bool {
        self.silent = self.silent || !self.read();
        !self.silent
    }

    /// Whether it will say no more: then there is no use in waiting for its pipe.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0u8; 4096];
        loop {
            match self.output.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    let room = LONGEST_ANSWER.saturating_sub(self.answer.len());
                    self.answer.extend_from_slice(&buffer[..length.min(room)]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }

    /// What it has said up to now.
    pub(crate) fn said(&self) -> &[u8] {
        &self.answer
    }

    /// The outcome, once the process has been reaped with `status`.
    pub(crate) fn finish(mut self, status: WaitStatus) -> Outcome {
        self.listen();
        let mut text = String::from_utf8_lossy(&self.answer).trim().to_owned();
        let succeeded = status.exit_status() == Some(0);
        if let (false, Some(signal)) = (succeeded, status.terminating_signal()) {
            text = format!("{text} (ended by signal {signal})").trim().to_owned();
        }
        if !succeeded && text.is_empty() {
            text = format!("no reason given, status {}", status.exit_status().unwrap_or(-1));
        }
        Outcome { text, succeeded }
    }
}

impl AsFd for Task {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }
}

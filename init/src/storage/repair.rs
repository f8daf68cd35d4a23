//! Checks and repairs a file system with e2fsck, in two steps: what is safe to
//! repair without asking, then everything. Runs in a child of PID 1.

use std::path::Path;
use std::process::{Command, Stdio};

const PROGRAM: &str = "/usr/sbin/e2fsck";

/// How far a repair goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Only what cannot lose anything (`-p`).
    Safe,
    /// Whatever makes the file system whole again (`-y`).
    Full,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was wrong.
    Clean,
    /// Errors were repaired.
    Repaired,
    /// Errors are left, or the check could not be made: the exit status.
    Failed(i32),
    /// e2fsck could not be run.
    NotRun(String),
}

impl Verdict {
    /// From e2fsck's exit status, a sum of flags (see its manual).
    fn from_status(status: i32) -> Self {
        match status {
            0 => Self::Clean,
            // 1: corrected; 2: and the system should be rebooted, which is for a
            // mounted root and not for us.
            1..=3 => Self::Repaired,
            other => Self::Failed(other),
        }
    }

    /// Whether the file system may be mounted.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Self::Clean | Self::Repaired)
    }
}

/// Runs e2fsck over `device`, which must not be mounted.
pub(crate) fn run(device: &Path, depth: Depth) -> Verdict {
    let how = match depth {
        Depth::Safe => "-p",
        Depth::Full => "-fy",
    };
    // Its words go nowhere but into the kernel's log, through our own error.
    let done = Command::new(PROGRAM)
        .arg(how)
        .arg(device)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match done {
        Ok(status) => Verdict::from_status(status.code().unwrap_or(-1)),
        Err(error) => Verdict::NotRun(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_status_is_judged_as_the_manual_says() {
        assert_eq!(Verdict::from_status(0), Verdict::Clean);
        assert_eq!(Verdict::from_status(1), Verdict::Repaired);
        assert_eq!(Verdict::from_status(3), Verdict::Repaired);
        assert_eq!(Verdict::from_status(4), Verdict::Failed(4));
        assert_eq!(Verdict::from_status(12), Verdict::Failed(12));
        assert_eq!(Verdict::from_status(-1), Verdict::Failed(-1));
        assert!(!Verdict::NotRun("not found".into()).is_good());
    }
}

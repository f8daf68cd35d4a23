//! The decisions on the way to a mounted file system: when to check, how deep,
//! and when to give up. Pure; `mod.rs` performs the steps.

use super::repair::{Depth, Verdict};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Check and repair.
    Repair(Depth),
    /// Mount; the kernel replays the journal.
    Mount,
    /// It is mounted.
    Done,
    /// It cannot be saved without losing what is on it.
    GiveUp(String),
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing has been done yet; whether the superblock is there and good.
    Looked {
        /// There is an ext4 superblock.
        readable: bool,
        /// It says that errors were found.
        has_errors: bool,
    },
    /// A repair ended.
    Repaired(Depth, Verdict),
    /// The mount succeeded, or why it did not.
    Mounted(Result<(), String>),
}

/// How far the repair of one file system has come.
///
/// | has happened             | next                                   |
/// |--------------------------|----------------------------------------|
/// | looked, good             | mount                                  |
/// | looked, bad or errors    | safe repair                            |
/// | safe repair good         | mount                                  |
/// | safe repair not good     | full repair                            |
/// | full repair (any)        | mount: the kernel has the last word    |
/// | mount failed             | full repair, if there was none, or give up |
#[derive(Debug, Clone, Default)]
pub(crate) struct Attach {
    repaired_fully: bool,
    last_verdict: Option<Verdict>,
}

impl Attach {
    /// The next step.
    pub(crate) fn next(&mut self, outcome: Outcome) -> Step {
        match outcome {
            Outcome::Looked { readable: true, has_errors: false } => Step::Mount,
            Outcome::Looked { .. } => Step::Repair(Depth::Safe),
            Outcome::Repaired(depth, verdict) => {
                let good = verdict.is_good();
                self.last_verdict = Some(verdict);
                if depth == Depth::Full {
                    self.repaired_fully = true;
                }
                if good || depth == Depth::Full { Step::Mount } else { Step::Repair(Depth::Full) }
            }
            Outcome::Mounted(Ok(())) => Step::Done,
            Outcome::Mounted(Err(_)) if !self.repaired_fully => Step::Repair(Depth::Full),
            Outcome::Mounted(Err(reason)) => Step::GiveUp(match &self.last_verdict {
                Some(Verdict::Failed(status)) => {
                    format!("{reason}; e2fsck -fy ended with status {status}")
                }
                Some(Verdict::NotRun(why)) => format!("{reason}; e2fsck could not be run: {why}"),
                _ => format!("{reason}, even after e2fsck -fy"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: Outcome = Outcome::Looked { readable: true, has_errors: false };
    const ERRORS: Outcome = Outcome::Looked { readable: true, has_errors: true };

    #[test]
    fn good_file_system_is_only_mounted() {
        let mut attach = Attach::default();
        assert_eq!(attach.next(GOOD), Step::Mount);
        assert_eq!(attach.next(Outcome::Mounted(Ok(()))), Step::Done);
    }

    #[test]
    fn errors_are_repaired_before_the_mount() {
        let mut attach = Attach::default();
        assert_eq!(attach.next(ERRORS), Step::Repair(Depth::Safe));
        let repaired = Outcome::Repaired(Depth::Safe, Verdict::Repaired);
        assert_eq!(attach.next(repaired), Step::Mount);
    }

    #[test]
    fn what_safe_repair_leaves_is_repaired_fully() {
        let mut attach = Attach::default();
        attach.next(Outcome::Looked { readable: false, has_errors: false });
        let failed = Outcome::Repaired(Depth::Safe, Verdict::Failed(4));
        assert_eq!(attach.next(failed), Step::Repair(Depth::Full));
        let repaired = Outcome::Repaired(Depth::Full, Verdict::Repaired);
        assert_eq!(attach.next(repaired), Step::Mount);
    }

    #[test]
    fn refused_mount_is_repaired_fully_once() {
        let mut attach = Attach::default();
        attach.next(GOOD);
        let refused = Outcome::Mounted(Err("bad".into()));
        assert_eq!(attach.next(refused.clone()), Step::Repair(Depth::Full));
        attach.next(Outcome::Repaired(Depth::Full, Verdict::Failed(8)));
        let step = attach.next(refused);
        assert_eq!(step, Step::GiveUp("bad; e2fsck -fy ended with status 8".into()));
    }

    #[test]
    fn missing_e2fsck_is_named() {
        let mut attach = Attach::default();
        attach.next(GOOD);
        attach.next(Outcome::Mounted(Err("bad".into())));
        attach.next(Outcome::Repaired(Depth::Full, Verdict::NotRun("not found".into())));
        let Step::GiveUp(reason) = attach.next(Outcome::Mounted(Err("bad".into()))) else {
            panic!("it goes on");
        };
        assert!(reason.contains("could not be run: not found"), "{reason}");
    }

    proptest! {
        /// However the steps end, it ends, after at most two repairs and mounts.
        #[test]
        fn it_ends(readable: bool, has_errors: bool, statuses in prop::collection::vec(0i32..16, 4), mounts in prop::collection::vec(any::<bool>(), 4)) {
            let mut attach = Attach::default();
            let mut step = attach.next(Outcome::Looked { readable, has_errors });
            let (mut repairs, mut tries) = (0, 0);
            loop {
                step = match step {
                    Step::Repair(depth) => {
                        repairs += 1;
                        let verdict = match statuses[repairs - 1] { 0 => Verdict::Clean, s => Verdict::Failed(s) };
                        attach.next(Outcome::Repaired(depth, verdict))
                    }
                    Step::Mount => {
                        tries += 1;
                        let result = if mounts[tries - 1] { Ok(()) } else { Err("no".to_owned()) };
                        attach.next(Outcome::Mounted(result))
                    }
                    Step::Done | Step::GiveUp(_) => break,
                };
                prop_assert!(repairs <= 2 && tries <= 2);
            }
        }
    }
}

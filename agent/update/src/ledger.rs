//! What a node remembers about updates, across reboots, on the state partition: the attempt that is
//! under way, how the last ones ended, and which versions are barred. Pure. A lost ledger costs
//! history, never a bootable node: what boots is on the boot medium.

use serde::{Deserialize, Serialize};

use crate::slot::Slot;

/// Ended attempts that are remembered.
const MOST_OUTCOMES: usize = 8;
/// Barred versions that are remembered; the oldest goes first.
const MOST_BARRED: usize = 32;

/// Everything that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Ledger {
    /// A person wants nothing to be installed or tried by itself.
    pub held: bool,
    /// This node's place in waves, drawn once.
    pub seed: Option<u16>,
    /// The attempt that is under way.
    pub attempt: Option<Attempt>,
    /// The version of the complete, proven system in the slot that is not committed, if any.
    pub spare: Option<String>,
    /// Versions that are not installed again unless told by name, the latest last.
    pub barred: Vec<Outcome>,
    /// How attempts ended, the latest last.
    pub outcomes: Vec<Outcome>,
}

/// An update between its first write and its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attempt {
    /// The version that is installed.
    pub version: String,
    /// The version that ran when it began.
    pub from: String,
    /// Where it is installed.
    pub slot: Slot,
    /// How far it is.
    pub stage: Stage,
    /// How often the trial was armed.
    pub arms: u32,
    /// Set when the trial failed, before the reboot that ends it.
    pub verdict: Option<Verdict>,
    /// A person asked to go back: nothing was written, the slot holds what it held.
    #[serde(default)]
    pub rollback: bool,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The spare slot is being written.
    Writing,
    /// It is written and verified.
    Staged,
    /// It is tried.
    Trial,
}

/// Why a trial failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// What kind of failure.
    pub code: Code,
    /// The check that failed, such as `agent` or `network`.
    pub check: String,
    /// In words.
    pub reason: String,
    /// The end of the kernel's log, where there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kernel_log: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Proven and committed.
    Committed,
    /// The slot could not be written or did not verify. No verdict on the version.
    NotWritten,
    /// Three trials ended without a verdict. No verdict on the version.
    NoVerdict,
    /// A health check failed.
    CheckFailed,
    /// The kernel panicked, or PID 1 died.
    Panic,
    /// The hardware watchdog reset the machine.
    Watchdog,
    /// PID 1 gave the boot up.
    BootFailed,
    /// A person went back.
    RolledBack,
}

impl Code {
    /// Whether the version is to blame, so that it is barred.
    pub fn bars(self) -> bool {
        match self {
            Self::Committed | Self::NotWritten | Self::NoVerdict => false,
            Self::CheckFailed
            | Self::Panic
            | Self::Watchdog
            | Self::BootFailed
            | Self::RolledBack => true,
        }
    }
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// The version that was tried.
    pub version: String,
    /// The version that ran before.
    pub from: String,
    /// What came of it, with the reason.
    pub verdict: Verdict,
}

impl Ledger {
    /// The outcome that bars `version`.
    pub fn bar_of(&self, version: &str) -> Option<&Outcome> {
        self.barred.iter().find(|outcome| outcome.version == version)
    }

    /// How the last attempt ended.
    pub fn last(&self) -> Option<&Outcome> {
        self.outcomes.last()
    }

    /// Ends the attempt.
    pub(crate) fn end(&mut self, attempt: Attempt, verdict: Verdict) {
        let outcome = Outcome { version: attempt.version, from: attempt.from, verdict };
        self.barred.retain(|barred| barred.version != outcome.version);
        if outcome.verdict.code.bars() {
            self.barred.push(outcome.clone());
        }
        self.outcomes.push(outcome);
        drop_oldest(&mut self.barred, MOST_BARRED);
        drop_oldest(&mut self.outcomes, MOST_OUTCOMES);
        self.attempt = None;
    }
}

fn drop_oldest(outcomes: &mut Vec<Outcome>, most: usize) {
    outcomes.drain(..outcomes.len().saturating_sub(most));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(version: &str) -> Attempt {
        Attempt {
            version: version.into(),
            from: "1".into(),
            slot: Slot::B,
            stage: Stage::Trial,
            arms: 1,
            verdict: None,
            rollback: false,
        }
    }

    fn verdict(code: Code) -> Verdict {
        Verdict {
            code,
            check: "network".into(),
            reason: "no address".into(),
            kernel_log: String::new(),
        }
    }

    #[test]
    fn only_a_verdict_bars_a_version() {
        let mut ledger = Ledger::default();
        for code in [Code::NoVerdict, Code::NotWritten] {
            ledger.end(attempt("2"), verdict(code));
            assert_eq!(ledger.bar_of("2"), None, "{code:?}");
        }
        ledger.end(attempt("2"), verdict(Code::CheckFailed));
        assert_eq!(ledger.bar_of("2").map(|bar| bar.verdict.code), Some(Code::CheckFailed));
        assert_eq!(ledger.bar_of("3"), None);
    }

    #[test]
    fn version_that_proves_itself_after_all_is_free_again() {
        let mut ledger = Ledger::default();
        ledger.end(attempt("2"), verdict(Code::Panic));
        ledger.end(attempt("2"), verdict(Code::Committed));
        assert_eq!(ledger.bar_of("2"), None);
        assert_eq!(ledger.outcomes.len(), 2);
    }

    #[test]
    fn memory_of_failures_is_bounded_and_keeps_the_latest() {
        let mut ledger = Ledger::default();
        for number in 0..100 {
            ledger.end(attempt(&number.to_string()), verdict(Code::Panic));
        }
        assert_eq!(ledger.barred.len(), MOST_BARRED);
        assert_eq!(ledger.outcomes.len(), MOST_OUTCOMES);
        assert!(ledger.bar_of("99").is_some() && ledger.bar_of("0").is_none());
    }
}

//! The state machine of updates: what is remembered and what the boot medium says, and an event,
//! give what to remember and what to do. Pure.
//!
//! `other` is the committed slot while `slot` is the attempt's.
//!
//! | attempt | event                               | next             | effects, in order                 |
//! |---------|-------------------------------------|------------------|-----------------------------------|
//! | none    | install, version not barred         | writing          | record, disable slot, write       |
//! | none    | roll back, spare is complete        | trial, arms 1    | record, arm, reboot               |
//! | none    | boot in a slot that is not committed| trial            | record, check                     |
//! | none    | boot, a trial is armed              | none             | disable it                        |
//! | none    | healthy, nothing is committed       | none             | commit slot                       |
//! | writing | boot                                | writing          | disable slot, write (goes on)     |
//! | writing | written and verified                | staged           | record                            |
//! | writing | not written                         | none             | record (bars nothing)             |
//! | staged  | apply                               | trial, arms 1    | record, arm, reboot               |
//! | staged  | install of another version          | writing          | record, disable slot, write       |
//! | writing, staged | abandon                     | none             | record, disable slot              |
//! | trial   | boot in slot, not committed         | trial            | check                             |
//! | trial   | healthy                             | none             | commit slot, record               |
//! | trial   | boot in slot, committed             | none             | record: power went after the commit |
//! | trial   | unhealthy                           | trial, verdict   | record, reboot                    |
//! | trial   | undecided                           | trial            | reboot                            |
//! | trial   | boot in other, verdict or evidence  | none, barred     | record, disable slot              |
//! | trial   | boot in other, none, arms < 3       | trial, arms + 1  | record, arm, reboot               |
//! | trial   | boot in other, none, arms = 3       | none             | record, disable slot              |
//! | trial   | not armed (the medium refused)      | none             | record (bars nothing)             |
//!
//! What is recorded before a step makes the step happen again after a power cut; what is recorded
//! after it is found again on the medium. A committed slot is never armed, so never counted down.

use crate::boot_path::Change;
use crate::ledger::{Attempt, Code, Ledger, Stage, Verdict};
use crate::slot::{Slot, Slots};

/// How often a trial that ends without a verdict is armed.
pub const MOST_ARMS: u32 = 3;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The node has booted.
    Booted {
        /// The version that runs.
        version: String,
        /// What the last boot left behind when it ended badly: a panic's record, a watchdog's
        /// flag, PID 1's note. `None` when the power went, or all was well.
        evidence: Option<Verdict>,
    },
    /// A version is to be installed.
    Install {
        /// The version.
        version: String,
        /// The version that runs.
        from: String,
        /// A person named it: a bar does not hold.
        by_name: bool,
    },
    /// The spare slot is written and verified.
    Written,
    /// It could not be.
    NotWritten(String),
    /// The staged version is to be tried now.
    Apply,
    /// The trial could not be armed.
    NotArmed(String),
    /// What was being written or is staged is given up.
    Abandon(String),
    /// All checks of the trial held for the time that they have to.
    Healthy,
    /// One did not.
    Unhealthy(Verdict),
    /// The trial can prove nothing, for a reason that is not the version's.
    Undecided,
    /// A person wants the version before.
    RollBack {
        /// The version that runs.
        from: String,
    },
}

/// What to do. In order; a record is durable before the next effect begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Keep the ledger.
    Record,
    /// Change what boots next.
    Change(Change),
    /// Write this slot, or go on with it. [`Event::Written`] or [`Event::NotWritten`] follows.
    Write(Slot),
    /// Begin the checks of a trial. [`Event::Healthy`] or [`Event::Unhealthy`] follows.
    Check,
    /// Start again, in order.
    Reboot,
}

/// Why an event is refused. Nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another attempt is under way.
    #[error("an update to {version} is under way ({stage:?}): wait for its end, or abandon it")]
    UnderWay {
        /// Its version.
        version: String,
        /// How far it is.
        stage: Stage,
    },
    /// The version failed before.
    #[error("version {version} is barred ({code:?}, {reason}): name it to try it again")]
    Barred {
        /// The version.
        version: String,
        /// How it failed.
        code: Code,
        /// Why.
        reason: String,
    },
    /// The slot that runs has not proved itself: the spare slot is what it would fall back to.
    #[error("this boot is a trial: the other slot is needed until it ends")]
    OnTrial,
    /// There is nothing to apply, abandon or judge.
    #[error("no update is {0}")]
    Nothing(&'static str),
    /// The spare slot holds nothing that was proven.
    #[error("the other slot holds no complete system to go back to")]
    NoSpare,
}

/// Takes in an event. The effects are empty when there is nothing to do.
///
/// # Errors
/// See [`Refusal`].
pub fn step(
    ledger: &Ledger,
    slots: &Slots,
    event: Event,
) -> Result<(Ledger, Vec<Effect>), Refusal> {
    let mut next = ledger.clone();
    let effects = match event {
        Event::Booted { version, evidence } => booted(&mut next, slots, version, evidence),
        Event::Install { version, from, by_name } => {
            install(&mut next, slots, version, from, by_name)?
        }
        Event::RollBack { from } => roll_back(&mut next, slots, from)?,
        Event::Written => {
            at(&mut next, Stage::Writing, "being written")?.stage = Stage::Staged;
            vec![Effect::Record]
        }
        Event::NotWritten(reason) => {
            let attempt = at(&mut next, Stage::Writing, "being written")?.clone();
            next.end(attempt, verdict(Code::NotWritten, "write", reason));
            vec![Effect::Record]
        }
        Event::Apply => {
            let attempt = at(&mut next, Stage::Staged, "staged")?;
            if slots.default != Some(slots.running) {
                return Err(Refusal::OnTrial);
            }
            attempt.stage = Stage::Trial;
            attempt.arms = 1;
            arm(attempt.slot)
        }
        Event::NotArmed(reason) => {
            let attempt = at(&mut next, Stage::Trial, "being tried")?.clone();
            next.end(attempt, verdict(Code::NotWritten, "arm", reason));
            vec![Effect::Record]
        }
        Event::Abandon(reason) => {
            let attempt = next.attempt.clone().filter(|attempt| attempt.stage != Stage::Trial);
            let attempt = attempt.ok_or(Refusal::Nothing("being written or staged"))?;
            let slot = attempt.slot;
            next.end(attempt, verdict(Code::NotWritten, "abandoned", reason));
            vec![Effect::Record, Effect::Change(Change::Disable(slot))]
        }
        Event::Healthy if next.attempt.is_none() && slots.default.is_none() => {
            vec![Effect::Change(Change::Commit(slots.running))]
        }
        Event::Healthy => {
            let attempt = at(&mut next, Stage::Trial, "being tried")?.clone();
            let slot = attempt.slot;
            if slots.running != slot {
                return Err(Refusal::Nothing("being tried in this boot"));
            }
            succeed(&mut next, attempt);
            vec![Effect::Change(Change::Commit(slot)), Effect::Record]
        }
        Event::Unhealthy(verdict) => {
            let running = slots.running;
            let attempt = at(&mut next, Stage::Trial, "being tried")?;
            if attempt.slot != running {
                return Err(Refusal::Nothing("being tried in this boot"));
            }
            attempt.verdict = Some(verdict);
            vec![Effect::Record, Effect::Reboot]
        }
        Event::Undecided => {
            at(&mut next, Stage::Trial, "being tried")?;
            vec![Effect::Reboot]
        }
    };
    Ok((next, effects))
}

fn booted(
    ledger: &mut Ledger,
    slots: &Slots,
    version: String,
    evidence: Option<Verdict>,
) -> Vec<Effect> {
    match ledger.attempt.clone() {
        // The ledger was lost during the trial: the medium still knows that it is one.
        None if slots.on_trial() => {
            ledger.attempt = Some(Attempt {
                version,
                from: String::new(),
                slot: slots.running,
                stage: Stage::Trial,
                arms: MOST_ARMS,
                verdict: None,
                rollback: false,
            });
            vec![Effect::Record, Effect::Check]
        }
        None => disarm(slots),
        Some(attempt) if attempt.slot == slots.running => match slots.default {
            default if default != Some(slots.running) => {
                // A verdict of this very boot is not there yet: the reboot after it was cut short.
                vec![if attempt.verdict.is_some() { Effect::Reboot } else { Effect::Check }]
            }
            _ if attempt.stage == Stage::Trial => {
                succeed(ledger, attempt);
                vec![Effect::Record]
            }
            // Somebody committed the slot behind our back: it runs, so it is not written to.
            _ => {
                ledger.attempt = None;
                vec![Effect::Record]
            }
        },
        Some(attempt) => match attempt.stage {
            Stage::Writing => {
                vec![Effect::Change(Change::Disable(attempt.slot)), Effect::Write(attempt.slot)]
            }
            Stage::Staged => disarm(slots),
            Stage::Trial => fell_back(ledger, attempt, evidence),
        },
    }
}

/// The trial is over: the committed slot runs again.
fn fell_back(ledger: &mut Ledger, mut attempt: Attempt, evidence: Option<Verdict>) -> Vec<Effect> {
    let slot = attempt.slot;
    match attempt.verdict.take().or(evidence) {
        None if attempt.arms < MOST_ARMS => {
            attempt.arms += 1;
            ledger.attempt = Some(attempt);
            arm(slot)
        }
        found => {
            let reason = || format!("{MOST_ARMS} trials ended without a verdict");
            let verdict = found.unwrap_or_else(|| verdict(Code::NoVerdict, "power", reason()));
            ledger.end(attempt, verdict);
            vec![Effect::Record, Effect::Change(Change::Disable(slot))]
        }
    }
}

fn install(
    ledger: &mut Ledger,
    slots: &Slots,
    version: String,
    from: String,
    by_name: bool,
) -> Result<Vec<Effect>, Refusal> {
    if slots.default != Some(slots.running) {
        return Err(Refusal::OnTrial);
    }
    if let Some(attempt) = &ledger.attempt {
        // A staged version may be replaced by a newer one; the same one is there already.
        if attempt.stage != Stage::Staged || attempt.version == version {
            let (version, stage) = (attempt.version.clone(), attempt.stage);
            return Err(Refusal::UnderWay { version, stage });
        }
    }
    if let Some(bar) = ledger.bar_of(&version).filter(|_| !by_name) {
        let (code, reason) = (bar.verdict.code, bar.verdict.reason.clone());
        return Err(Refusal::Barred { version, code, reason });
    }
    let slot = slots.running.other();
    ledger.spare = None;
    ledger.attempt = Some(Attempt {
        version,
        from,
        slot,
        stage: Stage::Writing,
        arms: 0,
        verdict: None,
        rollback: false,
    });
    Ok(vec![Effect::Record, Effect::Change(Change::Disable(slot)), Effect::Write(slot)])
}

fn roll_back(ledger: &mut Ledger, slots: &Slots, from: String) -> Result<Vec<Effect>, Refusal> {
    if slots.default != Some(slots.running) {
        return Err(Refusal::OnTrial);
    }
    if let Some(attempt) = &ledger.attempt {
        let (version, stage) = (attempt.version.clone(), attempt.stage);
        return Err(Refusal::UnderWay { version, stage });
    }
    let version = ledger.spare.take().ok_or(Refusal::NoSpare)?;
    let slot = slots.running.other();
    ledger.attempt = Some(Attempt {
        version,
        from,
        slot,
        stage: Stage::Trial,
        arms: 1,
        verdict: None,
        rollback: true,
    });
    Ok(arm(slot))
}

/// The attempt's slot is committed: the one that it replaces stays complete.
fn succeed(ledger: &mut Ledger, attempt: Attempt) {
    ledger.spare = Some(attempt.from.clone()).filter(|from| !from.is_empty());
    if attempt.rollback {
        // Who goes back does not want to be brought forward again.
        let left = Attempt { version: attempt.from.clone(), ..attempt.clone() };
        let reason = format!("a person went back to {}", attempt.version);
        ledger.end(left, verdict(Code::RolledBack, "person", reason));
    }
    ledger.end(attempt, verdict(Code::Committed, "all", "all checks held".to_owned()));
}

fn arm(slot: Slot) -> Vec<Effect> {
    vec![Effect::Record, Effect::Change(Change::Arm(slot)), Effect::Reboot]
}

/// Nothing that nobody remembers is tried.
fn disarm(slots: &Slots) -> Vec<Effect> {
    match slots.armed {
        Some(armed) if Some(armed) != slots.default && armed != slots.running => {
            vec![Effect::Change(Change::Disable(armed))]
        }
        _ => Vec::new(),
    }
}

fn at<'a>(
    ledger: &'a mut Ledger,
    stage: Stage,
    what: &'static str,
) -> Result<&'a mut Attempt, Refusal> {
    let attempt = ledger.attempt.as_mut().filter(|attempt| attempt.stage == stage);
    attempt.ok_or(Refusal::Nothing(what))
}

fn verdict(code: Code, check: &str, reason: String) -> Verdict {
    Verdict { code, check: check.to_owned(), reason, kernel_log: String::new() }
}

#[cfg(test)]
mod tests;

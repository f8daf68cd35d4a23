//! Carries an event through the machine: performs its effects in order on a platform, and feeds
//! what comes of them back. The platform is the node, or a double in tests. Has no choices left but
//! what to do when an effect fails.

use crate::boot_path::Change;
use crate::ledger::Ledger;
use crate::machine::{Effect, Event, Refusal, step};
use crate::slot::{Slot, Slots};

/// How writing a slot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteEnd {
    /// Written and verified.
    Written,
    /// It will not work: the payload or the disk is bad.
    Failed(String),
    /// Not now: the source is gone, or the node goes down. To be gone on with.
    Later(String),
}

/// What the node can do.
pub trait Platform {
    /// What the boot medium says.
    ///
    /// # Errors
    /// Why it could not be read.
    fn slots(&mut self) -> Result<Slots, String>;

    /// Makes a change on the boot medium.
    ///
    /// # Errors
    /// Why not.
    fn change(&mut self, change: Change) -> Result<(), String>;

    /// Makes the ledger durable.
    ///
    /// # Errors
    /// Why not.
    fn record(&mut self, ledger: &Ledger) -> Result<(), String>;

    /// Writes the attempt's version to the slot.
    fn write(&mut self, ledger: &Ledger, slot: Slot) -> WriteEnd;

    /// Before a trial: remembers how the node is, and what a rollback has to bring back.
    ///
    /// # Errors
    /// Why not; there is no trial then.
    fn prepare_trial(&mut self, ledger: &Ledger) -> Result<(), String>;

    /// Starts the node again, into the armed slot when `trial`.
    ///
    /// # Errors
    /// Why it is refused.
    fn reboot(&mut self, trial: bool) -> Result<(), String>;
}

/// What the caller has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Idle,
    /// Check the trial.
    Check,
    /// Wait for the end: the node reboots.
    Rebooting,
    /// Send [`Event::Booted`] again later; why.
    Again(String),
}

/// Why an event came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The machine refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An effect failed.
    #[error("{what}: {why}")]
    Failed {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        why: String,
    },
}

fn failed(what: &'static str) -> impl FnOnce(String) -> RunError {
    move |why| RunError::Failed { what, why }
}

/// Takes in an event, and those that follow from it.
///
/// # Errors
/// See [`RunError`]. What is recorded and on the medium is then as a power cut would have left it.
pub fn run(
    platform: &mut dyn Platform,
    ledger: &mut Ledger,
    event: Event,
) -> Result<Next, RunError> {
    let mut event = event;
    loop {
        let slots = platform.slots().map_err(failed("read the boot medium"))?;
        let (next, effects) = step(ledger, &slots, event)?;
        match perform(platform, ledger, &next, &effects)? {
            Done::Next(next) => return Ok(next),
            Done::Event(follows) => event = follows,
        }
    }
}

enum Done {
    Next(Next),
    Event(Event),
}

fn perform(
    platform: &mut dyn Platform,
    ledger: &mut Ledger,
    next: &Ledger,
    effects: &[Effect],
) -> Result<Done, RunError> {
    let arms = effects.iter().any(|effect| matches!(effect, Effect::Change(Change::Arm(_))));
    if arms && let Err(why) = platform.prepare_trial(next) {
        return Err(RunError::Failed { what: "prepare the trial", why });
    }
    for effect in effects {
        match effect {
            Effect::Record => {
                platform.record(next).map_err(failed("keep the ledger"))?;
                ledger.clone_from(next);
            }
            Effect::Change(change @ Change::Arm(_)) => {
                if let Err(why) = platform.change(*change) {
                    return Ok(Done::Event(Event::NotArmed(why)));
                }
            }
            Effect::Change(change) => {
                platform.change(*change).map_err(failed("change what boots next"))?;
            }
            Effect::Write(slot) => {
                return Ok(match platform.write(ledger, *slot) {
                    WriteEnd::Written => Done::Event(Event::Written),
                    WriteEnd::Failed(why) => Done::Event(Event::NotWritten(why)),
                    WriteEnd::Later(why) => Done::Next(Next::Again(why)),
                });
            }
            Effect::Check => return Ok(Done::Next(Next::Check)),
            Effect::Reboot => {
                return match platform.reboot(arms) {
                    Ok(()) => Ok(Done::Next(Next::Rebooting)),
                    // The firmware cannot be told: nothing was tried.
                    Err(why) if arms => Ok(Done::Event(Event::NotArmed(why))),
                    Err(why) => Err(RunError::Failed { what: "reboot", why }),
                };
            }
        }
    }
    Ok(Done::Next(Next::Idle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Code, Stage};

    /// Notes what it is told to do; what is named in `fails` fails.
    struct Double {
        slots: Slots,
        log: Vec<String>,
        fails: Option<&'static str>,
        writes: WriteEnd,
    }

    impl Double {
        fn new() -> Self {
            let slots = Slots { running: Slot::A, default: Some(Slot::A), armed: None };
            Self { slots, log: Vec::new(), fails: None, writes: WriteEnd::Written }
        }

        fn note(&mut self, text: String) -> Result<(), String> {
            let fails = self.fails.is_some_and(|what| text.starts_with(what));
            self.log.push(text);
            if fails { Err("it fails".to_owned()) } else { Ok(()) }
        }
    }

    impl Platform for Double {
        fn slots(&mut self) -> Result<Slots, String> {
            Ok(self.slots)
        }

        fn change(&mut self, change: Change) -> Result<(), String> {
            self.note(format!("{change:?}"))
        }

        fn record(&mut self, ledger: &Ledger) -> Result<(), String> {
            let stage = ledger.attempt.as_ref().map(|attempt| attempt.stage);
            self.note(format!("record {stage:?}"))
        }

        fn write(&mut self, _: &Ledger, slot: Slot) -> WriteEnd {
            self.log.push(format!("write {slot}"));
            self.writes.clone()
        }

        fn prepare_trial(&mut self, _: &Ledger) -> Result<(), String> {
            self.note("prepare".to_owned())
        }

        fn reboot(&mut self, trial: bool) -> Result<(), String> {
            self.note(format!("reboot {trial}"))
        }
    }

    fn install() -> Event {
        Event::Install { version: "2".into(), from: "1".into(), by_name: false }
    }

    #[test]
    fn installation_is_recorded_disabled_written_and_staged() {
        let (mut node, mut ledger) = (Double::new(), Ledger::default());
        assert_eq!(run(&mut node, &mut ledger, install()), Ok(Next::Idle));
        let expected = ["record Some(Writing)", "Disable(B)", "write b", "record Some(Staged)"];
        assert_eq!(node.log, expected);
        node.log.clear();
        assert_eq!(run(&mut node, &mut ledger, Event::Apply), Ok(Next::Rebooting));
        assert_eq!(node.log, ["prepare", "record Some(Trial)", "Arm(B)", "reboot true"]);
    }

    #[test]
    fn slot_that_cannot_be_disabled_is_not_written() {
        let (mut node, mut ledger) = (Double::new(), Ledger::default());
        node.fails = Some("Disable");
        assert!(run(&mut node, &mut ledger, install()).is_err());
        assert!(!node.log.iter().any(|text| text.starts_with("write")));
    }

    #[test]
    fn source_that_is_gone_ends_nothing() {
        let (mut node, mut ledger) = (Double::new(), Ledger::default());
        node.writes = WriteEnd::Later("no route".into());
        assert_eq!(run(&mut node, &mut ledger, install()), Ok(Next::Again("no route".into())));
        assert_eq!(ledger.attempt.as_ref().map(|a| a.stage), Some(Stage::Writing));
        node.writes = WriteEnd::Written;
        let booted = Event::Booted { version: "1".into(), evidence: None };
        assert_eq!(run(&mut node, &mut ledger, booted), Ok(Next::Idle));
        assert_eq!(ledger.attempt.as_ref().map(|a| a.stage), Some(Stage::Staged));
    }

    #[test]
    fn medium_or_firmware_that_refuses_a_trial_ends_it_with_the_reason() {
        for fails in ["Arm", "reboot"] {
            let (mut node, mut ledger) = (Double::new(), Ledger::default());
            run(&mut node, &mut ledger, install()).unwrap();
            node.fails = Some(fails);
            assert_eq!(run(&mut node, &mut ledger, Event::Apply), Ok(Next::Idle), "{fails}");
            let verdict = &ledger.last().unwrap().verdict;
            assert_eq!((verdict.code, &*verdict.reason), (Code::NotWritten, "it fails"));
            assert_eq!(ledger.bar_of("2"), None);
        }
    }

    #[test]
    fn trial_that_cannot_be_prepared_does_not_begin() {
        let (mut node, mut ledger) = (Double::new(), Ledger::default());
        run(&mut node, &mut ledger, install()).unwrap();
        node.fails = Some("prepare");
        assert!(run(&mut node, &mut ledger, Event::Apply).is_err());
        assert_eq!(ledger.attempt.as_ref().map(|a| a.stage), Some(Stage::Staged));
    }

    #[test]
    fn commit_that_fails_is_not_recorded() {
        let (mut node, mut ledger) = (Double::new(), Ledger::default());
        run(&mut node, &mut ledger, install()).unwrap();
        run(&mut node, &mut ledger, Event::Apply).unwrap();
        node.slots.running = Slot::B;
        node.fails = Some("Commit");
        assert!(run(&mut node, &mut ledger, Event::Healthy).is_err());
        assert_eq!(ledger.attempt.as_ref().map(|a| a.stage), Some(Stage::Trial));
        node.fails = None;
        assert_eq!(run(&mut node, &mut ledger, Event::Healthy), Ok(Next::Idle));
        assert_eq!(ledger.last().map(|last| last.verdict.code), Some(Code::Committed));
    }
}

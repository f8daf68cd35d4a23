//! The table, row by row.

use super::*;
use crate::ledger::Outcome;

fn slots(running: Slot, default: Slot) -> Slots {
    Slots { running, default: Some(default), armed: None }
}

const OLD: Slots = Slots { running: Slot::A, default: Some(Slot::A), armed: None };

fn booted(version: &str) -> Event {
    Event::Booted { version: version.into(), evidence: None }
}

fn install(version: &str, by_name: bool) -> Event {
    Event::Install { version: version.into(), from: "1".into(), by_name }
}

fn failed() -> Verdict {
    verdict(Code::CheckFailed, "network", "no address".into())
}

/// A ledger after these events, in the old slot unless said otherwise.
fn after(events: Vec<(Slots, Event)>) -> Ledger {
    events
        .into_iter()
        .fold(Ledger::default(), |ledger, (slots, event)| step(&ledger, &slots, event).unwrap().0)
}

fn on_trial() -> Ledger {
    after(vec![(OLD, install("2", false)), (OLD, Event::Written), (OLD, Event::Apply)])
}

fn run(ledger: &Ledger, slots: Slots, event: Event) -> (Ledger, Vec<Effect>) {
    step(ledger, &slots, event).unwrap()
}

#[test]
fn spare_slot_is_disabled_before_it_is_written() {
    let (ledger, effects) = run(&Ledger::default(), OLD, install("2", false));
    let disable = Effect::Change(Change::Disable(Slot::B));
    assert_eq!(effects, [Effect::Record, disable.clone(), Effect::Write(Slot::B)]);
    // After a power cut it goes on.
    let (again, effects) = run(&ledger, OLD, booted("1"));
    assert_eq!(again, ledger);
    assert_eq!(effects, [disable, Effect::Write(Slot::B)]);
}

#[test]
fn trial_is_recorded_before_it_is_armed() {
    let ledger = after(vec![(OLD, install("2", false)), (OLD, Event::Written)]);
    let (ledger, effects) = run(&ledger, OLD, Event::Apply);
    let arm = Effect::Change(Change::Arm(Slot::B));
    assert_eq!(effects, [Effect::Record, arm, Effect::Reboot]);
    assert_eq!(ledger.attempt.as_ref().map(|attempt| attempt.arms), Some(1));
}

#[test]
fn healthy_trial_is_committed_and_the_old_version_stays_as_spare() {
    let trial = slots(Slot::B, Slot::A);
    let (ledger, effects) = run(&on_trial(), trial, booted("2"));
    assert_eq!(effects, [Effect::Check]);
    let (ledger, effects) = run(&ledger, trial, Event::Healthy);
    assert_eq!(effects, [Effect::Change(Change::Commit(Slot::B)), Effect::Record]);
    assert_eq!(ledger.attempt, None);
    assert_eq!(ledger.spare.as_deref(), Some("1"));
    assert_eq!(ledger.last().map(|last| last.verdict.code), Some(Code::Committed));
}

#[test]
fn power_cut_between_commit_and_record_is_a_commit() {
    let (ledger, effects) = run(&on_trial(), slots(Slot::B, Slot::B), booted("2"));
    assert_eq!(effects, [Effect::Record]);
    assert_eq!(ledger.last().map(|last| last.verdict.code), Some(Code::Committed));
}

#[test]
fn failed_check_is_recorded_before_the_reboot_and_bars_the_version() {
    let trial = slots(Slot::B, Slot::A);
    let (ledger, effects) = run(&on_trial(), trial, Event::Unhealthy(failed()));
    assert_eq!(effects, [Effect::Record, Effect::Reboot]);
    // Cut before the reboot, and still in the slot: out of it.
    assert_eq!(run(&ledger, trial, booted("2")).1, [Effect::Reboot]);
    let (ledger, effects) = run(&ledger, OLD, booted("1"));
    assert_eq!(effects, [Effect::Record, Effect::Change(Change::Disable(Slot::B))]);
    let outcome = Outcome { version: "2".into(), from: "1".into(), verdict: failed() };
    assert_eq!(ledger.last(), Some(&outcome));
    let refused = step(&ledger, &OLD, install("2", false)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "version 2 is barred (CheckFailed, no address): name it to try it again"
    );
    assert!(step(&ledger, &OLD, install("2", true)).is_ok());
    assert!(step(&ledger, &OLD, install("3", false)).is_ok());
}

#[test]
fn panic_on_record_is_a_verdict() {
    let evidence = Some(verdict(Code::Panic, "kernel", "panic".into()));
    let event = Event::Booted { version: "1".into(), evidence };
    let (ledger, _) = run(&on_trial(), OLD, event);
    assert_eq!(ledger.bar_of("2").map(|bar| bar.verdict.code), Some(Code::Panic));
}

#[test]
fn trial_without_a_verdict_is_armed_three_times_and_bars_nothing() {
    let mut ledger = on_trial();
    for arms in 2..=MOST_ARMS {
        let (next, effects) = run(&ledger, OLD, booted("1"));
        assert_eq!(effects.last(), Some(&Effect::Reboot));
        assert_eq!(next.attempt.as_ref().map(|attempt| attempt.arms), Some(arms));
        ledger = next;
    }
    let (ledger, effects) = run(&ledger, OLD, booted("1"));
    assert_eq!(effects, [Effect::Record, Effect::Change(Change::Disable(Slot::B))]);
    assert_eq!(ledger.last().map(|last| last.verdict.code), Some(Code::NoVerdict));
    assert_eq!(ledger.bar_of("2"), None);
}

#[test]
fn undecided_trial_ends_without_a_verdict() {
    let trial = slots(Slot::B, Slot::A);
    let (ledger, effects) = run(&on_trial(), trial, Event::Undecided);
    assert_eq!((ledger, effects), (on_trial(), vec![Effect::Reboot]));
}

#[test]
fn two_updates_at_once_are_refused_but_a_newer_one_replaces_a_staged_one() {
    let writing = after(vec![(OLD, install("2", false))]);
    assert!(matches!(step(&writing, &OLD, install("3", true)), Err(Refusal::UnderWay { .. })));
    let staged = run(&writing, OLD, Event::Written).0;
    assert!(matches!(step(&staged, &OLD, install("2", true)), Err(Refusal::UnderWay { .. })));
    let (ledger, effects) = run(&staged, OLD, install("3", false));
    assert_eq!(effects.len(), 3);
    assert_eq!(ledger.attempt.map(|attempt| attempt.version), Some("3".into()));
    assert!(matches!(step(&on_trial(), &OLD, install("3", true)), Err(Refusal::UnderWay { .. })));
}

#[test]
fn nothing_is_installed_before_the_running_slot_has_proved_itself() {
    for slots in [slots(Slot::B, Slot::A), Slots { default: None, ..OLD }] {
        let ledger = Ledger::default();
        assert_eq!(step(&ledger, &slots, install("2", true)), Err(Refusal::OnTrial));
        let back = Event::RollBack { from: "1".into() };
        assert_eq!(step(&ledger, &slots, back), Err(Refusal::OnTrial));
    }
}

#[test]
fn person_goes_back_to_the_spare_slot_by_a_trial_and_is_not_brought_forward_again() {
    let trial = slots(Slot::B, Slot::A);
    let ledger = run(&on_trial(), trial, Event::Healthy).0;
    let new = slots(Slot::B, Slot::B);
    let (ledger, effects) = run(&ledger, new, Event::RollBack { from: "2".into() });
    assert_eq!(effects, [Effect::Record, Effect::Change(Change::Arm(Slot::A)), Effect::Reboot]);
    let back = slots(Slot::A, Slot::B);
    let (ledger, effects) = run(&ledger, back, Event::Healthy);
    assert_eq!(effects[0], Effect::Change(Change::Commit(Slot::A)));
    assert_eq!(ledger.bar_of("2").map(|bar| bar.verdict.code), Some(Code::RolledBack));
    assert_eq!(ledger.spare.as_deref(), Some("2"));
}

#[test]
fn nobody_goes_back_to_a_slot_that_is_half_written() {
    let ledger =
        after(vec![(OLD, install("2", false)), (OLD, Event::NotWritten("disk failed".into()))]);
    let back = Event::RollBack { from: "1".into() };
    assert_eq!(step(&ledger, &OLD, back), Err(Refusal::NoSpare));
    assert_eq!(ledger.last().map(|last| last.verdict.code), Some(Code::NotWritten));
}

#[test]
fn trial_that_nobody_remembers_is_checked_and_one_that_is_armed_is_not_begun() {
    let (ledger, effects) = run(&Ledger::default(), slots(Slot::B, Slot::A), booted("2"));
    assert_eq!(effects, [Effect::Record, Effect::Check]);
    assert_eq!(ledger.attempt.as_ref().map(|attempt| &*attempt.version), Some("2"));
    let armed = Slots { armed: Some(Slot::B), ..OLD };
    let disable = Effect::Change(Change::Disable(Slot::B));
    assert_eq!(run(&Ledger::default(), armed, booted("1")).1, [disable]);
}

#[test]
fn fresh_disk_is_left_alone_until_it_is_healthy() {
    let fresh = Slots { default: None, armed: Some(Slot::A), ..OLD };
    assert_eq!(run(&Ledger::default(), fresh, booted("1")), (Ledger::default(), vec![]));
    let commit = Effect::Change(Change::Commit(Slot::A));
    assert_eq!(run(&Ledger::default(), fresh, Event::Healthy), (Ledger::default(), vec![commit]));
}

#[test]
fn staged_update_may_be_given_up_and_a_trial_may_not() {
    let staged = after(vec![(OLD, install("2", false)), (OLD, Event::Written)]);
    let (ledger, effects) = run(&staged, OLD, Event::Abandon("told to".into()));
    assert_eq!(effects, [Effect::Record, Effect::Change(Change::Disable(Slot::B))]);
    assert_eq!(ledger.attempt, None);
    assert!(step(&on_trial(), &OLD, Event::Abandon("told to".into())).is_err());
}

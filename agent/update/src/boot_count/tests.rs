//! Names are read as the loader reads them, and each change is one rename.

use super::*;
use proptest::prelude::*;

fn medium(list: &[&str]) -> BootCount {
    BootCount { names: list.iter().map(|name| (*name).to_owned()).collect() }
}

fn renamed(from: &str, to: &str) -> Result<Vec<Write>, BootPathError> {
    Ok(vec![Write::Rename { from: from.into(), to: to.into() }])
}

#[test]
fn counters_and_numbers_are_read_from_the_name() {
    let tries = |left, done| Some(Tries { left, done });
    for (name, number, slot, expected) in [
        ("holm-a.efi", None, Slot::A, None),
        ("holm-a+3.efi", None, Slot::A, tries(3, 0)),
        ("holm-2-b+2-1.efi", Some(2), Slot::B, tries(2, 1)),
        ("holm-17-b+0-3.efi", Some(17), Slot::B, tries(0, 3)),
        ("HOLM-4-A+3.EFI", Some(4), Slot::A, tries(3, 0)),
    ] {
        let entry = BootEntry { number, slot, tries: expected };
        assert_eq!(BootEntry::parse(name), Some(entry), "{name}");
        assert_eq!(entry.name(), name.to_lowercase());
    }
}

#[test]
fn other_files_are_not_entries() {
    for name in [
        "",
        "b.new",
        "holm-a",
        "holm-c.efi",
        "holm-.efi",
        "holm--a.efi",
        "holm-x-a.efi",
        "holm-1-2-a.efi",
        "holm-a+.efi",
        "holm-a+-1.efi",
        "holm-a+3-.efi",
        "holm-a++3.efi",
        "holm-a+3-1-1.efi",
        "holm-a+99999999999.efi",
        "other-a+3.efi",
        "holm-a+3.efi.new",
    ] {
        assert_eq!(BootEntry::parse(name), None, "{name}");
    }
}

#[test]
fn loader_starts_the_highest_number_that_has_tries_left() {
    for (names, first) in [
        (&["holm-a.efi", "holm-1-b+1.efi"][..], "holm-1-b+1.efi"),
        (&["holm-a.efi", "holm-1-b+0-1.efi"], "holm-a.efi"),
        (&["holm-9-a.efi", "holm-10-b.efi"], "holm-10-b.efi"),
        (&["holm-a.efi", "holm-b.efi"], "holm-b.efi"),
        (&["holm-a+0-3.efi"], "holm-a+0-3.efi"),
    ] {
        assert_eq!(medium(names).entries()[0].0, first);
    }
}

#[test]
fn medium_tells_the_committed_and_the_armed_slot() {
    let slots = |names: &[&str], running| medium(names).slots(running).unwrap();
    let fresh = slots(&["holm-a+2-1.efi"], Slot::A);
    assert_eq!(fresh, Slots { running: Slot::A, default: None, armed: Some(Slot::A) });
    let armed = slots(&["holm-a.efi", "holm-1-b+1.efi"], Slot::A);
    assert_eq!(armed, Slots { running: Slot::A, default: Some(Slot::A), armed: Some(Slot::B) });
    let trial = slots(&["holm-a.efi", "holm-1-b+0-1.efi"], Slot::B);
    assert_eq!(trial, Slots { running: Slot::B, default: Some(Slot::A), armed: None });
    assert!(trial.on_trial());
}

#[test]
fn fresh_slot_that_reached_ready_loses_its_counter() {
    for (name, to) in [("holm-a+2-1.efi", "holm-a.efi"), ("holm-a+0-3.efi", "holm-a.efi")] {
        let medium = medium(&[name, "notes.txt"]);
        assert_eq!(medium.plan(Slot::A, Change::Commit(Slot::A)), renamed(name, to));
    }
}

#[test]
fn spare_slot_is_hidden_written_armed_and_committed_by_one_rename_each() {
    let plan = |names: &[&str], running, change| medium(names).plan(running, change);
    let disable = Change::Disable(Slot::B);
    assert_eq!(
        plan(&["holm-2-a.efi", "holm-1-b.efi"], Slot::A, disable),
        renamed("holm-1-b.efi", "b.new")
    );
    assert_eq!(
        plan(&["holm-2-a.efi", "b.new"], Slot::A, Change::Arm(Slot::B)),
        renamed("b.new", "holm-3-b+1.efi")
    );
    assert_eq!(
        plan(&["holm-2-a.efi", "holm-3-b+0-1.efi"], Slot::A, Change::Arm(Slot::B)),
        renamed("holm-3-b+0-1.efi", "holm-3-b+1.efi")
    );
    assert_eq!(
        plan(&["holm-2-a.efi", "holm-3-b+0-1.efi"], Slot::B, Change::Commit(Slot::B)),
        renamed("holm-3-b+0-1.efi", "holm-3-b.efi")
    );
}

#[test]
fn older_committed_slot_is_tried_under_a_higher_number() {
    let both = medium(&["holm-2-a.efi", "holm-3-b.efi"]);
    let arm = both.plan(Slot::B, Change::Arm(Slot::A));
    assert_eq!(arm, renamed("holm-2-a.efi", "holm-4-a+1.efi"));
}

#[test]
fn two_names_of_one_spare_slot_are_both_removed() {
    let torn = medium(&["holm-2-a.efi", "holm-3-b+1.efi", "holm-3-b+0-1.efi", "b.new"]);
    let writes = torn.plan(Slot::A, Change::Disable(Slot::B)).unwrap();
    let removed = |name: &str| Write::Remove(name.into());
    assert_eq!(writes, [removed("holm-3-b+1.efi"), removed("holm-3-b+0-1.efi"), removed("b.new")]);
    let error = torn.plan(Slot::B, Change::Commit(Slot::B)).unwrap_err().to_string();
    assert!(error.contains("holm-3-b+1.efi, holm-3-b+0-1.efi"), "{error}");
}

#[test]
fn slots_in_use_are_neither_disabled_nor_counted_down() {
    let medium = medium(&["holm-2-a.efi", "holm-3-b+0-1.efi"]);
    let in_use = |slot| Err(BootPathError::InUse(slot));
    assert_eq!(medium.plan(Slot::A, Change::Disable(Slot::A)), in_use(Slot::A));
    assert_eq!(medium.plan(Slot::B, Change::Disable(Slot::A)), in_use(Slot::A));
    assert_eq!(medium.plan(Slot::B, Change::Disable(Slot::B)), in_use(Slot::B));
    assert_eq!(medium.plan(Slot::A, Change::Arm(Slot::A)), in_use(Slot::A));
}

#[test]
fn slot_without_a_kernel_is_not_armed_or_committed() {
    let medium = medium(&["holm-a.efi"]);
    assert_eq!(medium.plan(Slot::A, Change::Arm(Slot::B)), Err(BootPathError::Empty(Slot::B)));
    assert_eq!(medium.plan(Slot::B, Change::Commit(Slot::B)), Err(BootPathError::Empty(Slot::B)));
    assert_eq!(medium.plan(Slot::A, Change::Disable(Slot::B)), Ok(vec![]));
}

proptest! {
    #[test]
    fn committing_twice_changes_nothing(left in 0u32..100, done in 0u32..100, is_a: bool) {
        let slot = if is_a { Slot::A } else { Slot::B };
        let first = medium(&[&format!("holm-{slot}+{left}-{done}.efi")]);
        let writes = first.plan(slot, Change::Commit(slot)).unwrap();
        let [Write::Rename { to, .. }] = writes.as_slice() else { panic!("{writes:?}") };
        prop_assert_eq!(medium(&[to]).plan(slot, Change::Commit(slot)), Ok(vec![]));
    }

    #[test]
    fn any_name_is_parsed_without_a_panic(name in ".{0,40}") {
        let _ = BootEntry::parse(&name);
        let _ = BootEntry::parse(&format!("holm-a+{name}.efi"));
        let _ = BootEntry::parse(&format!("holm-{name}-b.efi"));
    }
}

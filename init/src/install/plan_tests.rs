//! Which disk is taken, and above all which is not.

use super::*;
use proptest::prelude::*;

const NEEDS: u64 = 800_000_000;

fn disk(name: &str) -> Disk {
    Disk {
        name: name.into(),
        size: 32_000_000_000,
        sector: 512,
        model: "Foremay".into(),
        serial: format!("serial-{name}"),
        is_internal: true,
        is_read_only: false,
        is_own: false,
        is_blank: true,
    }
}

fn full(name: &str) -> Disk {
    Disk { is_blank: false, ..disk(name) }
}

fn stick() -> Disk {
    Disk { is_internal: false, is_own: true, is_blank: false, ..disk("sda") }
}

fn auto() -> Install {
    Install { disk: Some(Target::Auto), ..Install::default() }
}

fn to(name: &str, erase: bool) -> Install {
    Install { disk: Some(Target::Named(name.into())), erase, ..Install::default() }
}

fn asked(disks: &[Disk], wanted: &Install) -> String {
    match decide(disks, wanted, NEEDS) {
        Decision::Ask(why) => why,
        Decision::Write(name) => panic!("{name} would be written"),
    }
}

#[test]
fn silent_document_asks() {
    assert!(asked(&[stick(), disk("nvme0n1")], &Install::default()).contains("names no disk"));
}

#[test]
fn automatic_takes_the_only_blank_disk_that_is_built_in() {
    let disks = [stick(), disk("nvme0n1"), full("mmcblk0")];
    assert_eq!(decide(&disks, &auto(), NEEDS), Decision::Write("nvme0n1".into()));
}

#[test]
fn automatic_never_takes_data_a_stick_or_one_of_two() {
    assert!(asked(&[stick(), full("nvme0n1")], &auto()).contains("nvme0n1 holds data"));
    assert!(asked(&[disk("sdb"), disk("sdc")], &auto()).contains("sdb, sdc"));
    let other_stick = Disk { is_internal: false, ..disk("sdb") };
    assert!(asked(&[stick(), other_stick], &auto()).contains("no disk that is built in"));
    let small = Disk { size: NEEDS - 1, ..disk("mmcblk0") };
    assert!(asked(&[small], &auto()).contains("no disk that is built in"));
}

#[test]
fn named_disk_is_taken_by_name_or_serial_number_when_blank() {
    let disks = [stick(), disk("nvme0n1"), disk("nvme1n1")];
    for name in ["nvme1n1", "serial-nvme1n1"] {
        assert_eq!(decide(&disks, &to(name, false), NEEDS), Decision::Write("nvme1n1".into()));
    }
    assert!(asked(&disks, &to("sdx", true)).contains("no disk is called sdx"));
    let twins = [disk("sdb"), Disk { serial: "sdb".into(), ..disk("sdc") }];
    assert!(asked(&twins, &to("sdb", true)).contains("more than one"));
}

#[test]
fn data_goes_only_when_its_disk_is_named_and_may_be_erased() {
    let disks = [stick(), full("nvme0n1")];
    assert!(asked(&disks, &to("nvme0n1", false)).contains("erase = true"));
    assert_eq!(decide(&disks, &to("nvme0n1", true), NEEDS), Decision::Write("nvme0n1".into()));
}

#[test]
fn unusable_disk_is_never_taken_by_name() {
    let sectors = Disk { sector: 4096, ..disk("b") };
    let locked = Disk { is_read_only: true, ..disk("c") };
    let small = Disk { size: 1, ..disk("d") };
    let disks = [stick(), sectors, locked, small];
    for (name, why) in
        [("sda", "runs from"), ("b", "4096 bytes"), ("c", "read-only"), ("d", "0.0 GB of 0.8 GB")]
    {
        assert!(asked(&disks, &to(name, true)).contains(why), "{name}");
        let said = answer(&format!("erase {name}"), &disks, NEEDS);
        assert!(matches!(said, Answer::Say(said) if said.contains(why)), "{name}");
    }
}

#[test]
fn person_names_a_disk_and_says_erase_where_something_would_be_lost() {
    let disks = [stick(), disk("nvme0n1"), full("mmcblk0")];
    let write = |name: &str| Answer::Write(name.to_owned());
    assert_eq!(answer(" nvme0n1\n", &disks, NEEDS), write("nvme0n1"));
    assert_eq!(answer("/dev/nvme0n1", &disks, NEEDS), write("nvme0n1"));
    assert_eq!(answer("erase mmcblk0", &disks, NEEDS), write("mmcblk0"));
    for (line, why) in [
        ("mmcblk0", "erase mmcblk0"),
        ("", "name of a disk"),
        ("yes", "no disk yes"),
        ("erase all disks", "name of a disk"),
    ] {
        assert!(matches!(answer(line, &disks, NEEDS), Answer::Say(said) if said.contains(why)));
    }
}

#[test]
fn menu_says_what_each_disk_is_and_holds() {
    let lines = menu(&[stick(), disk("nvme0n1"), full("mmcblk0")], NEEDS);
    assert!(lines[0].contains("is what this system runs from"), "{lines:?}");
    assert_eq!(lines[1], "  nvme0n1  32.0 GB  Foremay no. serial-nvme0n1  is blank");
    assert!(lines[2].ends_with("HOLDS DATA"), "{lines:?}");
}

fn any_disk() -> impl Strategy<Value = Disk> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (0..2_000_000_000_u64, flags).prop_map(|(size, (internal, locked, own, blank))| Disk {
        size,
        is_internal: internal,
        is_read_only: locked,
        is_own: own,
        is_blank: blank,
        ..disk("sd")
    })
}

/// The kernel gives no name twice.
fn any_disks() -> impl Strategy<Value = Vec<Disk>> {
    prop::collection::vec(any_disk(), 0..5).prop_map(|mut disks| {
        for (n, disk) in disks.iter_mut().enumerate() {
            disk.name = format!("sd{n}");
        }
        disks
    })
}

proptest! {
    #[test]
    fn whatever_is_seen_data_and_the_own_disk_are_safe(
        disks in any_disks(), name in 0..5_u8, erase: bool, is_auto: bool
    ) {
        let name = format!("sd{name}");
        let wanted = if is_auto { auto() } else { to(&name, erase) };
        if let Decision::Write(chosen) = decide(&disks, &wanted, NEEDS) {
            let disk = disks.iter().find(|disk| disk.name == chosen).expect("it was seen");
            prop_assert!(!disk.is_own && !disk.is_read_only && disk.size >= NEEDS);
            prop_assert!(disk.is_blank || !is_auto && erase && chosen == name);
        }
        if let Answer::Write(chosen) = answer(&name, &disks, NEEDS) {
            let disk = disks.iter().find(|disk| disk.name == chosen).expect("it was seen");
            prop_assert!(!disk.is_own && disk.is_blank && chosen == name);
        }
    }
}

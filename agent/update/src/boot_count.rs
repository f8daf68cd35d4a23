//! Boot-counted entry names and what committing a slot means for them. Pure.
//!
//! The boot loader counts in the file's name: `holm-a+3.efi` has three tries left,
//! `holm-a+2-1.efi` has two left after one that failed, `holm-a.efi` is not counted. See the
//! Automatic Boot Assessment specification of systemd-boot.

use std::fmt;
use std::str::FromStr;

/// One of the two root file systems, with the boot entry that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// `root-a`, `holm-a.efi`.
    A,
    /// `root-b`, `holm-b.efi`.
    B,
}

impl Slot {
    /// Reads `holm.slot=` from a kernel command line. The last one wins, as for the kernel itself.
    pub fn from_command_line(line: &str) -> Option<Self> {
        line.split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix("holm.slot="))
            .next_back()
            .and_then(|value| value.parse().ok())
    }
}

impl FromStr for Slot {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "a" => Ok(Self::A),
            "b" => Ok(Self::B),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// The name of a boot entry, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootEntry {
    /// The slot that it boots.
    pub slot: Slot,
    /// `None` when the boot loader does not count this entry.
    pub tries: Option<Tries>,
}

/// The counter in an entry's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// Boots that the loader will still attempt.
    pub left: u32,
    /// Boots that it attempted since the counter was set.
    pub done: u32,
}

impl BootEntry {
    /// Takes a file name apart. `None` for every file that is not an entry of a slot. The case of
    /// letters is ignored, because FAT may have changed it.
    pub fn parse(file_name: &str) -> Option<Self> {
        let lower = file_name.to_ascii_lowercase();
        let stem = lower.strip_suffix(".efi")?.strip_prefix("holm-")?;
        let (slot, counter) = match stem.split_once('+') {
            Some((slot, counter)) => (slot, Some(counter)),
            None => (stem, None),
        };
        let tries = counter.map(parse_tries).transpose().ok()?;
        Some(Self { slot: slot.parse().ok()?, tries })
    }

    /// The name of the slot's entry once it is committed.
    pub fn committed_name(slot: Slot) -> String {
        format!("holm-{slot}.efi")
    }
}

fn parse_tries(counter: &str) -> Result<Tries, ()> {
    let number = |text: &str| {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(());
        }
        text.parse::<u32>().map_err(drop)
    };
    let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
    Ok(Tries { left: number(left)?, done: number(done)? })
}

/// What has to be done so that the slot counts as good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The entry carries no counter any more.
    AlreadyCommitted,
    /// Rename `from` to `to`, in the folder of the entries.
    Rename {
        /// Name with the counter, as it stands in the folder.
        from: String,
        /// Name without it.
        to: String,
    },
    /// No entry of this slot is there.
    Missing,
    /// A committed and a counted entry, or several counted ones, exist side by side. On FAT they
    /// can be two names of the same clusters (a rename that lost power half-way), where removing
    /// one would destroy the other: the update that next writes this slot has to clear them.
    Ambiguous(Vec<String>),
}

/// Decides how to commit `slot`, given the names in the folder of boot entries.
pub fn plan(slot: Slot, names: &[String]) -> Plan {
    let entries: Vec<(&String, BootEntry)> = names
        .iter()
        .filter_map(|name| BootEntry::parse(name).map(|entry| (name, entry)))
        .filter(|(_, entry)| entry.slot == slot)
        .collect();
    match entries.as_slice() {
        [] => Plan::Missing,
        [(_, BootEntry { tries: None, .. })] => Plan::AlreadyCommitted,
        [(name, _)] => Plan::Rename { from: (*name).clone(), to: BootEntry::committed_name(slot) },
        several => Plan::Ambiguous(several.iter().map(|(name, _)| (*name).clone()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn counters_are_read_from_the_name() {
        let tries = |left, done| Some(Tries { left, done });
        for (name, slot, expected) in [
            ("holm-a.efi", Slot::A, None),
            ("holm-a+3.efi", Slot::A, tries(3, 0)),
            ("holm-b+2-1.efi", Slot::B, tries(2, 1)),
            ("holm-b+0-3.efi", Slot::B, tries(0, 3)),
            ("HOLM-A+3.EFI", Slot::A, tries(3, 0)),
        ] {
            assert_eq!(BootEntry::parse(name), Some(BootEntry { slot, tries: expected }), "{name}");
        }
    }

    #[test]
    fn other_files_are_not_entries() {
        for name in [
            "",
            "holm-a",
            "holm-c.efi",
            "holm-.efi",
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
    fn counted_entry_of_the_booted_slot_is_renamed() {
        let plan = plan(Slot::A, &names(&["holm-b+3.efi", "holm-a+2-1.efi", "notes.txt"]));
        assert_eq!(plan, Plan::Rename { from: "holm-a+2-1.efi".into(), to: "holm-a.efi".into() });
    }

    #[test]
    fn exhausted_entry_that_still_reached_ready_is_renamed() {
        let plan = plan(Slot::B, &names(&["holm-b+0-3.efi"]));
        assert_eq!(plan, Plan::Rename { from: "holm-b+0-3.efi".into(), to: "holm-b.efi".into() });
    }

    #[test]
    fn two_names_of_one_slot_are_left_alone() {
        let both = names(&["holm-a.efi", "holm-a+3.efi"]);
        assert_eq!(plan(Slot::A, &both), Plan::Ambiguous(both));
    }

    #[test]
    fn slot_is_read_from_the_kernel_command_line() {
        assert_eq!(Slot::from_command_line("quiet holm.slot=b panic=10\n"), Some(Slot::B));
        assert_eq!(Slot::from_command_line("holm.slot=a holm.slot=b"), Some(Slot::B));
        assert_eq!(Slot::from_command_line("holm.slot=c"), None);
        assert_eq!(Slot::from_command_line("xholm.slot=a"), None);
    }

    proptest! {
        #[test]
        fn committing_twice_changes_nothing(left in 0u32..100, done in 0u32..100, is_a: bool) {
            let slot = if is_a { Slot::A } else { Slot::B };
            let first = plan(slot, &[format!("holm-{slot}+{left}-{done}.efi")]);
            let Plan::Rename { to, .. } = first else { panic!("{first:?}") };
            prop_assert_eq!(plan(slot, &[to]), Plan::AlreadyCommitted);
        }

        #[test]
        fn any_name_is_parsed_without_a_panic(name in ".{0,40}") {
            let _ = BootEntry::parse(&name);
            let _ = BootEntry::parse(&format!("holm-a+{name}.efi"));
        }

        #[test]
        fn the_other_slot_is_never_touched(name in "holm-b(\\+[0-9]{1,2}(-[0-9]{1,2})?)?\\.efi") {
            prop_assert_eq!(plan(Slot::A, &[name]), Plan::Missing);
        }
    }
}

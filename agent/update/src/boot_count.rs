//! The boot path of UEFI boards: systemd-boot counts in the names of the kernels. Pure.
//!
//! `holm-a+3.efi` has three tries left, `holm-2-b+0-1.efi` none after one that failed,
//! `holm-2-b.efi` is not counted. The number before the slot orders the kernels: systemd-boot
//! starts the first that has tries left, and among kernels of one system the name that compares
//! highest. A kernel that is being written is `a.new` or `b.new`, which the loader does not see.
//! See the Automatic Boot Assessment specification of systemd-boot, and its order of entries.
//!
//! Every change is one rename in a folder that fits one sector of the disk (at most three names of
//! at most 26 letters), so that a power cut leaves the old name or the new one.

use std::cmp::Reverse;

use crate::boot_path::{BootPath, BootPathError, Change, Write, check};
use crate::slot::{Slot, Slots};

/// Where the kernels lie on the boot partition.
pub const FOLDER: &str = "EFI/Linux";

/// The name of a kernel, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootEntry {
    /// Later kernels have higher numbers; a fresh image's has none.
    pub number: Option<u32>,
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
        let (stem, counter) = match stem.split_once('+') {
            Some((stem, counter)) => (stem, Some(counter)),
            None => (stem, None),
        };
        let (number, slot) = match stem.split_once('-') {
            Some((number, slot)) => (Some(parse_number(number)?), slot),
            None => (None, stem),
        };
        let tries = match counter {
            None => None,
            Some(counter) => {
                let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
                Some(Tries { left: parse_number(left)?, done: parse_number(done)? })
            }
        };
        Some(Self { number, slot: slot.parse().ok()?, tries })
    }

    /// The file name.
    pub fn name(&self) -> String {
        let number = self.number.map(|number| format!("{number}-")).unwrap_or_default();
        let tries = match self.tries {
            None => String::new(),
            Some(Tries { left, done: 0 }) => format!("+{left}"),
            Some(Tries { left, done }) => format!("+{left}-{done}"),
        };
        format!("holm-{number}{}{tries}.efi", self.slot)
    }

    /// The name that the loader gives it before it starts it.
    pub fn counted_down(self) -> Self {
        let count =
            |tries: Tries| Tries { left: tries.left.saturating_sub(1), done: tries.done + 1 };
        Self { tries: self.tries.map(count), ..self }
    }

    /// The loader starts the entry with the least rank.
    fn rank(&self) -> (bool, Reverse<Option<u32>>, Reverse<Slot>) {
        let spent = self.tries.is_some_and(|tries| tries.left == 0);
        (spent, Reverse(self.number), Reverse(self.slot))
    }
}

fn parse_number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// The name of a kernel that is being written and that no loader sees.
pub fn unfinished_name(slot: Slot) -> String {
    format!("{slot}.new")
}

/// The names in [`FOLDER`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootCount {
    /// All of them, in any order.
    pub names: Vec<String>,
}

impl BootCount {
    /// The entries in the order of the loader: the first boots.
    pub fn entries(&self) -> Vec<(&str, BootEntry)> {
        let parsed = self.names.iter().filter_map(|name| Some((&**name, BootEntry::parse(name)?)));
        let mut entries: Vec<_> = parsed.collect();
        entries.sort_by_key(|(_, entry)| entry.rank());
        entries
    }

    fn of(&self, slot: Slot) -> Vec<(&str, BootEntry)> {
        self.entries().into_iter().filter(|(_, entry)| entry.slot == slot).collect()
    }

    /// The unfinished kernel of a slot, as it is spelt in the folder.
    fn unfinished(&self, slot: Slot) -> Option<&str> {
        let wanted = unfinished_name(slot);
        self.names.iter().find(|name| name.eq_ignore_ascii_case(&wanted)).map(|name| &**name)
    }

    fn disable(&self, slot: Slot) -> Vec<Write> {
        let entries = self.of(slot);
        match (entries.as_slice(), self.unfinished(slot)) {
            ([], _) => Vec::new(),
            // The blocks stay, to be written over.
            ([(name, _)], None) => {
                vec![Write::Rename { from: (*name).to_owned(), to: unfinished_name(slot) }]
            }
            // Two names can be of the same clusters, which the first removal frees: none of them
            // may be written to any more.
            (several, unfinished) => {
                let names = several.iter().map(|(name, _)| *name).chain(unfinished);
                names.map(|name| Write::Remove(name.to_owned())).collect()
            }
        }
    }

    fn arm(&self, slot: Slot) -> Result<Vec<Write>, BootPathError> {
        let entries = self.of(slot);
        let from = match (entries.as_slice(), self.unfinished(slot)) {
            ([(name, _)], None) => name,
            ([], Some(name)) => name,
            ([], None) => return Err(BootPathError::Empty(slot)),
            (several, _) => return Err(BootPathError::Unreadable(ambiguous(slot, several))),
        };
        let own = entries.first().and_then(|(_, entry)| entry.number);
        let number = Some(self.number_above_other(slot, own).unwrap_or(1));
        let tries = Some(Tries { left: 1, done: 0 });
        let to = BootEntry { number, slot, tries }.name();
        Ok(rename(from, to))
    }

    fn commit(&self, slot: Slot) -> Result<Vec<Write>, BootPathError> {
        let entries = self.of(slot);
        let (name, entry) = match entries.as_slice() {
            [] => return Err(BootPathError::Empty(slot)),
            [one] => *one,
            several => return Err(BootPathError::Unreadable(ambiguous(slot, several))),
        };
        let number = self.number_above_other(slot, entry.number);
        Ok(rename(name, BootEntry { number, slot, tries: None }.name()))
    }

    /// `own`, or a number that puts `slot` before the other slot.
    fn number_above_other(&self, slot: Slot, own: Option<u32>) -> Option<u32> {
        let others = self.of(slot.other());
        match (own, others.iter().map(|(_, entry)| entry.number).max()) {
            (own, None) => own,
            (Some(own), Some(highest)) if highest.is_none_or(|highest| own > highest) => Some(own),
            (_, Some(highest)) => Some(highest.unwrap_or(0).saturating_add(1)),
        }
    }
}

fn rename(from: &str, to: String) -> Vec<Write> {
    if from == to { Vec::new() } else { vec![Write::Rename { from: from.to_owned(), to }] }
}

fn ambiguous(slot: Slot, entries: &[(&str, BootEntry)]) -> String {
    let names: Vec<_> = entries.iter().map(|(name, _)| *name).collect();
    format!("slot {slot} has more than one kernel: {}", names.join(", "))
}

impl BootPath for BootCount {
    fn slots(&self, running: Slot) -> Result<Slots, BootPathError> {
        let entries = self.entries();
        let uncounted = entries.iter().find(|(_, entry)| entry.tries.is_none());
        let first = entries.first().map(|(_, entry)| *entry);
        let armed = first.filter(|entry| entry.tries.is_some_and(|tries| tries.left > 0));
        Ok(Slots {
            running,
            default: uncounted.map(|(_, entry)| entry.slot),
            armed: armed.map(|entry| entry.slot),
        })
    }

    fn plan(&self, running: Slot, change: Change) -> Result<Vec<Write>, BootPathError> {
        check(&self.slots(running)?, change)?;
        match change {
            Change::Disable(slot) => Ok(self.disable(slot)),
            Change::Arm(slot) => self.arm(slot),
            Change::Commit(slot) => self.commit(slot),
        }
    }
}

#[cfg(test)]
mod tests;

//! The two slots, and what the boot medium says about them. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the two root file systems, with the kernel that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// `root-a`.
    A,
    /// `root-b`.
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

    /// The one that this is not.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
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

/// What runs and what the boot medium would start next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slots {
    /// The slot that this boot is in.
    pub running: Slot,
    /// The committed slot: boots whenever no trial is armed. `None` on a fresh disk, whose only
    /// slot has not proved itself yet, and when the medium has lost what it said.
    pub default: Option<Slot>,
    /// The slot that the next boot tries, once.
    pub armed: Option<Slot>,
}

impl Slots {
    /// Whether this boot is a trial: the next one falls back unless the slot is committed.
    pub fn on_trial(&self) -> bool {
        self.default.is_some_and(|default| default != self.running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_is_read_from_the_kernel_command_line() {
        assert_eq!(Slot::from_command_line("quiet holm.slot=b panic=10\n"), Some(Slot::B));
        assert_eq!(Slot::from_command_line("holm.slot=a holm.slot=b"), Some(Slot::B));
        assert_eq!(Slot::from_command_line("holm.slot=c"), None);
        assert_eq!(Slot::from_command_line("xholm.slot=a"), None);
    }

    #[test]
    fn only_a_slot_that_is_not_the_committed_one_is_on_trial() {
        let slots = |running, default| Slots { running, default, armed: None };
        assert!(slots(Slot::B, Some(Slot::A)).on_trial());
        assert!(!slots(Slot::A, Some(Slot::A)).on_trial());
        // A fresh disk has nothing to fall back to.
        assert!(!slots(Slot::A, None).on_trial());
    }
}

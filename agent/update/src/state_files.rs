//! The two state files by which a board without boot counting in its firmware chooses a slot: the
//! bytes, which file counts, what a boot does to them. Pure; must never do I/O.
//!
//! Each file is a U-Boot environment as `env import -c` reads it: CRC-32 (little endian) over the
//! rest, then `key=value` texts, each ended by NUL, then an empty one, padded with NUL to
//! [`SIZE`]. Keys: `seq`, `slot` (the committed one), `trial` (`a`, `b` or empty), `tries` (boots
//! that the trial has left). The boot script, `image/src/uboot/boot.cmd`, follows the same rules.
//!
//! | files | what boots | what is written first |
//! |---|---|---|
//! | newest has no trial, or one with no tries left, or of the committed slot | `slot` | nothing |
//! | newest has a trial with `n` tries left | `trial` | `tries = n - 1`, into the other file |
//! | none is valid | slot a | nothing |
//!
//! A write goes to the file that does not count, so a torn one leaves what was true before.

use std::fmt;

use crate::slot::Slot;

/// Names of the two files on the boot partition. Both always exist, so that a write changes one
/// sector of data and nothing that says where it lies.
pub const NAMES: [&str; 2] = ["state-1.env", "state-2.env"];

/// Bytes in each file: one sector, the most that a disk writes in one piece.
pub const SIZE: usize = 512;

/// The most tries that a trial can have: U-Boot's script counts in single digits.
pub const MOST_TRIES: u8 = 9;

const CHECKSUM: usize = 4;

/// The number of a state file: counts from 0 to 9, then from 0 again.
///
/// NVIDIA's U-Boot has no command that adds, so the script finds a digit's successor by going
/// through all ten. Ten are more than needed: of two files, one always follows the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence(u8);

impl Sequence {
    /// The number of the first file in a new image.
    pub const FIRST: Self = Self(0);

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self((self.0 + 1) % 10)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A slot that may boot without being committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// The slot on trial.
    pub slot: Slot,
    /// Boots that it still gets, at most [`MOST_TRIES`]. At 0 the committed slot boots.
    pub tries: u8,
}

/// What one state file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Which of two valid files is newer.
    pub sequence: Sequence,
    /// The committed slot.
    pub slot: Slot,
    /// The slot on trial, also after its tries are used up.
    pub trial: Option<Trial>,
}

/// Why a file does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidState {
    /// The file was cut, or is another one.
    #[error("has {0} bytes instead of {SIZE}")]
    Size(usize),
    /// A write of it was torn, or the card forgot.
    #[error("does not match its checksum")]
    Checksum,
    /// The checksum is right, but a key that must be there is missing or has no known value.
    #[error("has no usable value for '{0}'")]
    Key(&'static str),
}

impl State {
    /// What a new image starts with, in both files: slot a, committed.
    pub const INITIAL: Self = Self { sequence: Sequence::FIRST, slot: Slot::A, trial: None };

    /// The file's bytes. Tries above [`MOST_TRIES`] count as that many.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut text = format!("seq={}\0slot={}\0", self.sequence, self.slot);
        if let Some(trial) = self.trial {
            text += &format!("trial={}\0tries={}\0", trial.slot, trial.tries.min(MOST_TRIES));
        }
        let mut bytes = [0; SIZE];
        bytes[CHECKSUM..CHECKSUM + text.len()].copy_from_slice(text.as_bytes());
        let checksum = crc32fast::hash(&bytes[CHECKSUM..]);
        bytes[..CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a file. Unknown keys are left alone; of a key that is there twice the last counts, as
    /// for U-Boot. An unusable `trial` or `tries` means that there is no trial, for a node must
    /// rather boot what is committed.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidState> {
        let (checksum, text) = bytes
            .split_first_chunk::<CHECKSUM>()
            .filter(|_| bytes.len() == SIZE)
            .ok_or(InvalidState::Size(bytes.len()))?;
        if u32::from_le_bytes(*checksum) != crc32fast::hash(text) {
            return Err(InvalidState::Checksum);
        }
        let value = |key: &str| {
            text.split(|byte| *byte == 0)
                .take_while(|entry| !entry.is_empty())
                .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
                .filter(|(name, _)| *name == key)
                .map(|(_, value)| value)
                .last()
        };
        let slot_of = |key| value(key).and_then(|text| text.parse::<Slot>().ok());
        let sequence = value("seq").and_then(digit).ok_or(InvalidState::Key("seq"))?;
        let slot = slot_of("slot").ok_or(InvalidState::Key("slot"))?;
        let tries = value("tries").and_then(digit);
        let trial = slot_of("trial").zip(tries).map(|(slot, tries)| Trial { slot, tries });
        Ok(Self { sequence: Sequence(sequence), slot, trial })
    }

    /// What the boot script does with this state.
    pub fn boot(&self) -> Boot {
        match self.trial {
            Some(Trial { slot, tries }) if tries > 0 && slot != self.slot => Boot {
                slot,
                writes: Some(Self {
                    sequence: self.sequence.next(),
                    trial: Some(Trial { slot, tries: tries - 1 }),
                    ..*self
                }),
            },
            _ => Boot { slot: self.slot, writes: None },
        }
    }
}

/// One run of the boot script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// The slot that boots.
    pub slot: Slot,
    /// What goes into the file that does not count, before the slot boots.
    pub writes: Option<State>,
}

fn digit(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [digit @ b'0'..=b'9'] => Some(digit - b'0'),
        _ => None,
    }
}

/// The file that counts: its index in [`NAMES`], and what it says. The newer one of two valid
/// files; the first where their numbers do not follow each other. `None` when neither is valid.
pub fn current(files: [&[u8]; 2]) -> Option<(usize, State)> {
    match files.map(|bytes| State::decode(bytes).ok()) {
        [Some(first), Some(second)] if second.sequence == first.sequence.next() => {
            Some((1, second))
        }
        [Some(first), _] => Some((0, first)),
        [None, Some(second)] => Some((1, second)),
        [None, None] => None,
    }
}

/// Makes `slot` and `trial` true: the index in [`NAMES`] of the file to write, whole and in its
/// place, and its bytes. The other file must not be touched until these are on the disk.
pub fn write(files: [&[u8]; 2], slot: Slot, trial: Option<Trial>) -> (usize, [u8; SIZE]) {
    match current(files) {
        Some((index, state)) => {
            (1 - index, State { sequence: state.sequence.next(), slot, trial }.encode())
        }
        None => (0, State { sequence: Sequence::FIRST, slot, trial }.encode()),
    }
}

#[cfg(test)]
mod tests;

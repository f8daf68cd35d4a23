//! What every boot path has in common: the three changes of what boots next, and the writes that
//! they are made of. A boot path is what was read from the boot medium, and plans without writing;
//! [`crate::medium`] reads and performs. Pure.
//!
//! Every plan keeps this promise: whatever part of it reaches the disk, in whatever order within
//! one write, the loader starts the committed slot, or the armed one once.

use crate::slot::{Slot, Slots};

/// A change of what boots next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// The slot must not be started: it is about to be written, or has failed.
    Disable(Slot),
    /// The next boot tries the slot once; whatever ends it falls back to the committed one.
    Arm(Slot),
    /// The slot boots from now on.
    Commit(Slot),
}

/// One durable step in the folder of the boot path. Performed in order, each flushed before the
/// next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Give a file another name in the same folder. Nothing has the new name.
    Rename {
        /// The name that it has.
        from: String,
        /// The name that it gets.
        to: String,
    },
    /// Remove a file.
    Remove(String),
    /// Replace a file's content where it lies: the length stays, and it fits one sector, so that
    /// after a power cut the old or the new content is there.
    Overwrite {
        /// The file.
        name: String,
        /// Its new content.
        content: Vec<u8>,
    },
    /// Ask the firmware to try once, and read back that it will ([`RebootFlag`]). Lost with power.
    RaiseFlag,
}

/// Why a change cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootPathError {
    /// The running or committed slot would stop being bootable.
    #[error("slot {0} is in use: it is not to be changed")]
    InUse(Slot),
    /// There is no kernel to start in the slot.
    #[error("slot {0} has no kernel to start")]
    Empty(Slot),
    /// The medium says nothing that makes sense.
    #[error("{0}")]
    Unreadable(String),
}

/// The boot medium as it was read.
pub trait BootPath {
    /// What the medium says boots next.
    ///
    /// # Errors
    /// [`BootPathError::Unreadable`].
    fn slots(&self, running: Slot) -> Result<Slots, BootPathError>;

    /// The writes that make `change`; none when it is made already.
    ///
    /// # Errors
    /// See [`BootPathError`].
    fn plan(&self, running: Slot, change: Change) -> Result<Vec<Write>, BootPathError>;
}

/// The firmware's one-shot flag on boards whose loader keeps none on the disk.
pub trait RebootFlag {
    /// Sets the flag and reads it back. No reboot into a trial happens unless this succeeds.
    ///
    /// # Errors
    /// What failed: no driver, the firmware refused, or the read-back does not show the flag.
    fn raise(&self) -> std::io::Result<()>;
}

/// Refuses what no boot path may do: to disable the slot that runs or that is committed.
pub(crate) fn check(slots: &Slots, change: Change) -> Result<(), BootPathError> {
    match change {
        Change::Disable(slot) if slot == slots.running || Some(slot) == slots.default => {
            Err(BootPathError::InUse(slot))
        }
        // Arming the committed slot would make it count down.
        Change::Arm(slot) if Some(slot) == slots.default => Err(BootPathError::InUse(slot)),
        _ => Ok(()),
    }
}

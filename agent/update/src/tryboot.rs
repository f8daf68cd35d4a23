//! The boot path of the Raspberry Pi: `autoboot.txt` names the committed slot and the one that a
//! boot with the firmware's flag tries. Pure.
//!
//! The flag is one-shot and lives in the firmware's memory: every reset but the one that it was
//! raised for starts the committed slot.

use crate::autoboot::Autoboot;
use crate::boot_path::{BootPath, BootPathError, Change, Write, check};
use crate::slot::{Slot, Slots};

/// The file, in the root of the partition `select`.
pub const FILE: &str = "autoboot.txt";

/// The partition of the slot's boot files: `boot-a` is the second, `boot-b` the third.
pub fn partition(slot: Slot) -> u8 {
    match slot {
        Slot::A => 2,
        Slot::B => 3,
    }
}

fn slot(partition: u8) -> Option<Slot> {
    [Slot::A, Slot::B].into_iter().find(|slot| self::partition(*slot) == partition)
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tryboot {
    /// The content of [`FILE`].
    pub autoboot: Vec<u8>,
    /// Whether the firmware's flag is up.
    pub flag: bool,
}

impl Tryboot {
    fn read(&self) -> Result<(Slot, Slot), BootPathError> {
        let unreadable = |text: String| BootPathError::Unreadable(text);
        let read =
            Autoboot::parse(&self.autoboot).map_err(|error| unreadable(error.to_string()))?;
        let known = |number: u8| {
            let text = format!("autoboot.txt names partition {number}; slots are 2 and 3");
            slot(number).ok_or(unreadable(text))
        };
        Ok((known(read.boot)?, known(read.tryboot)?))
    }

    fn overwrite(boot: Slot, tryboot: Slot) -> Write {
        let autoboot = Autoboot { boot: partition(boot), tryboot: partition(tryboot) };
        Write::Overwrite { name: FILE.to_owned(), content: autoboot.render() }
    }
}

impl BootPath for Tryboot {
    fn slots(&self, running: Slot) -> Result<Slots, BootPathError> {
        let Ok((default, tried)) = self.read() else {
            return Ok(Slots { running, default: None, armed: None });
        };
        let armed = (self.flag && tried != default).then_some(tried);
        Ok(Slots { running, default: Some(default), armed })
    }

    /// | change  | boot | tryboot | flag |
    /// |---------|------|---------|------|
    /// | disable | same | as boot |      |
    /// | arm     | same | slot    | up   |
    /// | commit  | slot | slot    |      |
    fn plan(&self, running: Slot, change: Change) -> Result<Vec<Write>, BootPathError> {
        let (default, tried) = match self.read() {
            Ok(read) => read,
            // What runs was started somehow; to write it down anew is the repair.
            Err(_) if change == Change::Commit(running) => {
                return Ok(vec![Self::overwrite(running, running)]);
            }
            Err(error) => return Err(error),
        };
        check(&self.slots(running)?, change)?;
        let (wanted, raise) = match change {
            Change::Disable(_) => ((default, default), false),
            Change::Arm(slot) => ((default, slot), true),
            Change::Commit(slot) => ((slot, slot), false),
        };
        let mut writes = Vec::new();
        if wanted != (default, tried) {
            writes.push(Self::overwrite(wanted.0, wanted.1));
        }
        if raise && !self.flag {
            writes.push(Write::RaiseFlag);
        }
        Ok(writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medium(boot: u8, tryboot: u8) -> Tryboot {
        Tryboot { autoboot: Autoboot { boot, tryboot }.render(), flag: false }
    }

    fn content(boot: u8, tryboot: u8) -> Write {
        let content = Autoboot { boot, tryboot }.render();
        Write::Overwrite { name: FILE.into(), content }
    }

    #[test]
    fn trial_is_the_named_partition_and_then_the_flag() {
        let writes = medium(2, 2).plan(Slot::A, Change::Arm(Slot::B)).unwrap();
        assert_eq!(writes, [content(2, 3), Write::RaiseFlag]);
        let armed = Tryboot { flag: true, ..medium(2, 3) };
        assert_eq!(armed.slots(Slot::A).unwrap().armed, Some(Slot::B));
        assert_eq!(armed.plan(Slot::A, Change::Arm(Slot::B)), Ok(vec![]));
    }

    #[test]
    fn commit_leaves_nothing_to_try() {
        let writes = medium(2, 3).plan(Slot::B, Change::Commit(Slot::B)).unwrap();
        assert_eq!(writes, [content(3, 3)]);
        assert_eq!(medium(3, 3).plan(Slot::B, Change::Commit(Slot::B)), Ok(vec![]));
    }

    #[test]
    fn disabled_slot_is_not_even_tried() {
        let writes = medium(3, 2).plan(Slot::B, Change::Disable(Slot::A)).unwrap();
        assert_eq!(writes, [content(3, 3)]);
    }

    #[test]
    fn slots_in_use_are_not_disabled_or_armed() {
        let in_use = |slot| Err(BootPathError::InUse(slot));
        assert_eq!(medium(2, 2).plan(Slot::A, Change::Disable(Slot::A)), in_use(Slot::A));
        assert_eq!(medium(2, 3).plan(Slot::B, Change::Disable(Slot::A)), in_use(Slot::A));
        assert_eq!(medium(2, 2).plan(Slot::A, Change::Arm(Slot::A)), in_use(Slot::A));
    }

    #[test]
    fn unreadable_file_is_an_error_until_the_running_slot_is_committed() {
        let broken = Tryboot { autoboot: b"?".to_vec(), flag: false };
        assert_eq!(broken.slots(Slot::A).unwrap().default, None);
        assert!(broken.plan(Slot::A, Change::Arm(Slot::B)).is_err());
        assert_eq!(broken.plan(Slot::A, Change::Commit(Slot::A)), Ok(vec![content(2, 2)]));
        let foreign = medium(5, 2).plan(Slot::A, Change::Arm(Slot::B)).unwrap_err().to_string();
        assert_eq!(foreign, "autoboot.txt names partition 5; slots are 2 and 3");
    }
}

//! The boot path of boards whose loader runs Holm's script: two state files, of which the newer
//! valid one counts. Pure. [`crate::state_files`] has the bytes and the script's rules.

use crate::boot_path::{BootPath, BootPathError, Change, Write, check};
use crate::slot::{Slot, Slots};
use crate::state_files::{NAMES, State, Trial, current, write};

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwoFiles {
    /// The contents of the files [`NAMES`].
    pub files: [Vec<u8>; 2],
}

impl TwoFiles {
    fn state(&self) -> Option<State> {
        current(self.bytes()).map(|(_, state)| state)
    }

    fn bytes(&self) -> [&[u8]; 2] {
        [&self.files[0], &self.files[1]]
    }

    /// Writes to the file that does not count, and says so to a second write.
    fn overwrite(&mut self, slot: Slot, trial: Option<Trial>) -> Write {
        let (index, content) = write(self.bytes(), slot, trial);
        self.files[index] = content.to_vec();
        Write::Overwrite { name: NAMES[index].to_owned(), content: content.to_vec() }
    }
}

impl BootPath for TwoFiles {
    fn slots(&self, running: Slot) -> Result<Slots, BootPathError> {
        let state = self.state();
        let tried = state.and_then(|state| Some(state.boot().slot).filter(|s| *s != state.slot));
        Ok(Slots { running, default: state.map(|state| state.slot), armed: tried })
    }

    /// | change  | slot | trial | tries | files written |
    /// |---------|------|-------|-------|---------------|
    /// | disable | same | none  |       | one           |
    /// | arm     | same | slot  | 1     | one           |
    /// | commit  | slot | none  |       | both, so that the loss of one undoes nothing |
    fn plan(&self, running: Slot, change: Change) -> Result<Vec<Write>, BootPathError> {
        check(&self.slots(running)?, change)?;
        let state = self.state();
        let mut after = self.clone();
        Ok(match (change, state) {
            (Change::Commit(slot), Some(State { slot: default, trial: None, .. }))
                if slot == default =>
            {
                Vec::new()
            }
            (Change::Commit(slot), _) => {
                vec![after.overwrite(slot, None), after.overwrite(slot, None)]
            }
            (_, None) => {
                let text = "neither state file is valid: commit the slot that runs".to_owned();
                return Err(BootPathError::Unreadable(text));
            }
            (Change::Disable(_), Some(State { trial: None, .. })) => Vec::new(),
            (Change::Disable(_), Some(state)) => vec![after.overwrite(state.slot, None)],
            (Change::Arm(slot), Some(state)) => {
                let trial = Some(Trial { slot, tries: 1 });
                if state.trial == trial {
                    Vec::new()
                } else {
                    vec![after.overwrite(state.slot, trial)]
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_files::SIZE;

    fn fresh() -> TwoFiles {
        let content = State::INITIAL.encode().to_vec();
        TwoFiles { files: [content.clone(), content] }
    }

    fn performed(mut medium: TwoFiles, writes: &[Write]) -> TwoFiles {
        for write in writes {
            let Write::Overwrite { name, content } = write else { panic!("{write:?}") };
            assert_eq!(content.len(), SIZE);
            let index = NAMES.iter().position(|known| known == name).unwrap();
            medium.files[index].clone_from(content);
        }
        medium
    }

    fn make(medium: &TwoFiles, running: Slot, change: Change) -> TwoFiles {
        let writes = medium.plan(running, change).unwrap();
        let after = performed(medium.clone(), &writes);
        assert_eq!(after.plan(running, change), Ok(vec![]), "twice is harmless");
        after
    }

    #[test]
    fn slot_is_armed_for_one_boot_and_committed_in_both_files() {
        let armed = make(&fresh(), Slot::A, Change::Arm(Slot::B));
        let slots = armed.slots(Slot::A).unwrap();
        assert_eq!((slots.default, slots.armed), (Some(Slot::A), Some(Slot::B)));
        let boot = armed.state().unwrap().boot();
        assert_eq!((boot.slot, boot.writes.unwrap().trial.unwrap().tries), (Slot::B, 0));
        let mut committed = make(&armed, Slot::B, Change::Commit(Slot::B));
        for lost in 0..2 {
            let kept = std::mem::take(&mut committed.files[lost]);
            assert_eq!(committed.slots(Slot::B).unwrap().default, Some(Slot::B));
            committed.files[lost] = kept;
        }
    }

    #[test]
    fn disabled_slot_is_not_tried() {
        let armed = make(&fresh(), Slot::A, Change::Arm(Slot::B));
        let disabled = make(&armed, Slot::A, Change::Disable(Slot::B));
        assert_eq!(disabled.slots(Slot::A).unwrap().armed, None);
    }

    #[test]
    fn slots_in_use_are_not_disabled_or_armed() {
        let in_use = Err(BootPathError::InUse(Slot::A));
        assert_eq!(fresh().plan(Slot::A, Change::Disable(Slot::A)), in_use);
        assert_eq!(fresh().plan(Slot::B, Change::Arm(Slot::A)), in_use);
    }

    #[test]
    fn loss_of_both_files_is_repaired_by_committing_what_runs() {
        let lost = TwoFiles { files: [Vec::new(), vec![0; SIZE]] };
        assert_eq!(lost.slots(Slot::B).unwrap().default, None);
        assert!(matches!(
            lost.plan(Slot::B, Change::Arm(Slot::A)),
            Err(BootPathError::Unreadable(_))
        ));
        let repaired = make(&lost, Slot::B, Change::Commit(Slot::B));
        assert_eq!(repaired.slots(Slot::B).unwrap().default, Some(Slot::B));
    }
}

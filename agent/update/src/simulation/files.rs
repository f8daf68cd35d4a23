//! Boot paths that write files where they lie: the Raspberry Pi's `autoboot.txt`, whose one sector
//! is old or new, and the two state files, which a cut may tear (their checksum tells).

use super::disk::{Loader, System};
use crate::autoboot::Autoboot;
use crate::boot_path::Write;
use crate::slot::Slot;
use crate::state_files::{self, NAMES, State, current};
use crate::tryboot::{Tryboot, partition};
use crate::two_files::TwoFiles;

const FRESH: [System; 2] = [System::Complete(1), System::Torn];

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pi {
    autoboot: Vec<u8>,
    /// The firmware's memory.
    flag: bool,
    kernels: [System; 2],
}

impl Pi {
    pub(super) fn fresh() -> Self {
        Self { autoboot: Autoboot { boot: 2, tryboot: 2 }.render(), flag: false, kernels: FRESH }
    }
}

impl Loader for Pi {
    type Path = Tryboot;

    fn path(&self) -> Tryboot {
        Tryboot { autoboot: self.autoboot.clone(), flag: self.flag }
    }

    fn boot(&self) -> (Slot, Vec<Self>, Self) {
        let read = Autoboot::parse(&self.autoboot).expect("the firmware can read it");
        let chosen = if self.flag { read.tryboot } else { read.boot };
        let slot = if chosen == partition(Slot::A) { Slot::A } else { Slot::B };
        (slot, Vec::new(), Self { flag: false, ..self.clone() })
    }

    fn write(&self, write: &Write) -> (Vec<Self>, Self) {
        let after = match write {
            Write::Overwrite { content, .. } => {
                assert_eq!(content.len(), self.autoboot.len(), "the length never changes");
                Self { autoboot: content.clone(), ..self.clone() }
            }
            Write::RaiseFlag => Self { flag: true, ..self.clone() },
            other => panic!("no write of this path: {other:?}"),
        };
        (vec![self.clone(), after.clone()], after)
    }

    fn write_kernel(&self, slot: Slot, system: System) -> (Vec<Self>, Self) {
        let mut after = self.clone();
        after.kernels[slot as usize] = system;
        (vec![self.clone(), after.clone()], after)
    }

    fn kernel(&self, slot: Slot) -> System {
        self.kernels[slot as usize]
    }

    fn without_flag(self) -> Self {
        Self { flag: false, ..self }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Nano {
    files: [Vec<u8>; 2],
    kernels: [System; 2],
}

impl Nano {
    pub(super) fn fresh() -> Self {
        let content = State::INITIAL.encode().to_vec();
        Self { files: [content.clone(), content], kernels: FRESH }
    }

    fn overwritten(&self, index: usize, content: &[u8]) -> (Vec<Self>, Self) {
        let with = |content: Vec<u8>| {
            let mut after = self.clone();
            after.files[index] = content;
            after
        };
        // Half of the new content before half of the old.
        let torn = [&content[..16], &self.files[index][16..]].concat();
        let done = with(content.to_vec());
        (vec![self.clone(), with(torn), done.clone()], done)
    }
}

impl Loader for Nano {
    type Path = TwoFiles;

    fn path(&self) -> TwoFiles {
        TwoFiles { files: self.files.clone() }
    }

    fn boot(&self) -> (Slot, Vec<Self>, Self) {
        let (index, state) = current([&self.files[0], &self.files[1]]).expect("one file is valid");
        let boot = state.boot();
        match boot.writes {
            None => (boot.slot, Vec::new(), self.clone()),
            Some(next) => {
                let (torn, done) = self.overwritten(1 - index, &next.encode());
                (boot.slot, torn, done)
            }
        }
    }

    fn write(&self, write: &Write) -> (Vec<Self>, Self) {
        let Write::Overwrite { name, content } = write else {
            panic!("no write of this path: {write:?}")
        };
        assert_eq!(content.len(), state_files::SIZE);
        let index = NAMES.iter().position(|known| known == name).expect("a state file");
        self.overwritten(index, content)
    }

    fn write_kernel(&self, slot: Slot, system: System) -> (Vec<Self>, Self) {
        let mut after = self.clone();
        after.kernels[slot as usize] = system;
        (vec![self.clone(), after.clone()], after)
    }

    fn kernel(&self, slot: Slot) -> System {
        self.kernels[slot as usize]
    }
}

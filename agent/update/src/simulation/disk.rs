//! A node's disk between two power-ons, and what must hold at each boot.

use std::fmt::Debug;
use std::hash::Hash;

use crate::boot_path::{BootPath, Write};
use crate::ledger::Ledger;
use crate::slot::Slot;

/// What lies in a slot, or in a kernel's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum System {
    /// Whole, of this version.
    Complete(u8),
    /// Half-written, or never written.
    Torn,
}

/// A boot medium with its loader. A step gives what a power cut during it may leave, and what it
/// leaves when it is done.
pub(super) trait Loader: Clone + Eq + Hash + Debug {
    type Path: BootPath;

    /// As the node reads it.
    fn path(&self) -> Self::Path;

    /// What the loader does: the slot that it starts, and the medium then, or when cut.
    fn boot(&self) -> (Slot, Vec<Self>, Self);

    /// Performs one write of a plan.
    fn write(&self, write: &Write) -> (Vec<Self>, Self);

    /// Writes the kernel of a slot that is disabled: `Torn` begins, `Complete` ends it.
    fn write_kernel(&self, slot: Slot, system: System) -> (Vec<Self>, Self);

    /// The kernel that the loader would start for the slot.
    fn kernel(&self, slot: Slot) -> System;

    /// Power is gone: the firmware's memory with it.
    fn without_flag(self) -> Self {
        self
    }
}

/// The disk, and what is known about its past that the node itself does not know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Disk<L> {
    pub(super) loader: L,
    pub(super) roots: [System; 2],
    pub(super) ledger: Ledger,
    /// The kernel that panicked last left a record.
    pub(super) evidence: bool,
    /// The highest version that was ever committed.
    pub(super) committed: u8,
}

impl<L: Loader> Disk<L> {
    pub(super) fn fresh(loader: L) -> Self {
        let roots = [System::Complete(1), System::Torn];
        Self { loader, roots, ledger: Ledger::default(), evidence: false, committed: 1 }
    }

    pub(super) fn without_flag(self) -> Self {
        Self { loader: self.loader.without_flag(), ..self }
    }

    /// The loader runs.
    pub(super) fn power_on(self, cuts: &mut Vec<Self>) -> (Slot, Self) {
        let (slot, torn, done) = self.loader.boot();
        cuts.extend(torn.into_iter().map(|loader| Self { loader, ..self.clone() }.without_flag()));
        let disk = Self { loader: done.without_flag(), ..self };
        cuts.push(disk.clone());
        (slot, disk)
    }

    /// The version that boots in the slot. A slot that cannot boot ends the simulation.
    pub(super) fn running(&self, slot: Slot) -> u8 {
        match (self.loader.kernel(slot), self.roots[slot as usize]) {
            (System::Complete(kernel), System::Complete(root)) if kernel == root => root,
            found => panic!("slot {slot} does not boot ({found:?}): {self:?}"),
        }
    }

    pub(super) fn check_boot(&self, running: Slot, version: u8) {
        let slots = self.loader.path().slots(running).expect("the medium is readable");
        assert!(version >= self.committed, "a silent downgrade: {self:?}");
        assert_eq!(
            slots.armed.filter(|armed| *armed == running && slots.on_trial()),
            None,
            "a trial that boots again and again: {self:?}"
        );
    }

    /// Remembers what the medium commits to.
    pub(super) fn note_commit(&mut self) {
        let slots = self.loader.path().slots(Slot::A).expect("the medium is readable");
        if let Some(slot) = slots.default {
            self.committed = self.committed.max(self.running(slot));
        }
    }
}

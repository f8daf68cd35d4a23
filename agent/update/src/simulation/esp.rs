//! The ESP with systemd-boot. Folders of FAT as they are: 32-byte entries, sixteen to a sector, a
//! long name in several of them; a new name takes the first gap that is large enough, and a rename
//! is a new name and then the removal of the old one. Sectors of one flush reach the disk in any
//! order, each whole or not at all.

use std::rc::Rc;

use super::disk::{Loader, System};
use crate::boot_count::{BootCount, BootEntry, unfinished_name};
use crate::boot_path::Write;
use crate::slot::Slot;

const ENTRIES: usize = 16;
const SECTORS: usize = 2;

/// One part of a name, and the file that it is of.
type Entry = Option<(Rc<str>, usize, usize)>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Esp {
    folder: Vec<Entry>,
    /// Contents by file; `None` when its clusters are free.
    files: Vec<Option<System>>,
}

impl Esp {
    pub(super) fn fresh() -> Self {
        let mut folder = vec![None; ENTRIES * SECTORS];
        // The folder itself, and the one above it.
        folder[0] = Some((".".into(), 0, usize::MAX));
        folder[1] = Some(("..".into(), 0, usize::MAX));
        let mut esp = Self { folder, files: vec![Some(System::Complete(1))] };
        esp.add("holm-a+3.efi", 0);
        esp
    }

    /// The files by name. A name of which a part is missing is none.
    fn names(&self) -> Vec<(Rc<str>, usize)> {
        let mut names = Vec::new();
        let mut at = 2;
        while at < self.folder.len() {
            let Some((name, 0, file)) = &self.folder[at] else {
                assert_eq!(self.folder[at], None, "a part of a name without its begin: {self:?}");
                at += 1;
                continue;
            };
            let parts = parts(name);
            for part in 0..parts {
                let whole = self.folder[at + part]
                    .as_ref()
                    .is_some_and(|entry| entry.0 == *name && entry.1 == part && entry.2 == *file);
                assert!(whole, "half a name: {self:?}");
            }
            names.push((name.clone(), *file));
            at += parts;
        }
        names
    }

    fn add(&mut self, name: &str, file: usize) {
        let parts = parts(name);
        let gap = self.folder.windows(parts).position(|window| window.iter().all(Option::is_none));
        let gap = gap.expect("the folder has room");
        let name: Rc<str> = name.into();
        for part in 0..parts {
            self.folder[gap + part] = Some((name.clone(), part, file));
        }
    }

    fn remove(&mut self, name: &str) -> usize {
        let file = self.file(name);
        for entry in &mut self.folder {
            if entry.as_ref().is_some_and(|(known, ..)| **known == *name) {
                *entry = None;
            }
        }
        file
    }

    fn file(&self, name: &str) -> usize {
        let found = self.names().into_iter().find(|(known, _)| **known == *name);
        found.unwrap_or_else(|| panic!("no file {name}: {self:?}")).1
    }

    fn renamed(&self, from: &str, to: &str) -> Self {
        let mut after = self.clone();
        assert!(after.names().iter().all(|(name, _)| **name != *to), "{to} is there: {self:?}");
        let file = self.file(from);
        // As the kernel does it: the new name first, so both are there for a moment.
        after.add(to, file);
        after.remove(from);
        after
    }

    /// What a cut during the flush of `after` can leave: any part of the sectors that differ.
    fn torn(&self, after: &Self) -> Vec<Self> {
        let range = |sector: usize| sector * ENTRIES..(sector + 1) * ENTRIES;
        let differs = |sector: &usize| self.folder[range(*sector)] != after.folder[range(*sector)];
        let changed: Vec<usize> = (0..SECTORS).filter(differs).collect();
        let subsets = 0..1usize << changed.len();
        let mix = |subset: usize| {
            let mut mixed = Self { files: after.files.clone(), ..self.clone() };
            for (bit, sector) in changed.iter().enumerate() {
                if subset & (1 << bit) != 0 {
                    mixed.folder[range(*sector)].clone_from_slice(&after.folder[range(*sector)]);
                }
            }
            mixed.tidied()
        };
        subsets.map(mix).collect()
    }

    /// Numbers of files that nothing names any more mean nothing.
    fn tidied(mut self) -> Self {
        let names = self.names();
        let mut files = Vec::new();
        let mut folder = vec![None; ENTRIES * SECTORS];
        folder[..2].clone_from_slice(&self.folder[..2]);
        let mut renumbered: Vec<(usize, usize)> = Vec::new();
        for (name, file) in names {
            let known = renumbered.iter().find(|(old, _)| *old == file).map(|(_, new)| *new);
            let new = known.unwrap_or_else(|| {
                files.push(self.files[file]);
                renumbered.push((file, files.len() - 1));
                files.len() - 1
            });
            let at = self.folder.iter().position(|e| e.as_ref().is_some_and(|e| e.0 == name));
            for part in 0..parts(&name) {
                folder[at.expect("it is there") + part] = Some((name.clone(), part, new));
            }
        }
        self.files = files;
        self.folder = folder;
        self
    }
}

/// Entries that a name takes: one, and one for each 13 letters when it is no short name.
fn parts(name: &str) -> usize {
    let short = name
        .split_once('.')
        .is_some_and(|(stem, end)| stem.len() <= 8 && end.len() <= 3 && !name.contains('+'));
    if short || name.starts_with('.') { 1 } else { 1 + name.len().div_ceil(13) }
}

impl Loader for Esp {
    type Path = BootCount;

    fn path(&self) -> BootCount {
        BootCount { names: self.names().into_iter().map(|(name, _)| name.to_string()).collect() }
    }

    fn boot(&self) -> (Slot, Vec<Self>, Self) {
        let path = self.path();
        let (name, entry) = path.entries()[0];
        let counted = entry.tries.is_some_and(|tries| tries.left > 0);
        if !counted {
            return (entry.slot, Vec::new(), self.clone());
        }
        let after = self.renamed(name, &BootEntry::counted_down(entry).name());
        (entry.slot, self.torn(&after), after)
    }

    fn write(&self, write: &Write) -> (Vec<Self>, Self) {
        let mut after = self.clone();
        match write {
            Write::Rename { from, to } => after = self.renamed(from, to),
            Write::Remove(name) => {
                let file = after.remove(name);
                after.files[file] = None;
            }
            other => panic!("no write of this path: {other:?}"),
        }
        (self.torn(&after), after.tidied())
    }

    fn write_kernel(&self, slot: Slot, system: System) -> (Vec<Self>, Self) {
        let mut after = self.clone();
        let name = unfinished_name(slot);
        if !after.names().iter().any(|(known, _)| **known == *name) {
            after.files.push(Some(System::Torn));
            after.add(&name, after.files.len() - 1);
        }
        let file = after.file(&name);
        after.files[file] = Some(system);
        (self.torn(&after), after.tidied())
    }

    fn kernel(&self, slot: Slot) -> System {
        let path = self.path();
        let entries = path.entries();
        let first = entries.iter().find(|(_, entry)| entry.slot == slot);
        let file = first.map(|(name, _)| self.file(name));
        file.and_then(|file| self.files[file]).unwrap_or(System::Torn)
    }
}

#[test]
fn every_name_of_a_kernel_lies_in_the_first_sector() {
    // Two kernels and the new name of one of them, wherever the old ones lie.
    let most = parts("holm-4294967295-b+0-1.efi");
    assert_eq!(most, 3);
    let free = ENTRIES - 2 - 2 * most;
    assert!(free.div_ceil(3) >= most, "no gap is large enough");
}

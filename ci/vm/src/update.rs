//! A node with a version in its other slot, put there from outside as an installation leaves it:
//! the root, a kernel that no loader sees yet, and the ledger that says that it is staged.
//!
//! The version is the image's own, with a kernel command line that a scenario may spoil. Must never
//! touch the slot that runs.

use std::fs::File;
use std::os::unix::fs::FileExt;

use holm_update::boot_count::{FOLDER, unfinished_name};
use holm_update::ledger::{Attempt, Ledger, Stage};
use holm_update::slot::Slot;
use holm_update::store::Store;

use crate::scenario::{Scenario, ScenarioError};

/// What the staged version is called.
pub const VERSION: &str = "9.0.0";

/// Short times, so that a scenario sees their ends: a trial passes 5 s after all is well, and fails
/// after 60 s.
pub const DOCUMENT: &str = "[node]\nhostname = \"edge-1\"\n[watchdog]\ntimeout = \"10s\"\n\
    [update]\nautomatic = false\nsettle = \"5s\"\nlimit = \"60s\"\n";

/// Where the ledger lies on the state partition.
const LEDGER: &str = "update/ledger.json";

/// Stages [`VERSION`] in the other slot of a fresh disk. `spoil` replaces a part of its kernel's
/// command line by another of the same length.
pub fn stage(scenario: &Scenario, spoil: Option<(&str, &str)>) -> Result<(), ScenarioError> {
    let disk = &scenario.disk;
    let failed = |what| {
        let path = disk.path().to_owned();
        move |source| ScenarioError::File { what, path, source }
    };
    let (from, to) = (disk.partition("root-a")?, disk.partition("root-b")?);
    let file = File::options().read(true).write(true).open(disk.path()).map_err(failed("open"))?;
    let mut block = vec![0; 1 << 20];
    let mut at = 0;
    while at < from.length.min(to.length) {
        let length = usize::try_from(from.length - at).map_or(block.len(), |l| l.min(block.len()));
        file.read_exact_at(&mut block[..length], from.start + at).map_err(failed("read"))?;
        file.write_all_at(&block[..length], to.start + at).map_err(failed("write"))?;
        at += length as u64;
    }
    let mut kernel = disk.read_boot_file(&format!("{FOLDER}/holm-a+3.efi"))?;
    replace(&mut kernel, "holm.slot=a", "holm.slot=b")?;
    if let Some((good, bad)) = spoil {
        replace(&mut kernel, good, bad)?;
    }
    disk.write_boot_file(&format!("{FOLDER}/{}", unfinished_name(Slot::B)), &kernel)?;
    let attempt = Attempt {
        version: VERSION.to_owned(),
        from: env!("CARGO_PKG_VERSION").to_owned(),
        slot: Slot::B,
        stage: Stage::Staged,
        arms: 0,
        verdict: None,
        rollback: false,
    };
    let ledger = Ledger { attempt: Some(attempt), ..Ledger::default() };
    Store::new(scenario.folder().to_owned()).save(&ledger).map_err(failed("keep the ledger of"))?;
    let path = scenario.folder().join("ledger.json");
    Ok(disk.write_ext4_file("state", LEDGER, &path)?)
}

/// Replaces the one place of `good` in a kernel.
fn replace(kernel: &mut [u8], good: &str, bad: &str) -> Result<(), ScenarioError> {
    let (good, bad) = (good.as_bytes(), bad.as_bytes());
    let mut places = kernel.windows(good.len()).enumerate().filter(|(_, part)| *part == good);
    let (Some((at, _)), None) = (places.next(), places.next()) else {
        return Err(ScenarioError::Uki);
    };
    if good.len() != bad.len() {
        return Err(ScenarioError::Uki);
    }
    kernel[at..at + bad.len()].copy_from_slice(bad);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_once_is_replaced_by_as_much() {
        let mut kernel = b"x quiet y".to_vec();
        replace(&mut kernel, "quiet", "noise").unwrap();
        assert_eq!(kernel, b"x noise y");
        assert!(replace(&mut kernel, "quiet", "noise").is_err());
        assert!(replace(&mut kernel, "noise", "loud").is_err());
        assert!(replace(&mut b"aa".to_vec(), "a", "b").is_err());
    }
}

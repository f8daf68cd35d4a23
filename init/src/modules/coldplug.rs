//! Finds the devices that were there before anyone listened.
//! Reads sysfs only; loading is the caller's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Devices outside of any bus that have an alias: processor features and board.
const SINGLE: [&str; 2] = ["/sys/devices/system/cpu/modalias", "/sys/class/dmi/id/modalias"];

/// The aliases of all present devices, each once.
pub(crate) fn aliases() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in SINGLE {
        read_into(&mut found, Path::new(path));
    }
    for bus in entries(Path::new("/sys/bus")) {
        for device in entries(&bus.join("devices")) {
            read_into(&mut found, &device.join("modalias"));
        }
    }
    found
}

fn read_into(found: &mut BTreeSet<String>, path: &Path) {
    if let Ok(text) = fs::read_to_string(path) {
        let alias = text.trim();
        if !alias.is_empty() {
            found.insert(alias.to_owned());
        }
    }
}

fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

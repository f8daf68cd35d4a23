//! The tasks that load modules in stage two: for all devices that are there, and
//! for those that come later. Run in children of PID 1.

use super::coldplug;
use super::load::{Error, Loader, folder, read_texts};
use crate::cmdline::Cmdline;
use crate::device::efi;
use crate::kmsg::{self, Level};

/// Wanted by no device, but useful where it exists: keeps the last panic in the
/// firmware's variables.
const EFI_PSTORE: &str = "efi_pstore";
/// Names, one a line, that the image wants loaded.
const LIST: &str = "/etc/modules-load";

/// Loads the modules that the image names, and those for present devices.
pub(crate) fn coldplug() -> Result<(), String> {
    let mut requests: Vec<_> = named(&std::fs::read_to_string(LIST).unwrap_or_default())
        .map(|name| (name.to_owned(), true))
        .collect();
    if efi::is_present() {
        requests.push((EFI_PSTORE.to_owned(), false));
    }
    requests.extend(coldplug::aliases().into_iter().map(|alias| (alias, false)));
    load_all(requests)
}

/// Loads the modules for devices with these aliases.
pub(crate) fn load(aliases: impl Iterator<Item = String>) -> Result<(), String> {
    load_all(aliases.map(|alias| (alias, false)))
}

/// Loads modules that a person asked for: each must exist.
pub(crate) fn load_needed(names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Ok(());
    }
    load_all(names.iter().map(|name| (name.clone(), true)))
}

/// The names in a list, without comments.
pub(crate) fn named(list: &str) -> impl Iterator<Item = &str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Loads each request; those marked as needed must exist and load. A driver that
/// finds nothing to drive refuses, which is its way to say so. Goes on after a
/// failure and gives all of them.
fn load_all(requests: impl IntoIterator<Item = (String, bool)>) -> Result<(), String> {
    let cmdline = Cmdline::read().unwrap_or_default();
    let texts = read_texts(&folder());
    let mut loader = Loader::new(&texts, folder(), &cmdline);
    let mut failures = Vec::new();
    for (request, needed) in requests {
        match loader.load(&request) {
            Ok(_) => {}
            Err(Error::Unknown(_)) if !needed => {}
            Err(error @ Error::Refused(..)) if !needed => {
                kmsg::log(Level::Info, &error.to_string());
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_may_hold_comments_and_blank_lines() {
        let names: Vec<_> = named("# why\n\n overlay \nveth\n").collect();
        assert_eq!(names, ["overlay", "veth"]);
    }
}

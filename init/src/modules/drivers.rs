//! The tasks that load modules in stage two: for all devices that are there, and
//! for those that come later. Run in children of PID 1.

use super::coldplug;
use super::index::name;
use super::load::{Error, Loader, folder, read_texts};
use crate::cmdline::Cmdline;
use crate::device::efi;
use crate::kmsg::{self, Level};

/// Wanted by no device, but useful where it exists: keeps the last panic in the
/// firmware's variables.
const EFI_PSTORE: &str = "efi_pstore";
/// Names, one a line, that the image wants loaded.
pub(crate) const LIST: &str = "/etc/modules-load";

/// Loads the modules that the image names, and those for present devices that
/// the boot may need.
pub(crate) fn coldplug() -> Result<(), String> {
    let list = std::fs::read_to_string(LIST).unwrap_or_default();
    let mut wished: Vec<_> = coldplug::aliases().into_iter().collect();
    wished.retain(|alias| !is_disk_controller(alias));
    if efi::is_present() {
        wished.push(EFI_PSTORE.to_owned());
    }
    load_all(named(&list).map(str::to_owned).collect(), wished)
}

/// Loads what keeps the last panic, where there is a place for it.
pub(crate) fn keep_panics() -> Result<(), String> {
    load_wished(efi::is_present().then(|| EFI_PSTORE.to_owned()))
}

/// Loads the modules for all present devices: those that the boot left out, and
/// those whose announcements were lost.
pub(crate) fn coldplug_rest() -> Result<(), String> {
    load_wished(coldplug::aliases())
}

/// Whether it is a PCI device of the class of disk controllers. The boot has its
/// disk when stage two begins; others may come when the node is ready.
fn is_disk_controller(alias: &str) -> bool {
    let class = alias.strip_prefix("pci:").and_then(|rest| rest.split_once("bc"));
    class.is_some_and(|(_, class)| class.starts_with("01"))
}

/// Loads the modules for devices with these aliases, or of these names, should
/// there be any.
pub(crate) fn load_wished(wished: impl IntoIterator<Item = String>) -> Result<(), String> {
    load_all(Vec::new(), wished.into_iter().collect())
}

/// Loads modules that a person asked for: each must exist.
pub(crate) fn load_needed(names: &[String]) -> Result<(), String> {
    if names.is_empty() { Ok(()) } else { load_all(names.to_vec(), Vec::new()) }
}

/// The names in a list, without comments.
pub(crate) fn named(list: &str) -> impl Iterator<Item = &str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Loads each request, all at once. Those that are needed must exist and load;
/// among the wished ones a driver that finds nothing to drive refuses, which is
/// its way to say so. Goes on after a failure and gives all of them.
fn load_all(needed: Vec<String>, wished: Vec<String>) -> Result<(), String> {
    let cmdline = Cmdline::read().unwrap_or_default();
    let texts = read_texts(&folder());
    let mut loader = Loader::new(&texts, folder(), &cmdline);
    let all = needed.iter().chain(&wished).map(String::as_str);
    let mut failures = Vec::new();
    for error in loader.load(all) {
        if matters(&error, &needed) {
            failures.push(error.to_string());
        } else if matches!(error, Error::Refused(..)) {
            kmsg::log(Level::Info, &error.to_string());
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// Whether a failure is more than a device without a driver.
fn matters(error: &Error, needed: &[String]) -> bool {
    let is_needed = |subject: &str| needed.iter().any(|request| name(request) == name(subject));
    match error {
        Error::Unknown(subject) | Error::Refused(subject, _) => is_needed(subject),
        Error::Open(..) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_may_hold_comments_and_blank_lines() {
        let names: Vec<_> = named("# why\n\n overlay \nveth\n").collect();
        assert_eq!(names, ["overlay", "veth"]);
    }

    #[test]
    fn disk_controllers_are_told_by_their_class() {
        let ahci = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";
        let network = "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00";
        assert!(is_disk_controller(ahci));
        assert!(!is_disk_controller(network));
        assert!(!is_disk_controller("virtio:d00000002v00001AF4"));
    }

    #[test]
    fn device_without_a_driver_is_no_failure_but_a_missing_named_module_is() {
        let needed = vec!["dm-crypt".to_owned()];
        let refused = |module: &str| Error::Refused(module.into(), rustix::io::Errno::NODEV);
        assert!(matters(&refused("dm_crypt"), &needed));
        assert!(!matters(&refused("acpi_cpufreq"), &needed));
        assert!(matters(&Error::Unknown("dm-crypt".into()), &needed));
        assert!(!matters(&Error::Unknown("pci:v0001".into()), &needed));
        assert!(matters(&Error::Open("x.ko".into(), std::io::ErrorKind::NotFound.into()), &[]));
    }
}

//! Unified kernel images: the EFI stub with kernel, initramfs and command line as sections.
//! Specification: https://uapi-group.org/specifications/specs/unified_kernel_image/

mod pe;

pub use pe::{Error, Section, append};

/// What goes into a unified kernel image.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// `os-release`, which the boot loader shows and sorts entries by.
    pub os_release: &'a str,
    /// The kernel's release, as `uname -r` says it.
    pub kernel_release: &'a str,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// The kernel.
    pub kernel: &'a [u8],
    /// The initramfs, compressed.
    pub initramfs: &'a [u8],
    /// Device trees. The stub takes the one whose `compatible` is the firmware's, or the firmware's
    /// own tree where none fits.
    pub device_trees: &'a [Vec<u8>],
}

/// Puts the parts behind the stub. The kernel comes last: the stub needs no room after it then.
pub fn assemble(stub: &[u8], parts: &Parts) -> Result<Vec<u8>, Error> {
    let mut sections = vec![
        (".osrel", parts.os_release.as_bytes()),
        (".cmdline", parts.command_line.as_bytes()),
        (".uname", parts.kernel_release.as_bytes()),
    ];
    sections.extend(parts.device_trees.iter().map(|tree| (".dtbauto", tree.as_slice())));
    sections.extend([(".initrd", parts.initramfs), (".linux", parts.kernel)]);
    let sections = sections.into_iter().map(|(name, content)| Section { name, content });
    append(stub, &sections.collect::<Vec<_>>())
}

/// `os-release` as the boot loader may see it: without the version. The loader would sort kernels by
/// it, so that an older version could never be tried; the number in a kernel's name sorts them.
pub fn without_version(os_release: &str) -> String {
    let versions = ["VERSION=", "VERSION_ID=", "IMAGE_VERSION=", "BUILD_ID="];
    let lines = os_release.lines().filter(|line| !versions.iter().any(|key| line.starts_with(key)));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The root slot that a kernel mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The first, which a fresh image boots.
    A,
    /// The second, for the first update.
    B,
}

impl Slot {
    /// The letter in partition names, file names and on the command line.
    pub fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }
}

/// The command line of the kernel for one slot.
pub fn command_line(slot: Slot, root_hash: &str, hash_offset: u64, more: &[String]) -> String {
    let own =
        format!("roothash={root_hash} holm.slot={} holm.hash-offset={hash_offset}", slot.letter());
    [own].into_iter().chain(more.iter().cloned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_tree_is_a_section_and_the_kernel_is_last() {
        use object::{Object, ObjectSection};
        let trees = [b"tree one".to_vec(), b"tree two".to_vec()];
        let parts = Parts {
            os_release: "ID=holm\n",
            kernel_release: "7.3",
            command_line: "quiet",
            kernel: b"kernel",
            initramfs: b"initramfs",
            device_trees: &trees,
        };
        let image = assemble(&pe::tests::stub(), &parts).expect("the stub has room");
        let file = object::read::pe::PeFile64::parse(&*image).expect("a PE image");
        let names: Vec<_> =
            file.sections().filter_map(|s| s.name().ok().map(str::to_owned)).collect();
        assert_eq!(
            names,
            [".text", ".osrel", ".cmdline", ".uname", ".dtbauto", ".dtbauto", ".initrd", ".linux"]
        );
    }

    #[test]
    fn boot_loader_sees_no_version_to_sort_by() {
        let full = crate::root::os_release("1.2.3", Some("abc"), "x86-64");
        let seen = without_version(&full);
        assert!(full.contains("IMAGE_VERSION=1.2.3") && full.contains("BUILD_ID=abc"), "{full}");
        assert!(seen.contains("ID=holm\n") && seen.contains("PRETTY_NAME="), "{seen}");
        assert!(!seen.contains("VERSION") && !seen.contains("BUILD_ID"), "{seen}");
    }

    #[test]
    fn command_line_carries_hash_slot_and_the_boards_arguments() {
        let line = command_line(Slot::B, "ab12", 4096, &["panic=10".into(), "quiet".into()]);
        assert_eq!(line, "roothash=ab12 holm.slot=b holm.hash-offset=4096 panic=10 quiet");
    }
}

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
}

/// Puts the parts behind the stub. The kernel comes last: the stub needs no room after it then.
pub fn assemble(stub: &[u8], parts: &Parts) -> Result<Vec<u8>, Error> {
    let sections = [
        (".osrel", parts.os_release.as_bytes()),
        (".cmdline", parts.command_line.as_bytes()),
        (".uname", parts.kernel_release.as_bytes()),
        (".initrd", parts.initramfs),
        (".linux", parts.kernel),
    ];
    append(stub, &sections.map(|(name, content)| Section { name, content }))
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
    fn command_line_carries_hash_slot_and_the_boards_arguments() {
        let line = command_line(Slot::B, "ab12", 4096, &["panic=10".into(), "quiet".into()]);
        assert_eq!(line, "roothash=ab12 holm.slot=b holm.hash-offset=4096 panic=10 quiet");
    }
}

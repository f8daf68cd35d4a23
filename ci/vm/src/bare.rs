//! The image's own kernel with an init that does nothing but say when it came to run: what a boot
//! costs before Holm does anything.
//!
//! Must never change what the kernel is given beside its initramfs: the firmware, the machine, the
//! boot loader and the command line stay those of the image.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::scenario::{BOOT_WAIT, Scenario, ScenarioError, static_busybox};

/// Where a fresh image keeps the kernel of its first slot.
const UKI: &str = "EFI/Linux/holm-a+3.efi";

/// Says how long the kernel has run, and ends.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
read up rest </proc/uptime
echo \"bare: init runs after $up s\"
/bin/busybox poweroff -f
";

/// The image and a kernel without Holm.
pub struct BareKernel {
    image: PathBuf,
    uki: Vec<u8>,
}

impl BareKernel {
    /// Takes the kernel from the image's first slot.
    pub fn from_image(image: &Path) -> Result<Self, ScenarioError> {
        let scenario = Scenario::with_image("bare-kernel", image)?;
        let mut uki = scenario.disk.read_boot_file(UKI)?;
        let initramfs = cpio(&[
            ("bin", 0o040_755, &[]),
            ("proc", 0o040_755, &[]),
            ("bin/busybox", 0o100_755, &static_busybox()?),
            ("init", 0o100_755, INIT.as_bytes()),
        ]);
        replace_section(&mut uki, b".initrd\0", &initramfs).ok_or(ScenarioError::Uki)?;
        Ok(Self { image: image.to_owned(), uki })
    }

    /// Boots it; returns the time from the kernel's start to its init.
    pub fn boot(&self) -> Result<Duration, ScenarioError> {
        let scenario = Scenario::with_image("bare-kernel", &self.image)?;
        scenario.disk.write_boot_file(UKI, &self.uki)?;
        let vm = scenario.start()?;
        let (_, after) =
            vm.console.expect_any("the init that does nothing", BOOT_WAIT, parse_announcement)?;
        Ok(after)
    }
}

fn parse_announcement(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once("bare: init runs after ")?;
    Duration::try_from_secs_f64(rest.strip_suffix(" s")?.parse().ok()?).ok()
}

/// Puts shorter content into a section of a PE image, in place.
fn replace_section(image: &mut [u8], name: &[u8; 8], content: &[u8]) -> Option<()> {
    let pe = word(image, 0x3c, 4)?;
    let sections = word(image, pe + 6, 2)?;
    let table = pe + 24 + word(image, pe + 20, 2)?;
    let header = (0..sections)
        .map(|index| table + 40 * index)
        .find(|at| image.get(*at..at + 8).is_some_and(|found| found == name))?;
    let (room, start) = (word(image, header + 16, 4)?, word(image, header + 20, 4)?);
    let place = image.get_mut(start..start + room)?;
    place.get_mut(..content.len())?.copy_from_slice(content);
    image.get_mut(header + 8..header + 12)?.copy_from_slice(&(content.len() as u32).to_le_bytes());
    Some(())
}

fn word(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |word, byte| word << 8 | usize::from(*byte)))
}

/// An uncompressed initramfs in the kernel's `newc` format (Documentation/driver-api/early-userspace).
fn cpio(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (inode, (name, mode, content)) in
        entries.iter().chain([&("TRAILER!!!", 0, &[][..])]).enumerate()
    {
        let size = content.len();
        let name_size = name.len() + 1;
        let header = format!(
            "070701{:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08x}{:08x}{:08x}{:08x}{:08x}\
             {name_size:08x}{:08x}{name}\0",
            inode + 1,
            0,
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            0,
        );
        archive.extend(header.bytes());
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn the_announcement_is_read_from_a_console_line() {
        let line = "[    1.9] bare: init runs after 1.93 s";
        assert_eq!(parse_announcement(line), Some(Duration::from_millis(1930)));
        assert_eq!(parse_announcement("bare: init runs after - s"), None);
    }

    #[test]
    fn a_section_is_replaced_in_place_and_shortened() {
        let mut image = vec![0; 0x200];
        image[0x3c] = 0x40;
        image[0x46] = 1;
        image[0x54] = 0x10;
        let header = 0x40 + 24 + 0x10;
        image[header..header + 8].copy_from_slice(b".initrd\0");
        image[header + 16] = 0x80;
        image[header + 21] = 1;
        replace_section(&mut image, b".initrd\0", b"tiny").unwrap();
        assert_eq!(&image[0x100..0x104], b"tiny");
        assert_eq!(image[header + 8], 4);
        assert_eq!(replace_section(&mut image, b".initrd\0", &[0; 0x81]), None, "too long");
        assert_eq!(replace_section(&mut image, b".linux\0\0", b"x"), None, "not there");
        assert_eq!(replace_section(&mut [0; 10], b".initrd\0", b"x"), None, "no image");
    }

    #[test]
    fn the_archive_is_one_that_cpio_reads() {
        let archive = cpio(&[("bin", 0o040_755, &[]), ("bin/odd", 0o100_755, b"12345")]);
        let mut reader = Command::new("busybox")
            .args(["cpio", "-t"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        reader.stdin.take().unwrap().write_all(&archive).unwrap();
        let listed = reader.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&listed.stdout), "bin\nbin/odd\n");
    }
}

//! Checks the boot partition of a finished image as the boot script would find it. Must never let an
//! image out whose first boot fails for want of a file.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fatfs::{FileSystem, FsOptions};
use holm_update::state_files;

use super::{SCRIPT_NAME, is_image, parse_environment};
use crate::flash::table::{self, HEAD};

/// Why U-Boot would not boot the image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image or its boot partition cannot be read.
    #[error("cannot read the boot partition of {path}")]
    Read {
        /// The image.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something is not on it.
    #[error("the boot partition lacks {0}, which the boot script loads")]
    Missing(String),
    /// Something is there and of no use.
    #[error("{file} on the boot partition {what}")]
    Wrong {
        /// The file.
        file: String,
        /// What is the matter with it.
        what: String,
    },
}

/// Checks the image at `path`; `trees` are the device trees by their paths in the kernel's package.
pub fn check_image(path: &Path, trees: &[String]) -> Result<(), Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let bytes = boot_partition(path).map_err(failed)?;
    let volume = FileSystem::new(Cursor::new(bytes), FsOptions::new()).map_err(failed)?;
    check(trees, |name| {
        let mut bytes = Vec::new();
        volume.root_dir().open_file(name).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    })
}

fn boot_partition(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut head = vec![0; HEAD];
    file.read_exact_at(&mut head, 0)?;
    let table = table::parse(&head).map_err(io::Error::other)?;
    let range =
        table.document.ok_or_else(|| io::Error::other("no FAT partition is in its table"))?;
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

/// The check by itself: `read` gives a file's content.
fn check(trees: &[String], read: impl Fn(&str) -> Option<Vec<u8>>) -> Result<(), Error> {
    let need = |name: &str| read(name).ok_or_else(|| Error::Missing(name.to_owned()));
    let wrong =
        |file: &str, what: &str| Err(Error::Wrong { file: file.to_owned(), what: what.to_owned() });
    // The header of U-Boot's scripts: doc/usage/cmd/source.rst of U-Boot.
    if !need(SCRIPT_NAME)?.starts_with(&[0x27, 0x05, 0x19, 0x56]) {
        return wrong(SCRIPT_NAME, "has no header of mkimage's");
    }
    let files = [need(state_files::NAMES[0])?, need(state_files::NAMES[1])?];
    let Some((_, state)) = state_files::current([&files[0], &files[1]]) else {
        return wrong(state_files::NAMES[0], "is not valid, and the other one neither");
    };
    let slot = state.boot().slot.to_string();
    let path = |name: &str| format!("{slot}/{name}");
    let environment = path("boot.env");
    let arguments = parse_environment(&need(&environment)?, "bootargs").unwrap_or_default();
    for word in ["roothash=", &format!("holm.slot={slot}")] {
        if !arguments.split(' ').any(|argument| argument.starts_with(word)) {
            return wrong(&environment, &format!("gives the kernel no {word}"));
        }
    }
    if !is_image(&need(&path("vmlinuz"))?) {
        return wrong(&path("vmlinuz"), "is no kernel that booti starts");
    }
    if !need(&path("initramfs.zst"))?.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return wrong(&path("initramfs.zst"), "is not compressed with zstd");
    }
    for tree in trees {
        let tree = path(&format!("dtb/{tree}"));
        if !need(&tree)?.starts_with(&[0xd0, 0x0d, 0xfe, 0xed]) {
            return wrong(&tree, "is no device tree");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use holm_update::state_files::State;

    use super::*;
    use crate::uboot::{ENVIRONMENT, environment};

    const TREE: &str = "nvidia/tegra210-p3450-0000.dtb";

    fn good() -> BTreeMap<String, Vec<u8>> {
        let arguments = "panic=10 roothash=00 holm.slot=a";
        let mut kernel = vec![0; 64];
        kernel[56..60].copy_from_slice(b"ARM\x64");
        [
            ("boot.scr", vec![0x27, 0x05, 0x19, 0x56]),
            ("state-1.env", State::INITIAL.encode().to_vec()),
            ("state-2.env", vec![0; 512]),
            ("a/boot.env", environment(&[("bootargs", arguments)], ENVIRONMENT).expect("fits")),
            ("a/vmlinuz", kernel),
            ("a/initramfs.zst", vec![0x28, 0xb5, 0x2f, 0xfd]),
            ("a/dtb/nvidia/tegra210-p3450-0000.dtb", vec![0xd0, 0x0d, 0xfe, 0xed]),
        ]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .into()
    }

    fn checked(files: &BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
        check(&[TREE.to_owned()], |name| files.get(name).cloned())
    }

    #[test]
    fn whole_partition_passes_and_each_missing_file_is_named() {
        let good = good();
        checked(&good).expect("whole");
        for name in good.keys() {
            let mut files = good.clone();
            files.remove(name);
            let error = checked(&files).expect_err(name).to_string();
            assert!(error.contains(name.as_str()), "{name}: {error}");
        }
    }

    #[test]
    fn each_broken_file_is_named() {
        for name in good().keys().filter(|name| *name != "state-2.env") {
            let mut files = good();
            files.insert(name.clone(), vec![1; 100]);
            let error = checked(&files).expect_err(name).to_string();
            assert!(error.contains(name.as_str()), "{name}: {error}");
        }
    }

    #[test]
    fn kernel_without_the_roots_hash_is_noticed() {
        let mut files = good();
        let bytes = environment(&[("bootargs", "holm.slot=a")], ENVIRONMENT).expect("fits");
        files.insert("a/boot.env".to_owned(), bytes);
        let error = checked(&files).expect_err("no root hash").to_string();
        assert!(error.contains("roothash="), "{error}");
    }
}

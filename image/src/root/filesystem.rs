//! Makes the root file system from its tree and appends the dm-verity hash tree.
//! Must never let time, order or owner of the build machine's files reach the bytes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::board::{self, Format};
use crate::digest::{Digest, Key, guid_text};
use crate::process;
use crate::toolbox::Toolbox;
use crate::tree::{self, Tree};

/// dm-verity's block size, for data and hashes alike.
const BLOCK: u64 = 4096;

/// A finished root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootImage {
    /// The file: file system, then superblock and hash tree.
    pub path: PathBuf,
    /// The hash that the kernel verifies everything against.
    pub root_hash: String,
    /// Where the verity superblock is, in bytes.
    pub hash_offset: u64,
}

/// Why the root could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tree could not be laid out.
    #[error("cannot lay out the root file system")]
    Stage(#[from] tree::Error),
    /// A maker failed.
    #[error("cannot make the root file system")]
    Tool(#[from] process::Error),
    /// The image could not be read or extended.
    #[error("cannot {what} the root file system")]
    Image {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// veritysetup said something else than expected.
    #[error("veritysetup names no root hash:\n{said}")]
    NoRootHash {
        /// What it said.
        said: String,
    },
}

/// Makes `root.img` in `folder`, with every time at `epoch` (seconds since 1970).
pub fn make(
    tree: &Tree,
    settings: &board::Root,
    epoch: u32,
    tools: &Toolbox,
    folder: &Path,
) -> Result<RootImage, Error> {
    let staged = folder.join("tree");
    let image = folder.join("root.img");
    let io = |what| move |source| Error::Image { what, source };
    fs::create_dir(&staged).map_err(io("stage"))?;
    tree::stage(tree, &staged)?;
    let guid =
        guid_text(&Key::new("root file system").input("tree", tree.digest()).digest().guid());
    process::run(&mut maker(settings, epoch, &guid, tools, &staged, &image))?;
    fs::remove_dir_all(&staged).map_err(io("clear"))?;
    append_verity(&image, tools)
}

/// The command that makes the file system.
fn maker(
    settings: &board::Root,
    epoch: u32,
    guid: &str,
    tools: &Toolbox,
    from: &Path,
    to: &Path,
) -> Command {
    let epoch = epoch.to_string();
    match settings.format {
        Format::Erofs => {
            let mut command = tools.command("bin/mkfs.erofs");
            command.args(["--quiet", "--all-root", "-x-1", "-C65536"]);
            command.arg(format!("-z{}", settings.compression));
            command.args(["-T", &epoch, "-U", guid]).arg(to).arg(from);
            command
        }
        Format::Squashfs => {
            let mut command = tools.command("bin/mksquashfs");
            command.arg(from).arg(to).args([
                "-all-root",
                "-no-xattrs",
                "-noappend",
                "-no-progress",
            ]);
            command.args(["-quiet", "-mkfs-time", &epoch, "-all-time", &epoch]);
            let mut words = settings.compression.split(',');
            command.args(["-comp", words.next().unwrap_or_default()]);
            for (name, value) in words.filter_map(|word| word.split_once('=')) {
                let option = if name == "level" { "-Xcompression-level" } else { name };
                command.args([option, value]);
            }
            command
        }
    }
}

/// Appends the verity superblock and hash tree. Salt and UUID come from the content.
fn append_verity(image: &Path, tools: &Toolbox) -> Result<RootImage, Error> {
    let io = |what| move |source| Error::Image { what, source };
    let size = fs::metadata(image).map_err(io("measure"))?.len();
    let hash_offset = size.next_multiple_of(BLOCK);
    let file = fs::OpenOptions::new().write(true).open(image).map_err(io("extend"))?;
    file.set_len(hash_offset).map_err(io("extend"))?;
    let content = Digest::of_file(image).map_err(io("read"))?;
    let salt = Key::new("verity salt").input("content", content).digest();
    let guid = Key::new("verity uuid").input("content", content).digest().guid();
    let mut command = tools.command("sbin/veritysetup");
    command.args(["format", "--hash", "sha256", "--format", "1"]);
    command.args(["--data-block-size", "4096", "--hash-block-size", "4096"]);
    command.arg(format!("--data-blocks={}", hash_offset / BLOCK));
    command.arg(format!("--hash-offset={hash_offset}"));
    command.arg(format!("--salt={salt}")).arg(format!("--uuid={}", guid_text(&guid)));
    let output = process::run(command.arg(image).arg(image))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match root_hash(&said) {
        Some(root_hash) => {
            Ok(RootImage { path: image.to_owned(), root_hash: root_hash.to_owned(), hash_offset })
        }
        None => Err(Error::NoRootHash { said }),
    }
}

fn root_hash(said: &str) -> Option<&str> {
    let hash = said.lines().find_map(|line| line.strip_prefix("Root hash:"))?.trim();
    (hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_hash_is_taken_from_the_report_and_nothing_else_passes() {
        let hash = "ab".repeat(32);
        let said = format!("VERITY header information for x\nHash type: 1\nRoot hash:  \t{hash}\n");
        assert_eq!(root_hash(&said), Some(&*hash));
        assert_eq!(root_hash("Root hash: short"), None);
        assert_eq!(root_hash(""), None);
    }
}

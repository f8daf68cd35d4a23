//! Makes the ext4 file systems of `state` and `data`, small now and able to grow while mounted.
//! Must never need root: files are put in through the file system's own library.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::{Key, guid_text};
use crate::process;
use crate::toolbox::Toolbox;

/// A file system to make.
#[derive(Debug, Clone)]
pub struct FileSystem<'a> {
    /// Its label, by which people recognise it.
    pub label: &'a str,
    /// For its UUID and hash seed.
    pub board: &'a str,
    /// Bytes.
    pub size: u64,
    /// The size in bytes that it must be able to grow to while mounted; `None` if it never grows.
    pub grow_to: Option<u64>,
    /// MiB of journal: it stays this size for ever, so it is chosen for the grown file system.
    pub journal: u64,
    /// Bytes of space for each inode.
    pub inode_ratio: u64,
    /// Percent of the blocks that only a process with `CAP_SYS_RESOURCE` gets.
    pub reserved_percent: u32,
    /// Every time in it, in seconds since 1970.
    pub epoch: u32,
    /// Files to put in, and their paths.
    pub files: &'a [(PathBuf, String)],
}

/// Why there is no file system.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file for it could not be made.
    #[error("cannot make {path}")]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The maker failed.
    #[error("cannot make the {label} file system")]
    Tool {
        /// Which one.
        label: String,
        /// What it said.
        source: process::Error,
    },
    /// A name that the tool would misread.
    #[error("cannot put a file named {0:?} on a file system: quotes and line breaks are not taken")]
    Name(String),
    /// debugfs goes on after an error and reports success, so its words decide.
    #[error("cannot put files on the {label} file system:\n{said}")]
    Put {
        /// Which one.
        label: String,
        /// What it said.
        said: String,
    },
}

const BLOCK: u64 = 4096;

/// The arguments to mke2fs, without the program.
pub fn arguments(fs: &FileSystem, out: &Path) -> Vec<String> {
    let guid = |what| {
        let key = Key::new("ext4").field("board", fs.board).field("label", fs.label);
        guid_text(&key.field("of", what).digest().guid())
    };
    let mut extended = format!(
        "hash_seed={},root_owner=0:0,nodiscard,lazy_itable_init=1,lazy_journal_init=1",
        guid("hash seed")
    );
    // Reserves the blocks that group descriptors of the grown file system will take.
    if let Some(bytes) = fs.grow_to {
        extended += &format!(",resize={}", bytes / BLOCK);
    }
    let mut words: Vec<String> =
        ["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256"].map(str::to_owned).into();
    let more = [
        ("-m", fs.reserved_percent.to_string()),
        ("-O", "metadata_csum,64bit,extent,flex_bg,orphan_file".to_owned()),
        ("-E", extended),
        ("-J", format!("size={}", fs.journal)),
        ("-i", fs.inode_ratio.to_string()),
        ("-U", guid("uuid")),
        ("-L", fs.label.to_owned()),
    ];
    words.extend(more.into_iter().flat_map(|(option, value)| [option.to_owned(), value]));
    words.push(out.to_string_lossy().into_owned());
    words.push((fs.size / BLOCK).to_string());
    words
}

/// The commands to debugfs that make the folders and put the files in.
pub fn script(files: &[(PathBuf, String)]) -> Result<String, Error> {
    let mut script = String::new();
    let mut made: Vec<&str> = Vec::new();
    for (from, to) in files {
        let from = from.to_string_lossy();
        if let Some(bad) = [&*from, to].into_iter().find(|name| name.contains(['"', '\n', '\\'])) {
            return Err(Error::Name(bad.to_owned()));
        }
        for (at, _) in to.match_indices('/').filter(|(at, _)| *at > 0) {
            if !made.contains(&&to[..at]) {
                script += &format!("mkdir \"{}\"\n", &to[..at]);
                made.push(&to[..at]);
            }
        }
        // Owner and mode are set apart: the tool takes them from the build machine's file.
        script += &format!("write \"{from}\" \"{to}\"\n");
        for (field, value) in [("uid", "0"), ("gid", "0"), ("mode", "0100644")] {
            script += &format!("set_inode_field \"{to}\" {field} {value}\n");
        }
    }
    Ok(script)
}

/// Makes `out`, a sparse file with the file system in it.
pub fn make(fs: &FileSystem, tools: &Toolbox, out: &Path) -> Result<(), Error> {
    let script = script(fs.files)?;
    let made = File::create_new(out).and_then(|file| file.set_len(fs.size));
    made.map_err(|source| Error::Make { path: out.to_owned(), source })?;
    let tool = |source| Error::Tool { label: fs.label.to_owned(), source };
    let epoch = fs.epoch.to_string();
    let mut maker = tools.command("sbin/mke2fs");
    maker.args(arguments(fs, out)).env("SOURCE_DATE_EPOCH", &epoch);
    process::run(&mut maker).map_err(tool)?;
    if script.is_empty() {
        return Ok(());
    }
    let mut filler = tools.command("sbin/debugfs");
    filler.args(["-w", "-f", "-"]).arg(out).env("SOURCE_DATE_EPOCH", &epoch);
    let output = process::run_with_input(&mut filler, script.as_bytes()).map_err(tool)?;
    let said = complaints(&String::from_utf8_lossy(&output.stderr));
    if said.is_empty() {
        return Ok(());
    }
    Err(Error::Put { label: fs.label.to_owned(), said })
}

/// What debugfs said beside its banner.
fn complaints(said: &str) -> String {
    let real = said.lines().filter(|line| !line.starts_with("debugfs 1.") && !line.is_empty());
    real.map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::MIB;

    fn data(files: &[(PathBuf, String)]) -> FileSystem<'_> {
        FileSystem {
            label: "holm-data",
            board: "x86-64",
            size: 128 * MIB,
            grow_to: Some(2 << 40),
            journal: 32,
            inode_ratio: 32768,
            reserved_percent: 3,
            epoch: 7,
            files,
        }
    }

    #[test]
    fn growing_is_provided_for_and_nothing_is_left_to_chance() {
        let words = arguments(&data(&[]), Path::new("out.img"));
        let value = |option: &str| {
            words.iter().position(|word| word == option).map(|at| words[at + 1].as_str())
        };
        let extended = value("-E").expect("given");
        assert!(extended.contains(&format!("resize={}", (2_u64 << 40) / 4096)), "{extended}");
        assert!(extended.contains("hash_seed=") && value("-U").is_some());
        assert_eq!(value("-m"), Some("3"));
        assert_eq!(words.last().map(String::as_str), Some("32768"), "blocks of 4 KiB");
        assert_eq!(words, arguments(&data(&[]), Path::new("out.img")));
    }

    #[test]
    fn state_and_data_have_other_identities() {
        let state = FileSystem { label: "holm-state", ..data(&[]) };
        let (state, data) =
            (arguments(&state, Path::new("x")), arguments(&data(&[]), Path::new("x")));
        let uuid =
            |words: &[String]| words[words.iter().position(|w| w == "-U").expect("-U") + 1].clone();
        assert_ne!(uuid(&state), uuid(&data));
    }

    #[test]
    fn script_makes_each_folder_once_and_gives_files_to_root() {
        let files = [
            (PathBuf::from("/b/my pod.tar"), "/preload/my pod.tar".to_owned()),
            (PathBuf::from("/b/two.tar"), "/preload/two.tar".to_owned()),
        ];
        let script = script(&files).expect("names are fine");
        assert_eq!(script.matches("mkdir").count(), 1);
        assert!(
            script.starts_with(
                "mkdir \"/preload\"\nwrite \"/b/my pod.tar\" \"/preload/my pod.tar\"\n"
            )
        );
        assert_eq!(script.matches(" uid 0\n").count(), 2);
    }

    #[test]
    fn name_that_could_end_a_command_is_refused() {
        let files = [(PathBuf::from("/b/x"), "/preload/a\"\nrm /etc".to_owned())];
        assert!(matches!(script(&files), Err(Error::Name(_))));
    }

    #[test]
    fn banner_is_no_complaint() {
        assert_eq!(complaints("debugfs 1.47.2 (1-Jan-2025)\n"), "");
        let said = "debugfs 1.47.2 (1-Jan-2025)\n/x: No such file or directory\n";
        assert_eq!(complaints(said), "    /x: No such file or directory");
    }
}

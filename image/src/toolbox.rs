//! File-system makers and signers of the board's own Debian release, unpacked and run by their own
//! dynamic loader: the same bytes come out whatever the build machine runs.
//! Must never fall back to a tool of the host.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::board::Architecture;

/// The packages that hold the tools; what they depend on is unpacked beside them.
pub const PACKAGES: [&str; 9] = [
    "cryptsetup-bin",
    "e2fsprogs",
    "erofs-utils",
    "kmod",
    "openssl",
    "osslsigncode",
    "squashfs-tools",
    "u-boot-tools",
    "xz-utils",
];

/// Why the unpacked tools cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The C library's package holds no loader where Debian has it.
    #[error("no dynamic loader in {folder}")]
    Loader {
        /// Where it was looked for.
        folder: PathBuf,
        /// Why it was not found.
        source: io::Error,
    },
    /// This machine's architecture has no Debian packages that we know of.
    #[error("building needs an x86_64 or aarch64 machine, this is {0}")]
    Architecture(&'static str),
}

/// Unpacked tools.
pub struct Toolbox {
    folder: PathBuf,
    loader: PathBuf,
    libraries: PathBuf,
}

impl Toolbox {
    /// The tools below `folder`, the root that their packages were unpacked into.
    pub fn in_folder(folder: PathBuf) -> Result<Self, Error> {
        let triplet = match Architecture::of_host() {
            Some(Architecture::X86_64) => "x86_64-linux-gnu",
            Some(Architecture::Aarch64) => "aarch64-linux-gnu",
            None => return Err(Error::Architecture(std::env::consts::ARCH)),
        };
        let libraries = folder.join("usr/lib").join(triplet);
        let loader = find_loader(&libraries)
            .map_err(|source| Error::Loader { folder: libraries.clone(), source })?;
        Ok(Self { folder, loader, libraries })
    }

    /// The loader and the libraries that the tools run by, for programs of the same release.
    pub fn loader(&self) -> (&Path, &Path) {
        (&self.loader, &self.libraries)
    }

    /// The tool at `path` below `/usr`, as `bin/openssl`. Its environment is the caller's without
    /// the variables that would change what it writes.
    pub fn command(&self, path: &str) -> Command {
        let name = Path::new(path).file_name().unwrap_or(OsStr::new(path));
        let mut command = Command::new(&self.loader);
        command.arg("--library-path").arg(&self.libraries).arg("--argv0").arg(name);
        command.arg(self.folder.join("usr").join(path));
        command.env("LC_ALL", "C").env("TZ", "UTC").env_remove("LD_LIBRARY_PATH");
        // Times are given as options or set anew; mksquashfs refuses to be told twice.
        command.env_remove("SOURCE_DATE_EPOCH");
        command.env("MKE2FS_CONFIG", self.folder.join("etc/mke2fs.conf"));
        command.env("OPENSSL_CONF", "/dev/null");
        command.env("OPENSSL_MODULES", self.libraries.join("ossl-modules"));
        command
    }
}

fn find_loader(libraries: &Path) -> io::Result<PathBuf> {
    for entry in fs::read_dir(libraries)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("ld-linux-") {
            return Ok(entry.path());
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_runs_through_its_own_loader_with_its_own_libraries() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for triplet in ["x86_64-linux-gnu", "aarch64-linux-gnu"] {
            let libraries = folder.path().join("usr/lib").join(triplet);
            fs::create_dir_all(&libraries).expect("made");
            fs::write(libraries.join("ld-linux-x.so.2"), "").expect("written");
        }
        let tools = Toolbox::in_folder(folder.path().to_owned()).expect("loader is there");
        let command = tools.command("sbin/mke2fs");
        let program = Path::new(command.get_program());
        assert!(program.starts_with(folder.path()), "not the host's: {program:?}");
        let arguments: Vec<String> =
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(arguments[2..4], ["--argv0", "mke2fs"]);
        assert!(arguments[4].ends_with("usr/sbin/mke2fs"));
        let epoch = command.get_envs().find(|(name, _)| *name == "SOURCE_DATE_EPOCH");
        assert_eq!(epoch.map(|(_, value)| value), Some(None), "mksquashfs would stop at it");
    }

    #[test]
    fn folder_without_a_loader_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert!(matches!(Toolbox::in_folder(folder.path().to_owned()), Err(Error::Loader { .. })));
    }
}

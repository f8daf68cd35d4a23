//! What a U-Boot in a board's flash is given: our boot script, and environments with a checksum.
//! Pure but for the maker of the script's header. Must never need a command that NVIDIA's U-Boot
//! lacks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::process;
use crate::toolbox::Toolbox;

/// The boot script's text.
pub const SCRIPT: &str = include_str!("boot.cmd");

/// The name by which U-Boot looks for a script on each bootable partition.
pub const SCRIPT_NAME: &str = "boot.scr";

/// Bytes of a slot's environment file: a kernel's command line and room.
pub const ENVIRONMENT: usize = 4096;

/// Why U-Boot cannot be given what it needs.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each field is what the message names")]
pub enum Error {
    /// The variables are too long.
    #[error("U-Boot's variables take {needs} bytes, and their file has {has}")]
    Long { needs: usize, has: usize },
    /// A value has a NUL, or a name an equals sign.
    #[error("U-Boot cannot hold the variable {0:?}")]
    Variable(String),
    /// mkimage failed.
    #[error("cannot make the boot script")]
    Script(#[from] process::Error),
    /// A file beside it.
    #[error("cannot write {path}")]
    File { path: PathBuf, source: io::Error },
}

/// An environment as `env import -c` reads it: CRC-32 (little endian) over the rest, `name=value`
/// texts that each end with NUL, one more NUL, padding up to `size`.
pub fn environment(variables: &[(&str, &str)], size: usize) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    for (name, value) in variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Error::Variable((*name).to_owned()));
        }
        text.extend_from_slice(format!("{name}={value}\0").as_bytes());
    }
    text.push(0);
    let needs = 4 + text.len();
    if needs > size {
        return Err(Error::Long { needs, has: size });
    }
    text.resize(size - 4, 0);
    let mut bytes = crc32fast::hash(&text).to_le_bytes().to_vec();
    bytes.extend(text);
    Ok(bytes)
}

/// Whether `kernel` is one that `booti` starts: an `Image`, not compressed and not for UEFI alone.
pub fn is_image(kernel: &[u8]) -> bool {
    // Documentation/arch/arm64/booting.rst of the kernel.
    kernel.get(56..60) == Some(b"ARM\x64")
}

/// Packs [`SCRIPT`] into `folder` with the header that `source` asks for; the same bytes each time.
pub fn write_script(folder: &Path, epoch: u32, tools: &Toolbox) -> Result<PathBuf, Error> {
    let (text, to) = (folder.join("boot.cmd"), folder.join(SCRIPT_NAME));
    fs::write(&text, SCRIPT).map_err(|source| Error::File { path: text.clone(), source })?;
    let mut command = tools.command("bin/mkimage");
    command.args(["-q", "-A", "arm64", "-T", "script", "-C", "none", "-n", "Holm", "-d"]);
    // The header has a time.
    command.arg(&text).arg(&to).env("SOURCE_DATE_EPOCH", epoch.to_string());
    process::run(&mut command)?;
    fs::remove_file(&text).map_err(|source| Error::File { path: text, source })?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use holm_update::state_files;

    use super::*;

    #[test]
    fn environment_has_the_form_of_the_state_files() {
        let bytes = environment(&[("seq", "0"), ("slot", "a")], state_files::SIZE).expect("fits");
        assert_eq!(bytes, state_files::State::INITIAL.encode());
    }

    #[test]
    fn variables_that_do_not_fit_are_refused() {
        let long = "x".repeat(100);
        let error = environment(&[("bootargs", &long)], 64).expect_err("too long");
        assert_eq!(error.to_string(), "U-Boot's variables take 115 bytes, and their file has 64");
        assert!(environment(&[("bootargs", &long)], 115).is_ok());
        for (name, value) in [("", "x"), ("a=b", "x"), ("a", "x\0y")] {
            assert!(matches!(environment(&[(name, value)], 64), Err(Error::Variable(_))));
        }
    }

    #[test]
    fn kernel_for_booti_is_told_by_its_magic() {
        let mut kernel = vec![0; 64];
        assert!(!is_image(&kernel) && !is_image(b"MZ"));
        kernel[56..60].copy_from_slice(b"ARM\x64");
        assert!(is_image(&kernel));
    }

    /// NVIDIA's and Debian's builds for Tegra have these commands; `setexpr` is not among them.
    #[test]
    fn script_uses_only_commands_that_every_such_uboot_has() {
        let known = [
            "booti", "do", "done", "echo", "elif", "else", "env", "fatwrite", "fi", "for", "if",
            "load", "setenv", "test", "then",
        ];
        for line in SCRIPT.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            for part in line.split(';').flat_map(|part| part.split("&&")) {
                let mut words = part.split_whitespace();
                let mut word = words.next().unwrap_or_default();
                while ["if", "elif", "then", "do", "else"].contains(&word) {
                    word = words.next().unwrap_or_default();
                }
                let is_assignment = word.split_once('=').is_some_and(|(name, _)| {
                    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                });
                assert!(
                    word.is_empty() || is_assignment || known.contains(&word),
                    "{word}: {line}"
                );
            }
        }
    }

    /// Debian's U-Boot for QEMU takes no longer line; NVIDIA's take 2048 bytes.
    #[test]
    fn no_line_of_the_script_is_too_long_for_uboot() {
        assert!(SCRIPT.lines().all(|line| line.len() < 256));
    }
}

//! Compiles `holm-init` and `holm` for a board: static, and the same bytes wherever it happens.

mod tool;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use tool::{Available, Tool, Unavailable, choose, debian_triplet};

use crate::{process, progress};

/// The packages whose binaries a node runs.
pub const PACKAGES: [&str; 2] = ["holm-init", "holm"];

/// What to compile and where.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Packages of the workspace, each with a binary of its name.
    pub packages: &'a [&'a str],
    /// The workspace's folder.
    pub workspace: &'a Path,
    /// Cargo's target folder for node binaries.
    pub target_folder: &'a Path,
    /// The Rust target.
    pub target: &'a str,
    /// Cargo features, as `package/feature`.
    pub features: &'a [String],
    /// No network.
    pub offline: bool,
}

/// The finished binaries.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `holm-init`.
    pub init: PathBuf,
    /// `holm`.
    pub agent: PathBuf,
}

impl Binaries {
    /// The two binaries in one folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { init: folder.join(PACKAGES[0]), agent: folder.join(PACKAGES[1]) }
    }
}

/// Why there are no binaries.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No compiler for the target.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The compiler failed.
    #[error("cannot compile the node's binaries")]
    Failed(#[source] process::Error),
    /// A binary is not static.
    #[error("{path} asks for a dynamic loader, which no node has")]
    Dynamic {
        /// The binary.
        path: PathBuf,
    },
    /// A binary cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The binary.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Compiles with the tool that [`choose`] picks on this machine; returns the binaries' folder.
pub fn compile(request: &Request) -> Result<PathBuf, Error> {
    let tool = choose(request.target, &Available::on_this_machine(request.target))?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let mut command = command(request, tool, home.as_deref());
    let bar = progress::spinner("node binaries");
    // At a terminal cargo's own progress says more than a spinner.
    let shown = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let result = if shown {
        bar.finish_and_clear();
        watch(&mut command)
    } else {
        process::run(&mut command).map(drop)
    };
    bar.finish_and_clear();
    result.map_err(Error::Failed)?;
    let folder = request.target_folder.join(request.target).join("release");
    for path in request.packages.iter().map(|package| folder.join(package)) {
        let bytes =
            std::fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        if has_interpreter(&bytes) {
            return Err(Error::Dynamic { path });
        }
    }
    Ok(folder)
}

fn watch(command: &mut Command) -> Result<(), process::Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(process::Error::Failed {
            program,
            status: status.to_string(),
            said: "    (above)".to_owned(),
        }),
        Err(source) => Err(process::Error::Start { program, source }),
    }
}

/// The compiler's command, with nothing in it that depends on where the checkout is.
fn command(request: &Request, tool: Tool, cargo_home: Option<&Path>) -> Command {
    let target = request.target;
    let mut command = Command::new(tool.program());
    command.current_dir(request.workspace);
    command.args(["build", "--release", "--locked", "--target", target]);
    for package in request.packages {
        command.args(["-p", package]);
    }
    if !request.features.is_empty() {
        command.arg("--features").arg(request.features.join(","));
    }
    if request.offline {
        command.arg("--offline");
    }
    let triple = target.replace('-', "_");
    let (rust_flags, c_flags) = flags(request, cargo_home);
    command.env("CARGO_TARGET_DIR", request.target_folder).env_remove("RUSTFLAGS");
    command.env("CARGO_ENCODED_RUSTFLAGS", rust_flags).env(format!("CFLAGS_{triple}"), c_flags);
    command.env("LIBSECCOMP_LINK_TYPE", "static");
    if matches!(tool, Tool::Debian { .. }) {
        command.env("RUSTC", "/usr/bin/rustc");
    }
    // The container of `cross` has its own folders; Cross.toml names them.
    if let Tool::Cargo { linker } | Tool::Debian { linker } = tool {
        command.env("LIBSECCOMP_LIB_PATH", format!("/usr/lib/{}", debian_triplet(target)));
        if let Some(linker) = linker {
            let name = format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase());
            command.env(name, &linker).env(format!("CC_{triple}"), linker);
        }
    }
    command
}

/// Flags for the Rust and the C compiler: static, and paths mapped to names that all machines share.
fn flags(request: &Request, cargo_home: Option<&Path>) -> (OsString, OsString) {
    let mut rust = OsString::from("-Ctarget-feature=+crt-static\u{1f}-Crelocation-model=static");
    let mut c = OsString::from("-g0");
    // Cargo names the workspace's own sources from its root. Its place is in the flags only where
    // the output lies below it: cargo compiles all anew for other flags, and a shared target folder
    // shall serve every checkout.
    let inside = request.target_folder.starts_with(request.workspace);
    let folders = [
        (Some(request.target_folder), "=/target"),
        (inside.then_some(request.workspace), "=/holm"),
        (cargo_home, "=/cargo"),
    ];
    for (from, to) in folders.into_iter().filter_map(|(from, to)| Some((from?, to))) {
        // Cargo splits at the unit separator, so that folders may have spaces.
        for (flags, option) in
            [(&mut rust, "\u{1f}--remap-path-prefix="), (&mut c, " -ffile-prefix-map=")]
        {
            flags.push(option);
            flags.push(from);
            flags.push(to);
        }
    }
    (rust, c)
}

/// Whether an ELF image has a `PT_INTERP` program header.
fn has_interpreter(image: &[u8]) -> bool {
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = image.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte)))
    };
    let find = || {
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        let mut kinds = (0..count).map(|i| number(table.checked_add(i * size)?, 4));
        Some(kinds.any(|kind| kind == Some(3)))
    };
    image.starts_with(b"\x7fELF\x02\x01") && find().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(target: &'a str, features: &'a [String]) -> Request<'a> {
        let (workspace, target_folder) = (Path::new("/src/holm"), Path::new("/src/holm/target"));
        Request { packages: &PACKAGES, workspace, target_folder, target, features, offline: true }
    }

    fn variable(command: &Command, name: &str) -> Option<String> {
        let value = command.get_envs().find(|(key, _)| *key == name)?.1?;
        Some(value.to_string_lossy().into_owned())
    }

    #[test]
    fn binaries_are_static_and_know_no_folder_of_the_build() {
        let request = request("x86_64-unknown-linux-gnu", &[]);
        let command = command(&request, Tool::Cargo { linker: None }, Some(Path::new("/h/.cargo")));
        let flags = variable(&command, "CARGO_ENCODED_RUSTFLAGS").expect("set");
        let flags: Vec<&str> = flags.split('\u{1f}').collect();
        assert!(flags.contains(&"-Ctarget-feature=+crt-static"));
        assert!(flags.contains(&"--remap-path-prefix=/src/holm=/holm"));
        assert!(flags.contains(&"--remap-path-prefix=/h/.cargo=/cargo"));
        // The compiler uses the last that fits, so the inner folder has to come first here for
        // the outer one to win: both spell the checkout's place the same way on every machine.
        let place = |start: &str| flags.iter().position(|flag| flag.starts_with(start));
        assert!(
            place("--remap-path-prefix=/src/holm/target") < place("--remap-path-prefix=/src/holm=")
        );
        let c = variable(&command, "CFLAGS_x86_64_unknown_linux_gnu").expect("set");
        assert!(c.contains("-ffile-prefix-map=/src/holm=/holm"), "{c}");
    }

    #[test]
    fn flags_are_the_same_in_every_checkout_that_shares_a_target_folder() {
        let there = |workspace| {
            let mut request = request("x86_64-unknown-linux-gnu", &[]);
            request.workspace = Path::new(workspace);
            request.target_folder = Path::new("/cache/target");
            flags(&request, Some(Path::new("/h/.cargo")))
        };
        assert_eq!(there("/src/one"), there("/src/two"));
    }

    #[test]
    fn cross_linker_reaches_cargo_and_c_builds() {
        let request = request("aarch64-unknown-linux-gnu", &[]);
        let linker = Some("aarch64-linux-gnu-gcc".to_owned());
        let command = command(&request, Tool::Debian { linker: linker.clone() }, None);
        for name in
            ["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "CC_aarch64_unknown_linux_gnu"]
        {
            assert_eq!(variable(&command, name), linker);
        }
        assert_eq!(variable(&command, "RUSTC").as_deref(), Some("/usr/bin/rustc"));
        let libraries = variable(&command, "LIBSECCOMP_LIB_PATH");
        assert_eq!(libraries.as_deref(), Some("/usr/lib/aarch64-linux-gnu"));
    }

    #[test]
    fn container_gets_no_folders_of_the_host() {
        let command = command(&request("aarch64-unknown-linux-gnu", &[]), Tool::Cross, None);
        assert_eq!(variable(&command, "LIBSECCOMP_LIB_PATH"), None);
        assert_eq!(command.get_program(), "cross");
    }

    #[test]
    fn features_and_offline_reach_cargo() {
        let features = ["holm-init/payload".to_owned()];
        let command = command(&request("x86_64-unknown-linux-gnu", &features), Tool::Cross, None);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        assert!(words.windows(2).any(|pair| pair == ["--features", "holm-init/payload"]));
        assert!(words.contains(&"--offline".into()) && words.contains(&"--locked".into()));
    }

    #[test]
    fn dynamic_binary_is_told_from_a_static_one() {
        let mut image = vec![0; 64 + 2 * 56];
        image[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (image[32], image[54], image[56]) = (64, 56, 2);
        (image[64], image[64 + 56]) = (1, 2);
        assert!(!has_interpreter(&image));
        image[64 + 56] = 3;
        assert!(has_interpreter(&image));
        assert!(!has_interpreter(&image[..70]), "cut");
        assert!(has_interpreter(&std::fs::read("/bin/sh").expect("a shell is there")));
    }
}

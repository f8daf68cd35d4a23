//! Decides what compiles for a target: the installed toolchain, Debian's, or a container.
//! The decision is pure; only [`Available::on_this_machine`] looks around.

use std::path::Path;
use std::process::Command;

use crate::process;

/// What a machine has for compiling to one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Available {
    /// The target that the machine's own compiler makes by default.
    pub host: String,
    /// The `cargo` on the path comes with the target's standard library.
    pub cargo: bool,
    /// `/usr/bin/cargo` and Debian's package of the target's standard library are there.
    pub debian: bool,
    /// A C compiler that links for the target, where the host's own does not.
    pub cross_linker: Option<String>,
    /// `cross`, and the container engine that it needs.
    pub cross: bool,
}

/// What compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tool {
    /// The `cargo` on the path.
    Cargo {
        /// The linker, where it is not the host's own.
        linker: Option<String>,
    },
    /// Debian's `cargo` (of `cargo` or `cargo-web`) with `libstd-rust-web-dev` of the target.
    Debian {
        /// The linker, where it is not the host's own.
        linker: Option<String>,
    },
    /// `cross`, in a container that `Cross.toml` describes.
    Cross,
}

impl Tool {
    /// The program to run.
    pub fn program(&self) -> &'static str {
        match self {
            Self::Cargo { .. } => "cargo",
            Self::Debian { .. } => "/usr/bin/cargo",
            Self::Cross => "cross",
        }
    }
}

/// Nothing on this machine compiles for the target.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing here compiles for {target}; any one of these does:\n  \
     rustup target add {target}{linker}\n  \
     cargo install cross (and a container engine)\n  \
     apt-get install rustc-web cargo-web libstd-rust-web-dev:{debian}{linker}"
)]
pub struct Unavailable {
    target: String,
    debian: &'static str,
    linker: String,
}

/// Picks the tool: what needs nothing else first, a container last.
pub fn choose(target: &str, available: &Available) -> Result<Tool, Unavailable> {
    let native = target == available.host;
    let linker = if native { None } else { available.cross_linker.clone() };
    let links = native || linker.is_some();
    if available.cargo && links {
        Ok(Tool::Cargo { linker })
    } else if available.cross {
        Ok(Tool::Cross)
    } else if available.debian && links {
        Ok(Tool::Debian { linker })
    } else {
        let compiler = format!("gcc-{}", debian_triplet(target).replace('_', "-"));
        Err(Unavailable {
            target: target.to_owned(),
            debian: debian_architecture(target),
            linker: if native { String::new() } else { format!(", and {compiler}") },
        })
    }
}

fn debian_architecture(target: &str) -> &'static str {
    if target.starts_with("aarch64") { "arm64" } else { "amd64" }
}

/// Debian's name for a target's folders and compilers, as `aarch64-linux-gnu`.
pub fn debian_triplet(target: &str) -> String {
    target.replace("-unknown-", "-")
}

impl Available {
    /// Looks at the search path, the Rust installation and Debian's folders.
    pub fn on_this_machine(target: &str) -> Self {
        let ask = |arguments: &[&str]| {
            let output = process::run(Command::new("rustc").args(arguments)).ok()?;
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let host = ask(&["-vV"]).and_then(|text| host_of(&text)).unwrap_or_default();
        let library = ask(&["--print", "target-libdir", "--target", target]);
        let has_files = |folder: &Path| folder.read_dir().is_ok_and(|mut all| all.next().is_some());
        let debian = Path::new("/usr/lib/rustlib").join(target).join("lib");
        let compiler = format!("{}-gcc", debian_triplet(target));
        Self {
            host,
            cargo: process::is_installed("cargo")
                && library.is_some_and(|folder| has_files(Path::new(folder.trim()))),
            debian: Path::new("/usr/bin/cargo").is_file() && has_files(&debian),
            cross_linker: process::is_installed(&compiler).then_some(compiler),
            cross: process::is_installed("cross")
                && ["docker", "podman"].into_iter().any(process::is_installed),
        }
    }
}

fn host_of(version: &str) -> Option<String> {
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM: &str = "aarch64-unknown-linux-gnu";
    const PC: &str = "x86_64-unknown-linux-gnu";

    fn pc() -> Available {
        Available { host: PC.to_owned(), ..Available::default() }
    }

    fn arm_linker() -> Option<String> {
        Some("aarch64-linux-gnu-gcc".to_owned())
    }

    #[test]
    fn native_target_needs_no_other_linker() {
        let available = Available { cargo: true, cross_linker: Some("x".into()), ..pc() };
        assert_eq!(choose(PC, &available), Ok(Tool::Cargo { linker: None }));
    }

    #[test]
    fn rustup_target_is_used_where_it_can_link() {
        let available = Available { cargo: true, cross_linker: arm_linker(), cross: true, ..pc() };
        assert_eq!(choose(ARM, &available), Ok(Tool::Cargo { linker: arm_linker() }));
    }

    #[test]
    fn rustup_target_without_a_linker_gives_way_to_cross() {
        let available = Available { cargo: true, cross: true, ..pc() };
        assert_eq!(choose(ARM, &available), Ok(Tool::Cross));
    }

    #[test]
    fn debian_is_used_where_neither_is_there() {
        let available = Available { debian: true, cross_linker: arm_linker(), ..pc() };
        assert_eq!(choose(ARM, &available), Ok(Tool::Debian { linker: arm_linker() }));
    }

    #[test]
    fn error_names_all_three_ways_out() {
        let text = choose(ARM, &pc()).expect_err("nothing is there").to_string();
        for way in ["rustup target add", "cross", "libstd-rust-web-dev:arm64", "gcc-aarch64"] {
            assert!(text.contains(way), "{way} is missing in: {text}");
        }
    }

    #[test]
    fn host_is_read_from_the_compilers_version() {
        let text = "rustc 1.95.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n";
        assert_eq!(host_of(text).as_deref(), Some(PC));
        assert_eq!(host_of("nonsense"), None);
    }
}

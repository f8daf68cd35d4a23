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
    /// Debian packages of static libraries that the linker does not find.
    pub missing: Vec<String>,
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

    /// The Rust compiler that the program uses, where it is one of this machine.
    pub fn rust_compiler(&self) -> Option<&'static str> {
        match self {
            Self::Cargo { .. } => Some("rustc"),
            Self::Debian { .. } => Some("/usr/bin/rustc"),
            Self::Cross => None,
        }
    }

    /// The C compiler, which links too, where it is one of this machine.
    pub fn c_compiler(&self) -> Option<&str> {
        match self {
            Self::Cargo { linker } | Self::Debian { linker } => {
                Some(linker.as_deref().unwrap_or("cc"))
            }
            Self::Cross => None,
        }
    }
}

/// Nothing on this machine compiles for the target.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing here compiles for {target}. On Debian, {set_up} installs what it takes. \
     By hand, any one of these does:\n  \
     {foreign}apt-get install {}\n  \
     rustup target add {target}{}\n  \
     cargo install cross (and a container engine)",
    debian.join(" "),
    also(libraries)
)]
pub struct Unavailable {
    target: String,
    set_up: &'static str,
    foreign: String,
    debian: Vec<String>,
    libraries: Vec<String>,
}

fn also(packages: &[String]) -> String {
    match packages {
        [] => String::new(),
        packages => format!(", and apt-get install {}", packages.join(" ")),
    }
}

/// Picks the tool: what needs nothing else first, a container last.
pub fn choose(target: &str, available: &Available) -> Result<Tool, Unavailable> {
    let native = target == available.host;
    let linker = if native { None } else { available.cross_linker.clone() };
    let links = (native || linker.is_some()) && available.missing.is_empty();
    if available.cargo && links {
        Ok(Tool::Cargo { linker })
    } else if available.cross {
        Ok(Tool::Cross)
    } else if available.debian && links {
        Ok(Tool::Debian { linker })
    } else {
        Err(unavailable(target, native, available))
    }
}

fn unavailable(target: &str, native: bool, available: &Available) -> Unavailable {
    let architecture = debian_architecture(target);
    let mut libraries = available.missing.clone();
    if !native && available.cross_linker.is_none() {
        libraries.insert(0, format!("gcc-{}", debian_triplet(target)));
    }
    let mut debian = Vec::new();
    if !available.debian {
        let library = format!("libstd-rust-web-dev:{architecture}");
        debian.extend(["rustc-web".to_owned(), "cargo-web".to_owned(), library]);
    }
    debian.extend(libraries.iter().cloned());
    Unavailable {
        target: target.to_owned(),
        set_up: if native { "ci/setup" } else { "`ci/setup --arm64`" },
        foreign: match native {
            true => String::new(),
            false => format!("dpkg --add-architecture {architecture} && apt-get update && "),
        },
        debian,
        libraries,
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
        let cross_linker = process::is_installed(&compiler).then_some(compiler);
        let native = host == target;
        let linker = if native { "cc" } else { cross_linker.as_deref().unwrap_or_default() };
        Self {
            missing: missing_libraries(linker, native, debian_architecture(target)),
            host,
            cargo: process::is_installed("cargo")
                && library.is_some_and(|folder| has_files(Path::new(folder.trim()))),
            debian: Path::new("/usr/bin/cargo").is_file() && has_files(&debian),
            cross_linker,
            cross: process::is_installed("cross")
                && ["docker", "podman"].into_iter().any(process::is_installed),
        }
    }
}

/// The Debian packages of the static libraries that a linker does not find.
fn missing_libraries(linker: &str, native: bool, architecture: &str) -> Vec<String> {
    // A linker answers with the bare name where it knows no file of that name.
    let is_found = |library: &str| {
        let asked =
            process::run(Command::new(linker).arg(format!("-print-file-name={library}"))).ok();
        asked.is_some_and(|output| output.stdout.starts_with(b"/"))
    };
    let packages = match native {
        true => ["libc6-dev".to_owned(), "libseccomp-dev".to_owned()],
        false => {
            [format!("libc6-dev-{architecture}-cross"), format!("libseccomp-dev:{architecture}")]
        }
    };
    let libraries = ["libc.a", "libseccomp.a"].into_iter().zip(packages);
    libraries.filter(|(library, _)| !is_found(library)).map(|(_, package)| package).collect()
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
    fn error_names_all_ways_out_and_what_each_lacks() {
        let available = Available { missing: vec!["libseccomp-dev:arm64".to_owned()], ..pc() };
        let text = choose(ARM, &available).expect_err("nothing is there").to_string();
        for way in [
            "ci/setup --arm64",
            "dpkg --add-architecture arm64 && ",
            "cargo-web libstd-rust-web-dev:arm64 gcc-aarch64-linux-gnu libseccomp-dev:arm64",
            "rustup target add aarch64-unknown-linux-gnu, and apt-get install gcc-aarch64",
            "cargo install cross",
        ] {
            assert!(text.contains(way), "{way} is missing in: {text}");
        }
    }

    #[test]
    fn library_that_the_linker_does_not_find_is_named_and_nothing_that_is_there() {
        let missing = vec!["libseccomp-dev:arm64".to_owned()];
        let available = Available { debian: true, cross_linker: arm_linker(), missing, ..pc() };
        let text = choose(ARM, &available).expect_err("it cannot link").to_string();
        assert!(text.contains("apt-get install libseccomp-dev:arm64\n"), "{text}");
        assert!(!text.contains("rustc-web") && !text.contains("gcc-"), "{text}");
        let missing = vec!["libseccomp-dev".to_owned()];
        let text = choose(PC, &Available { cargo: true, missing, ..pc() }).expect_err("no library");
        assert!(text.to_string().contains("On Debian, ci/setup installs"), "{text}");
    }

    #[test]
    fn linker_is_asked_where_its_libraries_are() {
        assert!(missing_libraries("cc", true, "amd64").len() < 2, "the C library is there");
        let names = ["libc6-dev-arm64-cross", "libseccomp-dev:arm64"];
        assert_eq!(missing_libraries("/nonexistent/cc", false, "arm64"), names);
    }

    #[test]
    fn compilers_are_those_that_the_program_uses() {
        let debian = Tool::Debian { linker: arm_linker() };
        assert_eq!(debian.rust_compiler(), Some("/usr/bin/rustc"));
        assert_eq!(debian.c_compiler(), Some("aarch64-linux-gnu-gcc"));
        assert_eq!(Tool::Cargo { linker: None }.c_compiler(), Some("cc"));
        assert_eq!(Tool::Cross.rust_compiler(), None, "it is in the container");
    }

    #[test]
    fn host_is_read_from_the_compilers_version() {
        let text = "rustc 1.95.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n";
        assert_eq!(host_of(text).as_deref(), Some(PC));
        assert_eq!(host_of("nonsense"), None);
    }
}

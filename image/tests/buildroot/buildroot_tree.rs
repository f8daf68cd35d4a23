//! With `HOLM_BUILDROOT_TREE`: every defconfig loads in a real Buildroot, and nothing of it is lost.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{assert_none, from_environment, list, not_checked, overlay, read};

/// The long-term release that the overlay is for.
pub const RELEASE: &str = "2025.02";

/// The named tree, where it is one of the release.
fn tree() -> Option<PathBuf> {
    let Some(tree) = from_environment("HOLM_BUILDROOT_TREE") else {
        not_checked("loading the defconfigs: HOLM_BUILDROOT_TREE names no Buildroot tree");
        return None;
    };
    let makefile = read(&tree.join("Makefile"));
    let version = version(&makefile).expect("a Makefile of Buildroot");
    assert!(version.starts_with(RELEASE), "{} is {version}, not {RELEASE}", tree.display());
    Some(tree)
}

fn version(makefile: &str) -> Option<&str> {
    makefile.lines().find_map(|line| line.strip_prefix("export BR2_VERSION := "))
}

/// Runs make in the tree, and gives everything that it said.
fn make(tree: &Path, output: &Path, words: &[&str]) -> String {
    let mut make = Command::new("make");
    make.arg("-s").arg("-C").arg(tree).arg(format!("O={}", output.display()));
    make.arg(format!("BR2_EXTERNAL={}", overlay().root.display())).args(words);
    // Cargo's jobserver is none of Buildroot's.
    make.env_remove("MAKEFLAGS").env_remove("MFLAGS");
    let made = make.output().expect("make starts");
    let said = [made.stdout, made.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let said = said.concat();
    assert!(made.status.success(), "make {words:?}:\n{said}");
    said
}

/// Lines of a defconfig that the configuration made from it does not have.
fn lost(wanted: &[String], config: &str) -> Vec<String> {
    let has = |line: &String| {
        let unset = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set"));
        match unset {
            // An option that cannot be set at all is as good as unset.
            Some(name) => !config.lines().any(|other| other.starts_with(&format!("{name}="))),
            None => config.lines().any(|other| other == line),
        }
    };
    wanted.iter().filter(|line| !has(line)).map(|line| format!("lost: {line}")).collect()
}

#[test]
fn every_defconfig_loads_without_a_warning_and_loses_nothing() {
    let Some(tree) = tree() else { return };
    let output = tempfile::tempdir().expect("temporary folder");
    for defconfig in overlay().defconfigs() {
        let said = make(&tree, output.path(), &[&defconfig.name]);
        assert!(!said.to_lowercase().contains("warning"), "{}:\n{said}", defconfig.name);
        assert_none(&lost(&defconfig.lines, &read(&output.path().join(".config"))));
    }
    // The packages are the same in all, and reading every makefile takes long: once will do.
    let names = "HOST_RUST_BIN_VERSION HOLM_FINAL_DEPENDENCIES HOLM_OVERRIDE_SRCDIR PACKAGES \
                 E2FSPROGS_POST_BUILD_HOOKS";
    let said = make(&tree, output.path(), &["printvars", &format!("VARS={names}")]);
    for part in [
        &format!("HOST_RUST_BIN_VERSION={}", crate::rust_version::lifted())[..],
        "libseccomp",
        "HOLM_BUILD_STATIC_E2FSCK",
        "host-holm-image holm-init holm",
    ] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
}

#[test]
fn every_listed_option_is_one_of_the_tree() {
    let Some(tree) = tree() else { return };
    let mut known = Vec::new();
    let mut open = vec![tree];
    while let Some(folder) = open.pop() {
        for path in list(&folder) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else if name.starts_with("Config.") && path.is_file() {
                let text = read(&path);
                let lines = text.lines().filter_map(|line| line.split_once("config "));
                let lines = lines.filter(|(before, _)| matches!(before.trim(), "" | "menu"));
                known.extend(lines.map(|(_, name)| name.trim().to_owned()));
            }
        }
    }
    let listed = overlay().listed_options();
    let unknown = listed.iter().filter(|name| !known.contains(name));
    assert_none(&unknown.map(|name| format!("{name} is none of Buildroot's")).collect::<Vec<_>>());
}

#[test]
fn lost_line_is_found() {
    let wanted = ["BR2_A=y", "BR2_B=\"x\"", "# BR2_C is not set", "# BR2_D is not set"];
    let config = "BR2_A=y\n# BR2_B is not set\nBR2_C=y\n";
    let found = lost(&wanted.map(str::to_owned), config);
    assert_eq!(found, ["lost: BR2_B=\"x\"", "lost: # BR2_C is not set"]);
}

#[test]
fn release_is_read_from_the_makefile() {
    assert_eq!(version("a\nexport BR2_VERSION := 2025.02.16\n"), Some("2025.02.16"));
    assert_eq!(version("VERSION = 6\n"), None);
}

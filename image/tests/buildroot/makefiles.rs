//! The makefiles, read by make with stand-ins for Buildroot's own.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{list, not_checked, overlay, read};

/// What Buildroot defines before it reads an external tree, as far as ours uses it.
const BUILDROOT: &str = "
UPPERCASE = $(shell echo '$(1)' | tr 'a-z-' 'A-Z_')
BR_CARGO_HOME = /dl/br-cargo-home
RUSTC_TARGET_NAME = x86_64-unknown-linux-gnu
STAGING_DIR = /staging
TARGET_DIR = /target
HOST_DIR = /host
INSTALL = install
BR2_PACKAGE_HOLM_INIT = y
cargo-package = packages += target
host-cargo-package = packages += host
";

/// Reads `override.mk` and `external.mk` of a folder, and gives what the named variables are.
fn evaluate(root: &Path, names: &[&str]) -> Result<BTreeMap<String, String>, String> {
    let prints: String = names.iter().map(|name| format!("$(info {name}=$({name}))\n")).collect();
    let root = root.display();
    let text = format!(
        "{BUILDROOT}BR2_EXTERNAL_HOLM_PATH = {root}\ninclude {root}/override.mk\n\
         RUST_BIN_VERSION = 1.0\ninclude {root}/external.mk\n{prints}all: ;\n"
    );
    let mut make = Command::new("make");
    make.args(["-s", "-r", "-R", "--warn-undefined-variables", "-f", "-", "all"]);
    make.env_remove("MAKEFLAGS").env_remove("MFLAGS");
    make.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = make.spawn().map_err(|error| format!("make: {error}"))?;
    let mut input = child.stdin.take().ok_or("no way to make")?;
    input.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    drop(input);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = said.lines().filter_map(|line| line.split_once('='));
    Ok(lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

fn has_make() -> bool {
    let found = Command::new("make").arg("--version").output().is_ok();
    if !found {
        not_checked("the makefiles: there is no make on this machine");
    }
    found
}

#[test]
fn makefiles_describe_packages_that_come_from_this_checkout() {
    if !has_make() {
        return;
    }
    let root = overlay().root;
    let names = [
        "packages",
        "HOLM_SITE",
        "HOLM_SITE_METHOD",
        "HOLM_SUBDIR",
        "HOLM_INIT_SUBDIR",
        "HOLM_IMAGE_SUBDIR",
        "HOLM_DEPENDENCIES",
        "HOLM_TARGET_ENV",
        "HOLM_FETCH_CRATES",
        "HOLM_INSTALL_TARGET_CMDS",
        "HOLM_INIT_INSTALL_TARGET_CMDS",
        "RUST_BIN_VERSION",
        "E2FSPROGS_POST_BUILD_HOOKS",
        "E2FSPROGS_POST_INSTALL_TARGET_HOOKS",
    ];
    let found = evaluate(&root, &names).expect("make reads it");
    let checkout = crate::workspace();
    assert_eq!(Path::new(&found["HOLM_SITE"]), checkout);
    assert_eq!(found["HOLM_SITE_METHOD"], "local");
    for folder in ["HOLM_SUBDIR", "HOLM_INIT_SUBDIR", "HOLM_IMAGE_SUBDIR"] {
        assert!(checkout.join(&found[folder]).join("Cargo.toml").is_file(), "{folder}");
    }
    assert_eq!(found["packages"].split_whitespace().count(), list(&root.join("package")).len());
    assert!(found["HOLM_DEPENDENCIES"].contains("libseccomp"));
    assert!(found["HOLM_FETCH_CRATES"].ends_with("cargo fetch --locked"));
    assert!(found["HOLM_TARGET_ENV"].contains("target-feature=+crt-static"));
    assert!(found["HOLM_INSTALL_TARGET_CMDS"].contains("/release/holm"));
    assert!(found["HOLM_INIT_INSTALL_TARGET_CMDS"].contains("/target/usr/sbin/holm-init"));
    // What Buildroot says afterwards does not undo the override.
    assert_eq!(found["RUST_BIN_VERSION"], crate::rust_version::lifted());
    assert!(!found["E2FSPROGS_POST_BUILD_HOOKS"].is_empty());
    assert!(!found["E2FSPROGS_POST_INSTALL_TARGET_HOOKS"].is_empty());
}

#[test]
fn profile_is_the_one_of_the_workspace() {
    if !has_make() {
        return;
    }
    let found = evaluate(&overlay().root, &["HOLM_PROFILE"]).expect("make reads it");
    let manifest: toml::Table = read(&crate::workspace().join("Cargo.toml")).parse().expect("TOML");
    let profile = &manifest["profile"]["release"];
    for (key, name) in
        [("opt-level", "OPT_LEVEL"), ("lto", "LTO"), ("codegen-units", "CODEGEN_UNITS")]
    {
        let value = &profile[key];
        let number = value.as_integer().map(|number| number.to_string());
        let value = value.as_str().map_or(number, |text| Some(text.to_owned())).expect("a value");
        let wanted = format!("CARGO_PROFILE_RELEASE_{name}={value}");
        assert!(found["HOLM_PROFILE"].contains(&wanted), "{wanted} in {}", found["HOLM_PROFILE"]);
    }
}

#[test]
fn broken_makefile_is_found() {
    if !has_make() {
        return;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::write(folder.path().join("override.mk"), "").expect("written");
    std::fs::write(folder.path().join("external.mk"), "define A\nno end\n").expect("written");
    let error = evaluate(folder.path(), &["A"]).expect_err("an open definition");
    assert!(error.contains("endef"), "{error}");
    std::fs::remove_file(folder.path().join("external.mk")).expect("removed");
    assert!(evaluate(folder.path(), &["A"]).is_err(), "no external.mk");
}

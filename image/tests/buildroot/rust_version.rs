//! The Rust that the overlay lifts Buildroot's to: new enough, and with its checksums.

use crate::{overlay, read, workspace};

/// The version in override.mk.
pub fn lifted() -> String {
    let text = read(&overlay().root.join("override.mk"));
    let mut found =
        text.lines().filter_map(|line| line.strip_prefix("override RUST_BIN_VERSION := "));
    found.next().expect("override.mk sets RUST_BIN_VERSION").to_owned()
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().expect("a number")).collect()
}

#[test]
fn lifted_rust_compiles_the_workspace() {
    let text = read(&workspace().join("Cargo.toml"));
    let mut needed = text.lines().filter_map(|line| line.strip_prefix("rust-version = "));
    let needed = needed.next().expect("the workspace says which Rust it needs").trim_matches('"');
    assert!(numbers(&lifted()) >= numbers(needed), "{} is older than {needed}", lifted());
}

#[test]
fn every_file_of_the_lifted_rust_has_a_checksum() {
    let text = read(&overlay().root.join("patches/rust-bin/rust-bin.hash"));
    let version = lifted();
    for architecture in ["x86_64", "aarch64"] {
        for component in ["rust", "rust-std"] {
            let file = format!("{component}-{version}-{architecture}-unknown-linux-gnu.tar.xz");
            let line = text.lines().find(|line| line.ends_with(&format!("  {file}")));
            let mut words = line.unwrap_or_else(|| panic!("no {file}")).split_whitespace();
            assert_eq!(words.next(), Some("sha256"), "{file}");
            let sum = words.next().expect("a checksum");
            assert!(sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()), "{file}");
        }
    }
}

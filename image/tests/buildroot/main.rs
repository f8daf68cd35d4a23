//! Checks `buildroot-overlay/` without Buildroot's downloads: names, files, scripts, kernel options.
//! With `HOLM_BUILDROOT_TREE` and `HOLM_LINUX_TREE` in the environment it asks the real trees too.
//! Must never build anything, and never pass a check in silence that it could not make.
#![allow(clippy::panic, reason = "helpers of tests fail the test that calls them")]

mod buildroot_tree;
mod debian_kernel;
mod kernel;
mod linux_tree;
mod makefiles;
mod overlay;
mod post_image;
mod rust_version;

use std::path::{Path, PathBuf};

/// The checkout.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of a workspace").to_owned()
}

/// The tree under test.
fn overlay() -> overlay::Overlay {
    overlay::Overlay::in_folder(&workspace().join("buildroot-overlay"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Entries of a folder, sorted; none where there is no folder.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// A folder or file that the environment names.
fn from_environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Says what was not checked, where a person sees it: on the terminal, past the test's own capture.
fn not_checked(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "buildroot: NOT checked: {what}");
}

#[track_caller]
fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n  {}\n", problems.join("\n  "));
}

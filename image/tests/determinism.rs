//! Two builds of the same inputs in two folders give the same bytes, the second without network.
//! Needs Debian's packages, so it is not among the unit tests: `ci/test image` runs it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use holm_image::build::{self, Options, Outputs, Place};
use holm_image::digest::Digest;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of a workspace").to_owned()
}

fn place(folder: &Path, offline: bool) -> Place {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let shared = folder.parent().expect("below the test's folder").join("cache");
    Place {
        folder: folder.to_owned(),
        cache: Some(variable("HOLM_CACHE_DIR").map_or(shared, PathBuf::from)),
        target: folder.join("target"),
        mirror: variable("HOLM_APT_MIRROR"),
        security_mirror: variable("HOLM_APT_SECURITY_MIRROR"),
        offline,
    }
}

/// Node binaries that nobody runs: compiling is another matter, and takes minutes.
fn stand_ins(folder: &Path) -> PathBuf {
    let folder = folder.join("binaries");
    fs::create_dir_all(&folder).expect("made");
    for name in ["holm-init", "holm"] {
        fs::write(folder.join(name), name.repeat(100_000)).expect("written");
    }
    folder
}

fn build_in(board: &str, folder: &Path, shared: &Path, offline: bool) -> Outputs {
    let options = Options {
        workspace: workspace(),
        board: board.to_owned(),
        place: place(folder, offline),
        output: Some(folder.join("out/holm.img")),
        config: Some(shared.join("holm.toml")),
        manifests: None,
        preload: vec![shared.join("image.tar")],
        installs: None,
        size: None,
        keys: offline.then(|| shared.join("one/keys")),
        binaries: Some(shared.join("binaries")),
        given: build::Given::default(),
        features: vec![],
        append: vec![],
    };
    build::build(&options).expect("the image is built")
}

fn digests(outputs: &Outputs) -> BTreeMap<String, Digest> {
    let folder = outputs.image.parent().expect("in a folder");
    let files = fs::read_dir(folder).expect("listed").filter_map(Result::ok);
    files
        .map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            (name, Digest::of_file(&file.path()).expect("read"))
        })
        .collect()
}

/// Builds a board twice; `more` are the ends of the files that its boot path leaves beside others.
fn two_builds_are_the_same(board: &str, more: &[&str]) {
    let shared = tempfile::tempdir().expect("temporary folder");
    stand_ins(shared.path());
    fs::write(shared.path().join("holm.toml"), "[node]\nhostname = \"one\"\n").expect("written");
    fs::write(shared.path().join("image.tar"), b"archive".repeat(1000)).expect("written");
    let one = digests(&build_in(board, &shared.path().join("one"), shared.path(), false));
    let two = digests(&build_in(board, &shared.path().join("two"), shared.path(), true));
    let all = ["img", "img.zst", "root", "initramfs.zst", "manifest.json", "cdx.json"];
    for name in all.iter().chain(more) {
        assert!(one.contains_key(&format!("holm.{name}")), "holm.{name} is missing");
    }
    let other: Vec<&String> = one.keys().filter(|name| one.get(*name) != two.get(*name)).collect();
    assert!(other.is_empty(), "these differ between two builds: {other:?}");
    assert_eq!(one.len(), two.len());
}

#[test]
#[ignore = "downloads Debian packages; `ci/test image` runs it"]
fn two_builds_of_the_same_inputs_give_the_same_bytes() {
    two_builds_are_the_same("x86-64", &["efi"]);
}

/// With a kernel module that is compiled in another folder each time.
#[test]
#[ignore = "downloads Debian packages and needs the cross compiler; `ci/test boards` runs it"]
fn two_builds_of_a_card_give_the_same_bytes() {
    two_builds_are_the_same("rpi", &[]);
}

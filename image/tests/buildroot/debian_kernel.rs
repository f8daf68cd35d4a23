//! The committed facts about Debian's kernel, against the package that a build has fetched.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::kernel::{Options, committed, parse};
use crate::{assert_none, from_environment, list, not_checked, read, workspace};

/// The series that the facts are about.
const SERIES: &str = "6.12.";

/// Where builds keep their steps.
fn build_folder() -> PathBuf {
    from_environment("HOLM_BUILD_DIR").unwrap_or_else(|| workspace().join("build"))
}

/// The kernel's configuration among the unpacked packages of a build folder.
fn unpacked(build: &Path, architecture: &str) -> Option<String> {
    let steps = list(&build.join("steps")).into_iter();
    let files = steps.flat_map(|step| list(&step.join("boot")));
    let mut found = files.filter(|path| is_config(path, architecture));
    found.next().map(|path| read(&path))
}

fn is_config(path: &Path, architecture: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let release = name.strip_prefix("config-").unwrap_or_default();
    release.starts_with(SERIES) && release.ends_with(&format!("-{architecture}"))
}

/// The same out of the downloaded packages.
fn downloaded(build: &Path, architecture: &str) -> Option<String> {
    let cache = from_environment("HOLM_CACHE_DIR").unwrap_or_else(|| build.join("cache"));
    let packages = list(&cache.join("apt/archives"));
    let package = packages.iter().find(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let start = format!("linux-image-{SERIES}");
        name.starts_with(&start) && name.ends_with(&format!("_{architecture}.deb"))
    })?;
    let mut tar = Command::new("dpkg-deb");
    tar.arg("--fsys-tarfile").arg(package).stdout(Stdio::piped());
    let mut tar = tar.spawn().expect("dpkg-deb starts");
    let stream = tar.stdout.take().expect("piped");
    let mut extract = Command::new("tar");
    extract.args(["--extract", "--to-stdout", "--wildcards", "./boot/config-*"]).stdin(stream);
    let output = extract.output().expect("tar starts");
    tar.wait().expect("dpkg-deb ends");
    assert!(output.status.success(), "{}: no configuration in it", package.display());
    Some(String::from_utf8(output.stdout).expect("a kernel configuration is text"))
}

/// Facts that are no longer so.
fn outdated(facts: &Options, real: &Options) -> Vec<String> {
    let differs = facts.iter().filter(|(name, value)| real.get(*name) != Some(value));
    let say = |(name, value): (&String, &String)| {
        let now = real.get(name).map_or("not known", String::as_str);
        format!("{name} is listed as {value}, and is {now}")
    };
    differs.map(say).collect()
}

#[test]
fn facts_are_those_of_the_package() {
    let build = build_folder();
    for architecture in ["amd64", "arm64"] {
        let found = unpacked(&build, architecture).or_else(|| downloaded(&build, architecture));
        match found {
            Some(text) => assert_none(&outdated(&committed(architecture), &parse(&text).0)),
            None => not_checked(&format!(
                "the facts about Debian's kernel for {architecture}: no build has fetched \
                 linux-image-{SERIES}* yet; the fragments were checked against the facts alone"
            )),
        }
    }
}

#[test]
fn outdated_fact_is_found() {
    let facts = parse("CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=y\n").0;
    let real = parse("CONFIG_A=y\nCONFIG_B=y\n# CONFIG_D is not set\n").0;
    let found = outdated(&facts, &real);
    assert_eq!(found, ["B is listed as m, and is y", "C is listed as y, and is not known"]);
}

#[test]
fn configuration_is_found_by_series_and_architecture() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let boot = folder.path().join("steps/package-linux-image/boot");
    std::fs::create_dir_all(&boot).expect("made");
    std::fs::write(boot.join("config-7.3.4-arm64"), "CONFIG_NEW=y\n").expect("written");
    assert_eq!(unpacked(folder.path(), "arm64"), None);
    std::fs::write(boot.join("config-6.12.1+deb13-arm64"), "CONFIG_OLD=y\n").expect("written");
    assert_eq!(unpacked(folder.path(), "arm64").as_deref(), Some("CONFIG_OLD=y\n"));
    assert_eq!(unpacked(folder.path(), "amd64"), None);
}

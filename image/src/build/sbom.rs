//! A CycloneDX bill of what is on a node: Debian packages and Rust crates.
//! Specification: https://cyclonedx.org/docs/1.6/json/. Tools of the build are not on a node, so
//! they are in the manifest alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::given;
use super::source::Source;
use crate::apt::Package;
use crate::board::Board;
use crate::digest::{Digest, Key, guid_text};

/// What `cargo metadata` says, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Crate>,
    resolve: Resolve,
}

#[derive(Debug, Clone, Deserialize)]
struct Crate {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// `null` for a normal dependency.
    kind: Option<String>,
}

/// A crate that is linked into a node's binary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Linked {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
    pub(super) is_external: bool,
}

/// The crates that the packages named `roots` link, and those themselves; neither what only builds
/// or tests need, nor what other members of the workspace need.
pub(super) fn linked(metadata: &Metadata, roots: &[&str]) -> BTreeSet<Linked> {
    let crates: BTreeMap<&str, &Crate> =
        metadata.packages.iter().map(|one| (one.id.as_str(), one)).collect();
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let is_root = |one: &&Crate| one.source.is_none() && roots.contains(&one.name.as_str());
    let mut open: Vec<&str> =
        metadata.packages.iter().filter(is_root).map(|one| one.id.as_str()).collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let Some(node) = nodes.get(id) else { continue };
        let is_linked = |dep: &&Dependency| dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
        open.extend(node.deps.iter().filter(is_linked).map(|dep| dep.pkg.as_str()));
    }
    let linked = seen.into_iter().filter_map(|id| crates.get(id)).map(|one| Linked {
        name: one.name.clone(),
        version: one.version.clone(),
        license: one.license.clone(),
        is_external: one.source.is_some(),
    });
    linked.collect()
}

/// Checksums by (name, version) from `Cargo.lock`.
pub(super) fn checksums(lock: &str) -> BTreeMap<(String, String), Digest> {
    let table: toml::Table = lock.parse().unwrap_or_default();
    let packages = table.get("package").and_then(toml::Value::as_array);
    let read = |package: &toml::Value| {
        let text = |key| package.get(key).and_then(toml::Value::as_str);
        let digest = Digest::parse(text("checksum")?)?;
        Some(((text("name")?.to_owned(), text("version")?.to_owned()), digest))
    };
    packages.into_iter().flatten().filter_map(read).collect()
}

/// The bill as JSON. Its serial number follows from its contents.
pub(super) fn bill<'a>(
    board: &Board,
    source: &Source,
    packages: impl Iterator<Item = &'a Package>,
    modules: &[String],
    crates: &BTreeSet<Linked>,
    checksums: &BTreeMap<(String, String), Digest>,
) -> Value {
    let packages = packages.map(|package| debian(package, &board.debian.suite));
    let crates = crates.iter().map(|one| {
        let digest = checksums.get(&(one.name.clone(), one.version.clone()));
        rust(one, digest.filter(|_| one.is_external))
    });
    let modules = modules.iter().map(|name| module(name, &source.version));
    let components: Vec<Value> = packages.chain(modules).chain(crates).collect();
    let serial = Key::new("sbom").field("components", json!(components).to_string()).digest();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", guid_text(&serial.guid())),
        "version": 1,
        "metadata": {
            "component": {
                "type": "operating-system",
                "bom-ref": "holm",
                "name": "holm",
                "version": source.version,
                "properties": [{ "name": "holm:board", "value": board.name }],
            },
        },
        "components": components,
    })
}

fn debian(package: &Package, suite: &str) -> Value {
    let Package { name, version, architecture, .. } = package;
    let version_part = version.replace('+', "%2B").replace(':', "%3A");
    let purl = match package.source.as_str() {
        // Whoever compiled it knows where its source is.
        given::SOURCE => format!("pkg:generic/{name}@{version_part}?arch={architecture}"),
        _ => format!(
            "pkg:deb/debian/{name}@{version_part}?arch={architecture}&distro=debian-{suite}"
        ),
    };
    json!({
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{ "alg": "SHA-256", "content": package.sha256.to_string() }],
        "properties": [{ "name": "debian:source", "value": package.source }],
    })
}

/// A kernel module of Holm's own: what is linked with Linux has its licence.
fn module(name: &str, version: &str) -> Value {
    let purl = format!("pkg:generic/{name}@{version}");
    json!({
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{ "license": { "id": "GPL-2.0-only" } }],
    })
}

fn rust(one: &Linked, digest: Option<&Digest>) -> Value {
    let Linked { name, version, .. } = one;
    let purl = format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    });
    if let Some(license) = &one.license {
        // Old crates write `MIT/Apache-2.0`, which is no SPDX expression.
        let expression = license.replace('/', " OR ");
        component["licenses"] = json!([{ "expression": expression }]);
    }
    if let Some(digest) = digest {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": digest.to_string() }]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        let dep = |id: &str, kind: Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
        let package = |id: &str, source: Value| json!({ "id": id, "name": id, "version": "1.0.0", "license": "MIT", "source": source });
        serde_json::from_value(json!({
            "packages": [
                package("holm", Value::Null), package("holm-image", Value::Null),
                package("linked", json!("registry")), package("deep", json!("registry")),
                package("builds", json!("registry")), package("tests", json!("registry")),
                package("other", json!("registry")),
            ],
            "resolve": { "nodes": [
                { "id": "holm", "deps": [
                    dep("linked", Value::Null), dep("builds", json!("build")),
                    dep("tests", json!("dev")),
                ]},
                { "id": "linked", "deps": [dep("deep", Value::Null)] },
                { "id": "deep", "deps": [dep("linked", Value::Null)] },
                { "id": "holm-image", "deps": [dep("other", Value::Null)] },
            ]},
        }))
        .expect("the shape of cargo's output")
    }

    #[test]
    fn only_what_a_node_links_is_listed() {
        let linked = linked(&metadata(), &["holm"]);
        let names: Vec<&str> = linked.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["deep", "holm", "linked"]);
    }

    #[test]
    fn checksums_are_read_from_the_lock_file() {
        let digest = Digest::of(b"x");
        let lock = format!(
            "version = 4\n[[package]]\nname = \"a\"\nversion = \"1\"\nchecksum = \"{digest}\"\n\
             [[package]]\nname = \"ours\"\nversion = \"1\"\n"
        );
        let found = checksums(&lock);
        assert_eq!(found.get(&("a".to_owned(), "1".to_owned())), Some(&digest));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn bill_names_packages_and_crates_by_package_url() {
        let boards = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        let board = crate::board::read(&boards, "x86-64").expect("the board is valid");
        let source = Source { version: "1".into(), commit: None, epoch: 0 };
        let package = Package {
            name: "linux".into(),
            version: "1:6.12+deb".into(),
            architecture: "amd64".into(),
            source: "linux".into(),
            size: 0,
            sha256: Digest::of(b"deb"),
            depends: String::new(),
        };
        let crates = linked(&metadata(), &["holm"]);
        let sums = [(("deep".to_owned(), "1.0.0".to_owned()), Digest::of(b"deep"))].into();
        let make = || bill(&board, &source, [&package].into_iter(), &[], &crates, &sums);
        let bill = make();
        let components = bill["components"].as_array().expect("a list");
        assert_eq!(components.len(), 4);
        assert_eq!(
            components[0]["purl"],
            "pkg:deb/debian/linux@1%3A6.12%2Bdeb?arch=amd64&distro=debian-trixie"
        );
        assert_eq!(components[1]["purl"], "pkg:cargo/deep@1.0.0");
        assert_eq!(components[1]["hashes"][0]["content"], Digest::of(b"deep").to_string());
        assert!(components[2].get("hashes").is_none(), "our own crates have no archive");
        assert_eq!(bill, make(), "serial number and order are fixed");
    }

    #[test]
    fn own_kernel_module_has_the_licence_of_linux() {
        let component = module("holm_tryboot", "0.1.0");
        assert_eq!(component["licenses"][0]["license"]["id"], "GPL-2.0-only");
        assert_eq!(component["purl"], "pkg:generic/holm_tryboot@0.1.0");
    }

    #[test]
    fn given_kernel_is_not_said_to_be_debians() {
        let package = Package {
            name: "linux".into(),
            version: "6.12.91".into(),
            architecture: "arm64".into(),
            source: given::SOURCE.into(),
            size: 0,
            sha256: Digest::of(b"files"),
            depends: String::new(),
        };
        let component = debian(&package, "trixie");
        assert_eq!(component["purl"], "pkg:generic/linux@6.12.91?arch=arm64");
    }
}

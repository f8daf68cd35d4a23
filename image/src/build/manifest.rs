//! The manifest beside an image: every input with version and digest, and what came out.
//! Must never hold a path, host name or time of the build machine: equal builds have equal manifests.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::contents::Gathered;
use super::inputs::Inputs;
use super::source::Source;
use crate::apt::Package;
use crate::board::Board;
use crate::budget::Use;
use crate::compile::{Tool, debian_triplet};
use crate::digest::Digest;
use crate::process;
use crate::qemu::Description;

/// A result, as the manifest lists it.
pub(super) struct Output {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) digest: Digest,
}

/// A file that an update brings.
pub(super) struct UpdatePart {
    /// `root` or `kernel`.
    pub(super) kind: &'static str,
    /// The slot, where it is for one only.
    pub(super) slot: Option<char>,
    /// The file beside the image.
    pub(super) file: String,
}

/// What the manifest describes.
pub(super) struct Facts<'a> {
    pub(super) board: &'a Board,
    pub(super) source: &'a Source,
    pub(super) inputs: &'a Inputs,
    pub(super) contents: &'a Gathered,
    pub(super) toolchain: &'a [(String, String)],
    pub(super) files: &'a [(String, Digest)],
    pub(super) root_hash: &'a str,
    pub(super) hash_offset: u64,
    pub(super) update_parts: &'a [UpdatePart],
    pub(super) command_line: &'a str,
    pub(super) uses: &'a [Use],
    pub(super) outputs: &'a [Output],
}

/// The manifest as JSON, keys in alphabetical order.
pub(super) fn manifest(facts: &Facts) -> Value {
    let on_node = facts.inputs.on_node().map(|package| describe(package, "node"));
    let headers = facts.inputs.headers.iter();
    let headers = headers.flat_map(|one| [&one.package].into_iter().chain(&one.parts));
    let tools = headers.chain(&facts.inputs.tools.packages);
    let tools = tools.map(|package| describe(package, "tool"));
    let selection = &facts.contents.selection;
    let files = |list: &[(String, Digest)]| -> Vec<Value> {
        list.iter()
            .map(|(name, digest)| json!({ "name": name, "sha256": digest.to_string() }))
            .collect()
    };
    json!({
        "holm": {
            "version": facts.source.version,
            "commit": facts.source.commit,
            "epoch": facts.source.epoch,
        },
        "board": facts.board.name,
        "machine": Description::from(facts.board),
        "kernel-release": facts.contents.root.kernel_release,
        "root-hash": facts.root_hash,
        "command-line": facts.command_line,
        "update": {
            "hash-offset": facts.hash_offset,
            "parts": facts.update_parts.iter()
                .map(|part| json!({ "kind": part.kind, "slot": part.slot, "file": part.file }))
                .collect::<Vec<_>>(),
        },
        "inputs": {
            "debian": {
                "suite": facts.board.debian.suite,
                "packages": on_node.chain(tools).collect::<Vec<_>>(),
            },
            "toolchain": facts.toolchain.iter()
                .map(|(name, version)| json!({ "name": name, "version": version }))
                .collect::<Vec<_>>(),
            "files": files(facts.files),
        },
        "modules": { "initramfs": selection.initramfs, "root": selection.root },
        "budgets": facts.uses.iter()
            .map(|used| json!({ "what": used.what, "bytes": used.bytes, "budget-mib": used.budget }))
            .collect::<Vec<_>>(),
        "outputs": facts.outputs.iter()
            .map(|output| json!({
                "name": output.name,
                "size": output.size,
                "sha256": output.digest.to_string(),
            }))
            .collect::<Vec<_>>(),
    })
}

fn describe(package: &Package, role: &str) -> Value {
    json!({
        "name": package.name,
        "version": package.version,
        "architecture": package.architecture,
        "source": package.source,
        "sha256": package.sha256.to_string(),
        "role": role,
    })
}

/// Name and version of what compiled and linked the node's binaries: the compilers by their own
/// words, and the static libraries by their digests. A container's are known to `Cross.toml` alone.
pub(super) fn toolchain(target: &str, tool: &Tool) -> Vec<(String, String)> {
    let said = |program: &str, argument: &str| {
        let output = process::run(Command::new(program).arg(argument)).ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
    };
    let library = |name: &str| {
        let path = said(tool.c_compiler()?, &format!("-print-file-name={name}"))?;
        Digest::of_file(Path::new(&path)).ok().map(|digest| format!("sha256:{digest}"))
    };
    [
        ("rustc", tool.rust_compiler().and_then(|rustc| said(rustc, "--version"))),
        ("cargo", said(tool.program(), "--version")),
        ("cc", tool.c_compiler().and_then(|cc| said(cc, "--version"))),
        ("libc.a", library("libc.a")),
        ("libseccomp.a", library("libseccomp.a")),
        ("target", Some(debian_triplet(target))),
    ]
    .into_iter()
    .filter_map(|(name, version)| Some((name.to_owned(), version?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_is_described_by_version_and_digest() {
        let package = Package {
            name: "systemd-boot-efi".into(),
            version: "257".into(),
            architecture: "amd64".into(),
            source: "systemd".into(),
            size: 1,
            sha256: Digest::of(b"x"),
            depends: String::new(),
        };
        let value = describe(&package, "node");
        assert_eq!(value["version"], "257");
        assert_eq!(value["source"], "systemd");
        assert_eq!(value["sha256"], Digest::of(b"x").to_string());
    }

    #[test]
    fn toolchain_names_compiler_and_no_folder() {
        let toolchain = toolchain("x86_64-unknown-linux-gnu", &Tool::Cargo { linker: None });
        assert!(
            toolchain.iter().any(|(name, version)| name == "rustc" && version.contains("rustc"))
        );
        assert!(toolchain.iter().all(|(_, version)| !version.starts_with('/')), "{toolchain:?}");
    }
}

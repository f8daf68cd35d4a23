//! Puts the results where people look for them, with the manifest and the SBOM beside the image.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::BootStage;
use super::contents::Gathered;
use super::manifest::{self, Facts, Output, UpdatePart};
use super::sbom::{self, Metadata};
use super::stages::{DiskStage, RootStage, Stages, uses};
use super::{Error, Options, file};
use crate::budget::Use;
use crate::compile::{Available, Tool, choose};
use crate::digest::Digest;
use crate::tree::Content;
use crate::{compile, disk, process};

/// What a build leaves behind.
#[derive(Debug, Clone)]
pub struct Outputs {
    /// The raw disk image.
    pub image: PathBuf,
    /// The same, compressed.
    pub compressed: PathBuf,
    /// How much of each budget is used.
    pub uses: Vec<Use>,
    /// What a person should know.
    pub notes: Vec<String>,
}

pub(super) struct Made {
    pub(super) contents: Gathered,
    pub(super) root: RootStage,
    pub(super) initramfs: PathBuf,
    pub(super) boot: BootStage,
    pub(super) disk: DiskStage,
}

/// Copies results beside the image, each under its final name only when complete.
pub(super) fn publish(
    options: &Options,
    stages: &Stages,
    folder: &Path,
    made: Made,
    notes: Vec<String>,
) -> Result<Outputs, Error> {
    let board = stages.board;
    let image = match &options.output {
        Some(path) => path.clone(),
        None => folder.join(&board.name).join(format!("holm-{}.img", board.name)),
    };
    let folder = image.parent().filter(|path| *path != Path::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(file("make", folder))?;
    let at = |end: &str| image.with_extension(end);
    let mut files: Vec<(&Path, PathBuf)> = vec![
        (&made.disk.image, image.clone()),
        (&made.disk.compressed, at("img.zst")),
        (&made.root.path, at("root")),
        (&made.contents.kernel, at("vmlinuz")),
        (&made.initramfs, at("initramfs.zst")),
    ];
    files.extend(made.boot.results.iter().map(|(end, path)| (path.as_path(), at(end))));
    let mut listed = Vec::new();
    for (from, to) in &files {
        replace(from, to)?;
        // The raw image is what the compressed one unpacks to; hashing its holes takes seconds.
        if *from != made.disk.image {
            listed.push(describe(to)?);
        }
    }
    let line = at("cmdline");
    write(&line, &format!("{}\n", made.boot.command_line))?;
    let uses = uses(board, &made.root, &made.boot)?;
    let lock = options.workspace.join("Cargo.lock");
    let target = &board.build.target;
    // With ready-made binaries nothing needs to be here; then the path's compiler is named.
    let tool = choose(target, &Available::on_this_machine(target));
    let tool = tool.unwrap_or(Tool::Cargo { linker: None });
    let facts = Facts {
        board,
        source: stages.source,
        inputs: stages.inputs,
        contents: &made.contents,
        toolchain: &manifest::toolchain(target, &tool),
        files: &input_files(options, &made)?,
        root_hash: &made.root.root_hash,
        hash_offset: made.root.hash_offset,
        update_parts: &update_parts(&made.boot, &at),
        command_line: &made.boot.command_line,
        uses: &uses,
        outputs: &listed,
    };
    write(&at("manifest.json"), &format!("{:#}\n", manifest::manifest(&facts)))?;
    let text = fs::read_to_string(&lock).map_err(file("read", &lock))?;
    let crates = sbom::linked(&metadata(options, target)?, &compile::PACKAGES);
    let packages = stages.inputs.on_node();
    let modules = &made.contents.own_modules;
    let sums = sbom::checksums(&text);
    let bill = sbom::bill(board, stages.source, packages, modules, &crates, &sums);
    write(&at("cdx.json"), &format!("{bill:#}\n"))?;
    Ok(Outputs { compressed: at("img.zst"), uses, notes, image })
}

/// What an update to this image consists of; nothing where the boot path has not yet said so.
fn update_parts(boot: &BootStage, at: &impl Fn(&str) -> PathBuf) -> Vec<UpdatePart> {
    let name = |end| at(end).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = |kind, slot, end| UpdatePart { kind, slot, file: name(end) };
    if boot.kernels.is_empty() {
        return Vec::new();
    }
    let kernels = boot.kernels.iter().map(|(slot, end)| part("kernel", Some(*slot), *end));
    [part("root", None, "root")].into_iter().chain(kernels).collect()
}

fn describe(path: &Path) -> Result<Output, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let size = fs::metadata(path).map_err(file("measure", path))?.len();
    Ok(Output { name, size, digest: Digest::of_file(path).map_err(file("read", path))? })
}

/// The inputs that are files of the owner or of the repository, by name and digest.
fn input_files(options: &Options, made: &Made) -> Result<Vec<(String, Digest)>, Error> {
    let boards = options.workspace.join("boards");
    let repository = [
        options.workspace.join("Cargo.lock"),
        boards.join("base.toml"),
        boards.join(format!("{}.toml", options.board)),
    ];
    let owner = options.config.iter().chain(&options.preload);
    let digest = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, Digest::of_file(path).map_err(file("read", path))?))
    };
    let mut files: Vec<_> =
        repository.iter().chain(owner).map(digest).collect::<Result<_, Error>>()?;
    for (name, content) in
        [("holm-init", &made.contents.root.init), ("holm", &made.contents.root.agent)]
    {
        if let Content::File { digest, .. } = content {
            files.push((name.to_owned(), *digest));
        }
    }
    Ok(files)
}

fn metadata(options: &Options, target: &str) -> Result<Metadata, Error> {
    let mut command = Command::new("cargo");
    command.current_dir(&options.workspace).args(["metadata", "--format-version", "1"]);
    command.args(["--locked", "--filter-platform", target]);
    if options.place.offline {
        command.arg("--offline");
    }
    let output = process::run(&mut command)?;
    let path = PathBuf::from("cargo metadata");
    serde_json::from_slice(&output.stdout).map_err(|source| Error::Metadata { path, source })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(file("write", path))
}

/// Copies with holes kept. A copy, not a link: who writes to the result must not reach the step.
fn replace(from: &Path, to: &Path) -> Result<(), Error> {
    let mut fresh = to.as_os_str().to_owned();
    fresh.push(".part");
    let fresh = PathBuf::from(fresh);
    let copied = (|| {
        let mut source = File::open(from)?;
        let mut target = File::create(&fresh)?;
        disk::copy_sparse(&mut source, &mut target, 0)?;
        target.set_len(source.metadata()?.len())?;
        fs::rename(&fresh, to)
    })();
    copied.map_err(file("write", to))
}

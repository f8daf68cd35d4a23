//! Puts the results where people look for them, with the manifest and the SBOM beside the image.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::contents::Gathered;
use super::stages::{DiskStage, KernelStage, RootStage, Stages, uses};
use super::{Error, Options, file};
use crate::budget::Use;
use crate::disk;

/// What a build leaves behind.
#[derive(Debug, Clone)]
pub struct Outputs {
    /// The raw disk image.
    pub image: PathBuf,
    /// The same, compressed.
    pub compressed: PathBuf,
    /// How much of each budget is used.
    pub uses: [Use; 2],
    /// What a person should know.
    pub notes: Vec<String>,
}

pub(super) struct Made {
    pub(super) contents: Gathered,
    pub(super) root: RootStage,
    pub(super) initramfs: PathBuf,
    pub(super) kernel: KernelStage,
    pub(super) disk: DiskStage,
}

/// Copies results beside the image, each under its final name only when complete.
pub(super) fn publish(
    options: &Options,
    stages: &Stages,
    folder: &Path,
    made: Made,
) -> Result<Outputs, Error> {
    let board = stages.board;
    let image = match &options.output {
        Some(path) => path.clone(),
        None => folder.join(&board.name).join(format!("holm-{}.img", board.name)),
    };
    let folder = image.parent().filter(|path| *path != Path::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(file("make", folder))?;
    let at = |end: &str| image.with_extension(end);
    let files: [(&Path, PathBuf); 7] = [
        (&made.disk.image, image.clone()),
        (&made.disk.compressed, at("img.zst")),
        (&made.kernel.uki, at("efi")),
        (&made.root.path, at("root")),
        (&made.contents.kernel, at("vmlinuz")),
        (&made.initramfs, at("initramfs.zst")),
        (&made.kernel.boot_loader, at("boot-loader.efi")),
    ];
    for (from, to) in &files {
        replace(from, to)?;
    }
    let line = at("cmdline");
    fs::write(&line, format!("{}\n", made.kernel.command_line)).map_err(file("write", &line))?;
    Ok(Outputs {
        compressed: at("img.zst"),
        uses: uses(board, &made.root, &made.kernel)?,
        notes: stages.inputs.notes.clone(),
        image,
    })
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

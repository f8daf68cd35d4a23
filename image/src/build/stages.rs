//! The steps from gathered contents to a disk image, each kept under the digest of its inputs.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::boot::{BootStage, Volume};
use super::contents::Gathered;
use super::inputs::Inputs;
use super::installer;
use super::source::Source;
use super::{Error, Options, file};
use crate::board::Board;
use crate::budget::Use;
use crate::digest::{Digest, Key};
use crate::disk::{self, Entry, FileSystem, Part, Role, Source as BootFile};
use crate::root::{initramfs_tree, root_tree};
use crate::steps::Steps;
use crate::{progress, root, tree};

/// What every step needs.
pub struct Stages<'a> {
    pub(super) board: &'a Board,
    pub(super) inputs: &'a Inputs,
    pub(super) steps: &'a Steps,
    pub(super) source: &'a Source,
    /// The repository.
    pub(super) workspace: &'a Path,
}

/// The root file system with its verity tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RootStage {
    pub(super) path: PathBuf,
    pub(super) root_hash: String,
    pub(super) hash_offset: u64,
}

/// The disk image, and the same compressed.
#[derive(Debug, Clone)]
pub struct DiskStage {
    pub(super) image: PathBuf,
    pub(super) compressed: PathBuf,
}

impl DiskStage {
    pub(super) fn image(&self) -> &Path {
        &self.image
    }
}

impl Stages<'_> {
    pub(super) fn root(&self, contents: &Gathered) -> Result<RootStage, Error> {
        let tree = root_tree(&contents.root);
        let settings = &self.board.root;
        let key = Key::new("root/1")
            .input("tree", tree.digest())
            .input("tools", self.tools())
            .field("format", settings.format.to_string())
            .field("compression", &settings.compression)
            .field("epoch", self.source.epoch.to_le_bytes());
        let folder = self.steps.run("root", key.digest(), |folder| -> Result<(), Error> {
            let bar = progress::spinner("root file system");
            let made =
                root::make(&tree, settings, self.source.epoch, &self.inputs.tools.toolbox, folder);
            bar.finish_and_clear();
            let made = made?;
            let facts = RootStage {
                path: PathBuf::from("root.img"),
                root_hash: made.root_hash,
                hash_offset: made.hash_offset,
            };
            let path = folder.join("root.json");
            let text = serde_json::to_vec(&facts)
                .map_err(|source| Error::Metadata { path: path.clone(), source })?;
            fs::write(&path, text).map_err(file("write", &path))
        })?;
        let path = folder.join("root.json");
        let text = fs::read(&path).map_err(file("read", &path))?;
        let facts: RootStage =
            serde_json::from_slice(&text).map_err(|source| Error::Metadata { path, source })?;
        Ok(RootStage { path: folder.join(&facts.path), ..facts })
    }

    pub(super) fn initramfs(&self, contents: &Gathered) -> Result<PathBuf, Error> {
        let root = &contents.root;
        let tree = initramfs_tree(
            &root.init,
            &root.os_release,
            &root.kernel_release,
            &contents.initramfs_modules,
            &contents.selection.load,
        );
        let key = Key::new("initramfs/2").input("tree", tree.digest());
        let folder = self.steps.run("initramfs", key.digest(), |folder| -> Result<(), Error> {
            let bar = progress::spinner("initramfs");
            let path = folder.join("initramfs.zst");
            let mut archive = Vec::new();
            // No time of the source: it would be in every header, and all of the archive would
            // change with each version. Nobody looks at it.
            tree::write_cpio(&tree, 0, &mut archive)
                .and_then(|()| zstd::bulk::compress(&archive, 19))
                .and_then(|bytes| fs::write(&path, bytes))
                .map_err(file("write", &path))?;
            bar.finish_and_clear();
            Ok(())
        })?;
        Ok(folder.join("initramfs.zst"))
    }

    pub(super) fn disk(
        &self,
        options: &Options,
        root: &RootStage,
        boot: &BootStage,
    ) -> Result<DiskStage, Error> {
        let digest = |path: &Path| Digest::of_file(path).map_err(file("read", path));
        let volumes = self.volumes(options, boot)?;
        let preload = preload(&options.preload)?;
        let mut files = preload.clone();
        let mut preload_size = 0;
        let mut key = Key::new("disk/1").input("root", digest(&root.path)?);
        for Volume { role, label, entries } in &volumes {
            key = key.field("volume", role.name()).field("label", label);
            for Entry { path, content } in entries {
                key = key.field("file", path).input(
                    "content",
                    match content {
                        BootFile::Bytes(bytes) => Digest::of(bytes),
                        BootFile::File(path) => digest(path)?,
                    },
                );
            }
        }
        for (from, to) in &preload {
            preload_size += fs::metadata(from).map_err(file("measure", from))?.len();
            key = key.field("preload", to).input("content", digest(from)?);
        }
        if let Some(installs) = &options.installs {
            let path = installs.canonicalize().map_err(file("find", installs))?;
            preload_size += installer::stored_size(&path).map_err(file("read", &path))?;
            key = key.input("installs", digest(&path)?);
            files.push((path, installer::PLACE.to_owned()));
        }
        let mut layout = disk::plan(self.board, preload_size, options.size)?;
        if options.installs.is_some() {
            layout.set_apart(installer::APART);
        }
        let key = key
            .field("layout", format!("{layout:?}"))
            .field("data", format!("{:?}", self.board.data))
            .input("tools", self.tools())
            .field("epoch", self.source.epoch.to_le_bytes());
        let folder = self.steps.run("disk", key.digest(), |folder| -> Result<(), Error> {
            let size = |role| layout.partition(role).map_or(0, |partition| partition.size);
            let bar = progress::spinner("disk image");
            let mut made = vec![];
            for Volume { role, label, entries } in &volumes {
                let path = folder.join(format!("{}.img", role.name()));
                let serial = serial(&self.board.name, *role);
                disk::write_fat(&path, size(*role), serial, *label, entries)?;
                made.push((*role, path));
            }
            let (state, data) = (folder.join("state.img"), folder.join("data.img"));
            let state_fs = FileSystem {
                label: "holm-state",
                board: &self.board.name,
                size: size(Role::State),
                grow_to: None,
                journal: 8,
                inode_ratio: 16384,
                reserved_percent: 0,
                epoch: self.source.epoch,
                files: &[],
            };
            let data_fs = FileSystem {
                label: "holm-data",
                size: size(Role::Data),
                grow_to: Some(self.board.data.grow_to_gib << 30),
                journal: 32,
                inode_ratio: 32768,
                // For the node itself when its pods have filled the disk. The kernel rounds down
                // to whole percents when it grows the file system: 2 of them are left.
                reserved_percent: 3,
                files: &files,
                ..state_fs.clone()
            };
            disk::make(&state_fs, &self.inputs.tools.toolbox, &state)?;
            disk::make(&data_fs, &self.inputs.tools.toolbox, &data)?;
            made.extend([(Role::State, state), (Role::Data, data)]);
            let parts = [(Role::RootA, root.path.clone())];
            let parts: Vec<Part> =
                made.iter().chain(&parts).map(|(role, file)| Part { role: *role, file }).collect();
            let image = folder.join("disk.img");
            disk::write(&layout, &parts, &image)?;
            for (_, part) in &made {
                fs::remove_file(part).map_err(file("remove", part))?;
            }
            bar.finish_and_clear();
            compress(&image, &folder.join("disk.img.zst"))
        })?;
        Ok(DiskStage { image: folder.join("disk.img"), compressed: folder.join("disk.img.zst") })
    }

    /// The boot path's FAT partitions with what the owner puts there.
    fn volumes(&self, options: &Options, boot: &BootStage) -> Result<Vec<Volume>, Error> {
        let mut volumes = boot.volumes.clone();
        let documents = volumes.iter_mut().find(|volume| volume.role == boot.documents);
        if let Some(Volume { entries, .. }) = documents {
            let config = options.config.iter().map(|from| (from.clone(), "holm.toml".to_owned()));
            let owners = config.chain(manifests(options.manifests.as_deref())?);
            entries
                .extend(owners.map(|(from, path)| Entry { path, content: BootFile::File(from) }));
        }
        Ok(volumes)
    }

    pub(super) fn tools(&self) -> Digest {
        let packages = self.inputs.tools.packages.iter();
        packages.fold(Key::new("tools"), |key, one| key.input(&one.name, one.sha256)).digest()
    }
}

/// How much of each budget is used.
pub fn uses(board: &Board, root: &RootStage, boot: &BootStage) -> Result<Vec<Use>, Error> {
    let bytes = fs::metadata(&root.path).map_err(file("measure", &root.path))?.len();
    let mut uses = vec![Use { what: "root", bytes, budget: board.budgets.root }];
    uses.extend(&boot.uses);
    Ok(uses)
}

/// The number of a FAT volume: the same each time, and another for each.
fn serial(board: &str, role: Role) -> u32 {
    let key = Key::new("boot serial").field("board", board).field("volume", role.name());
    let digest = key.digest();
    u32::from_le_bytes([0, 1, 2, 3].map(|i| digest.bytes()[i]))
}

/// Image archives and where they go on the data partition.
fn preload(files: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Error> {
    let mut named: Vec<(PathBuf, String)> = Vec::new();
    for path in files {
        let found = path.canonicalize().map_err(file("find", path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        named.push((found, format!("/preload/{name}")));
    }
    named.sort_by(|one, two| one.1.cmp(&two.1));
    Ok(named)
}

/// The Pod manifests of a folder and where they go on the boot partition.
fn manifests(folder: Option<&Path>) -> Result<Vec<(PathBuf, String)>, Error> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let entries = fs::read_dir(folder).map_err(file("list", folder))?;
    let mut found: Vec<(PathBuf, String)> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let end = path.extension().and_then(|end| end.to_str());
            end.is_some_and(|end| ["yaml", "yml", "json"].contains(&end))
        })
        .filter_map(|path| {
            let to = format!("manifests/{}", path.file_name()?.to_str()?);
            Some((path, to))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Compresses the image; what is in it is compressed already, so the level hardly matters.
fn compress(image: &Path, out: &Path) -> Result<(), Error> {
    let failed = |source| file("compress", image)(source);
    let from = fs::File::open(image).map_err(failed)?;
    let size = from.metadata().map_err(failed)?.len();
    let bar = progress::bytes(size, "compressed image");
    let to = fs::File::create_new(out).map_err(failed)?;
    let written = (|| {
        let mut encoder = zstd::Encoder::new(to, 9)?;
        encoder.include_checksum(true)?;
        encoder.set_pledged_src_size(Some(size))?;
        std::io::copy(&mut bar.wrap_read(from), &mut encoder)?;
        encoder.finish()?.sync_all()
    })();
    bar.finish_and_clear();
    written.map_err(failed)
}

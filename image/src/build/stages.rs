//! The steps from gathered contents to a disk image, each kept under the digest of its inputs.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::contents::Gathered;
use super::inputs::Inputs;
use super::source::Source;
use super::{Error, Options, file};
use crate::board::Board;
use crate::budget::Use;
use crate::digest::{Digest, Key};
use crate::disk::{self, Entry, FileSystem, Part, Role, Source as BootFile};
use crate::keys::Keys;
use crate::root::{initramfs_tree, root_tree};
use crate::steps::Steps;
use crate::uki::{self, Parts, Slot};
use crate::{progress, root, tree};

/// What every step needs.
pub struct Stages<'a> {
    pub(super) board: &'a Board,
    pub(super) inputs: &'a Inputs,
    pub(super) steps: &'a Steps,
    pub(super) source: &'a Source,
}

/// The root file system with its verity tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RootStage {
    pub(super) path: PathBuf,
    pub(super) root_hash: String,
    pub(super) hash_offset: u64,
}

/// The signed kernel of slot A, and the signed boot loader.
#[derive(Debug, Clone)]
pub struct KernelStage {
    pub(super) uki: PathBuf,
    pub(super) boot_loader: PathBuf,
    pub(super) command_line: String,
}

/// The disk image, and the same compressed.
#[derive(Debug, Clone)]
pub struct DiskStage {
    pub(super) image: PathBuf,
    pub(super) compressed: PathBuf,
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
        let key = Key::new("initramfs/1")
            .input("tree", tree.digest())
            .field("epoch", self.source.epoch.to_le_bytes());
        let folder = self.steps.run("initramfs", key.digest(), |folder| -> Result<(), Error> {
            let bar = progress::spinner("initramfs");
            let path = folder.join("initramfs.zst");
            let mut archive = Vec::new();
            tree::write_cpio(&tree, self.source.epoch, &mut archive)
                .and_then(|()| zstd::bulk::compress(&archive, 19))
                .and_then(|bytes| fs::write(&path, bytes))
                .map_err(file("write", &path))?;
            bar.finish_and_clear();
            Ok(())
        })?;
        Ok(folder.join("initramfs.zst"))
    }

    pub(super) fn kernel(
        &self,
        contents: &Gathered,
        root: &RootStage,
        initramfs: &Path,
        append: &[String],
        keys: &Keys,
    ) -> Result<KernelStage, Error> {
        let suffix = self.board.architecture.uefi();
        let efi = "usr/lib/systemd/boot/efi";
        let boot = &self.inputs.boot_loader;
        let stub = boot.file(&format!("{efi}/linux{suffix}.efi.stub"))?;
        let loader = boot.file(&format!("{efi}/systemd-boot{suffix}.efi"))?;
        let mut arguments = self.board.kernel.arguments();
        arguments.extend(append.iter().cloned());
        let command_line =
            uki::command_line(Slot::A, &root.root_hash, root.hash_offset, &arguments);
        let read = |path: &Path| fs::read(path).map_err(file("read", path));
        let (stub, kernel, initramfs) = (read(&stub)?, read(&contents.kernel)?, read(initramfs)?);
        let device_trees = contents
            .device_trees
            .iter()
            .map(|(_, path)| read(path))
            .collect::<Result<Vec<_>, _>>()?;
        let os_release = uki::without_version(&contents.root.os_release);
        let parts = Parts {
            os_release: &os_release,
            kernel_release: &contents.root.kernel_release,
            command_line: &command_line,
            kernel: &kernel,
            initramfs: &initramfs,
            device_trees: &device_trees,
        };
        let trees = device_trees.iter().map(|tree| Digest::of(tree));
        let key = trees
            .fold(Key::new("kernel/1"), |key, tree| key.input("device tree", tree))
            .input("stub", Digest::of(&stub))
            .input("kernel", Digest::of(&kernel))
            .input("initramfs", Digest::of(&initramfs))
            .field("command line", &command_line)
            .field("os-release", parts.os_release)
            .input("boot loader", boot.package.sha256)
            .input("tools", self.tools())
            .input("keys", keys.digest()?)
            .field("epoch", self.source.epoch.to_le_bytes());
        let folder = self.steps.run("kernel", key.digest(), |folder| -> Result<(), Error> {
            let unsigned = folder.join("unsigned.efi");
            let image = uki::assemble(&stub, &parts)?;
            fs::write(&unsigned, image).map_err(file("write", &unsigned))?;
            let (epoch, tools) = (self.source.epoch, &self.inputs.tools.toolbox);
            keys.sign(&unsigned, &folder.join("holm.efi"), epoch, tools)?;
            keys.sign(&loader, &folder.join("boot.efi"), epoch, tools)?;
            fs::remove_file(&unsigned).map_err(file("remove", &unsigned))
        })?;
        let (uki, boot_loader) = (folder.join("holm.efi"), folder.join("boot.efi"));
        Ok(KernelStage { uki, boot_loader, command_line })
    }

    pub(super) fn disk(
        &self,
        options: &Options,
        root: &RootStage,
        kernel: &KernelStage,
        keys: &Keys,
    ) -> Result<DiskStage, Error> {
        let digest = |path: &Path| Digest::of_file(path).map_err(file("read", path));
        let entries = self.boot_entries(options, kernel, keys)?;
        let preload = preload(&options.preload)?;
        let mut preload_size = 0;
        let mut key = Key::new("disk/1").input("root", digest(&root.path)?);
        for Entry { path, content } in &entries {
            key = key.field("boot", path).input(
                "content",
                match content {
                    BootFile::Bytes(bytes) => Digest::of(bytes),
                    BootFile::File(path) => digest(path)?,
                },
            );
        }
        for (from, to) in &preload {
            preload_size += fs::metadata(from).map_err(file("measure", from))?.len();
            key = key.field("preload", to).input("content", digest(from)?);
        }
        let layout = disk::plan(self.board, preload_size, options.size)?;
        let key = key
            .field("layout", format!("{layout:?}"))
            .field("data", format!("{:?}", self.board.data))
            .input("tools", self.tools())
            .field("epoch", self.source.epoch.to_le_bytes());
        let folder = self.steps.run("disk", key.digest(), |folder| -> Result<(), Error> {
            let size = |role| layout.partition(role).map_or(0, |partition| partition.size);
            let serial = Key::new("boot serial").field("board", &self.board.name).digest();
            let serial = u32::from_le_bytes([0, 1, 2, 3].map(|i| serial.bytes()[i]));
            let bar = progress::spinner("disk image");
            let (boot, state, data) =
                (folder.join("boot.img"), folder.join("state.img"), folder.join("data.img"));
            disk::write_boot(&boot, size(Role::Boot), serial, &entries)?;
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
                files: &preload,
                ..state_fs.clone()
            };
            disk::make(&state_fs, &self.inputs.tools.toolbox, &state)?;
            disk::make(&data_fs, &self.inputs.tools.toolbox, &data)?;
            let parts = [
                Part { role: Role::Boot, file: &boot },
                Part { role: Role::RootA, file: &root.path },
                Part { role: Role::State, file: &state },
                Part { role: Role::Data, file: &data },
            ];
            let image = folder.join("disk.img");
            disk::write(&layout, &parts, &image)?;
            for part in [&boot, &state, &data] {
                fs::remove_file(part).map_err(file("remove", part))?;
            }
            bar.finish_and_clear();
            compress(&image, &folder.join("disk.img.zst"))
        })?;
        Ok(DiskStage { image: folder.join("disk.img"), compressed: folder.join("disk.img.zst") })
    }

    fn boot_entries(
        &self,
        options: &Options,
        kernel: &KernelStage,
        keys: &Keys,
    ) -> Result<Vec<Entry>, Error> {
        let entry =
            |path: String, from: &Path| Entry { path, content: BootFile::File(from.into()) };
        let loader = self.board.architecture.uefi().to_uppercase();
        let mut entries = vec![
            entry(format!("EFI/BOOT/BOOT{loader}.EFI"), &kernel.boot_loader),
            // Three tries; the agent takes the count away when it is healthy.
            entry("EFI/Linux/holm-a+3.efi".to_owned(), &kernel.uki),
            Entry {
                path: "loader/loader.conf".to_owned(),
                content: BootFile::Bytes(LOADER_CONF.into()),
            },
        ];
        // For the owner to enrol from the boot menu, on firmware in setup mode.
        for name in Keys::names() {
            let path = format!("loader/keys/holm/{name}.auth");
            entries.push(entry(path, &keys.path(name, ".auth")));
        }
        if let Some(config) = &options.config {
            entries.push(entry("holm.toml".to_owned(), config));
        }
        for (from, to) in manifests(options.manifests.as_deref())? {
            entries.push(entry(to, &from));
        }
        Ok(entries)
    }

    fn tools(&self) -> Digest {
        let packages = self.inputs.tools.packages.iter();
        packages.fold(Key::new("tools"), |key, one| key.input(&one.name, one.sha256)).digest()
    }
}

/// No menu, no editor: who stands before the machine must not change the command line.
const LOADER_CONF: &str = "timeout 0\neditor no\nconsole-mode keep\nsecure-boot-enroll manual\n";

/// How much of each budget is used.
pub fn uses(board: &Board, root: &RootStage, kernel: &KernelStage) -> Result<[Use; 2], Error> {
    let size = |path: &Path| -> Result<u64, Error> {
        Ok(fs::metadata(path).map_err(file("measure", path))?.len())
    };
    Ok([
        Use { what: "root", bytes: size(&root.path)?, budget: board.budgets.root },
        Use { what: "UKI", bytes: size(&kernel.uki)?, budget: board.budgets.uki },
    ])
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

//! Gathers what goes into the root and the initramfs: picks modules, firmware and certificates.
//! Must never put in a file that the board's lists do not lead to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::boot;
use super::inputs::Unpacked;
use super::own_modules::{self, Modules};
use super::stages::Stages;
use super::{Error, file};
use crate::compile::Binaries;
use crate::digest::Key;
use crate::modules::{self, Index, Selection, Texts};
use crate::process;
use crate::root::{Contents, os_release};
use crate::tree::Content;

/// What both stages of a node get.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The root's contents.
    pub root: Contents,
    /// Modules and index files of the initramfs.
    pub initramfs_modules: Vec<(String, Content)>,
    /// Which modules are where.
    pub selection: Selection,
    /// Kernel modules of Holm's own.
    pub own_modules: Vec<String>,
    /// The kernel.
    pub kernel: PathBuf,
    /// Device trees, by their paths in the kernel's package.
    pub device_trees: Vec<(String, PathBuf)>,
}

/// Gathers it all out of the unpacked packages.
pub fn gather(
    stages: &Stages,
    binaries: &Binaries,
    update_root: Option<Vec<u8>>,
) -> Result<Gathered, Error> {
    let (board, inputs) = (stages.board, stages.inputs);
    let release = kernel_release(&inputs.kernel)?;
    let folder = inputs.kernel.folder.join("usr/lib/modules").join(&release);
    let all = own_modules::gather(stages, folder, &release)?;
    let (folder, index) = (&all.folder, index(stages, &all, &release)?);
    let mut wanted = board.modules.clone();
    wanted.root.extend(all.own.iter().cloned());
    let selection = modules::select(&wanted, &index)?;
    let plain = unpack_modules(stages, &all, &index, &selection.root)?;
    let content = |path: PathBuf| Content::of_file(path.clone()).map_err(file("read", &path));
    let describe = |names: &BTreeSet<String>| -> Result<Vec<(String, Content)>, Error> {
        let mut files = Vec::new();
        for path in names.iter().filter_map(|name| index.file(name)) {
            let path = uncompressed(path);
            files.push((path.to_owned(), content(plain.join(path))?));
        }
        let texts = index.texts_for(names).into_iter();
        files.extend(texts.map(|(name, text)| {
            let text = if name == "modules.dep" { text.replace(".ko.xz", ".ko") } else { text };
            (name.to_owned(), Content::Bytes(text.into_bytes()))
        }));
        let builtin = "modules.builtin";
        files.push((builtin.to_owned(), content(folder.join(builtin))?));
        Ok(files)
    };
    let root = Contents {
        os_release: os_release(
            &stages.source.version,
            stages.source.commit.as_deref(),
            &board.name,
        ),
        init: content(binaries.init.clone())?,
        agent: content(binaries.agent.clone())?,
        repair: content(inputs.repair.file("usr/sbin/e2fsck.static")?)?,
        certificates: certificates(&inputs.certificates)?,
        modules: describe(&selection.root)?,
        firmware: firmware(stages)?,
        update_root,
        kernel_release: release.clone(),
    };
    let initramfs_modules = describe(&selection.initramfs)?;
    let kernel = kernel_image(&inputs.kernel, &release)?;
    let device_trees = device_trees(stages, &release)?;
    let own_modules = all.own;
    Ok(Gathered { root, initramfs_modules, selection, own_modules, kernel, device_trees })
}

/// The kernel itself: below `boot`, or beside its modules, as Debian has it since Linux 7.
fn kernel_image(kernel: &Unpacked, release: &str) -> Result<PathBuf, Error> {
    let old = kernel.file(&format!("boot/vmlinuz-{release}"));
    old.or_else(|_| kernel.file(&format!("usr/lib/modules/{release}/vmlinuz")))
}

/// The device trees that the board names, each by its path below the package's folder of them.
fn device_trees(stages: &Stages, release: &str) -> Result<Vec<(String, PathBuf)>, Error> {
    let kernel = &stages.inputs.kernel;
    let patterns = boot::device_trees(stages.board);
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let places =
        [format!("usr/lib/linux-image-{release}"), format!("usr/lib/modules/{release}/dtb")];
    let folder = places.iter().map(|place| kernel.folder.join(place)).find(|path| path.is_dir());
    let folder = folder.ok_or_else(|| kernel.lacking("device trees"))?;
    let mut all = Vec::new();
    list(&folder, "", &mut all)?;
    let mut found = BTreeSet::new();
    for pattern in &patterns {
        let mut fitting = all.iter().filter(|path| modules::matches(pattern, path)).peekable();
        if fitting.peek().is_none() {
            return Err(kernel.lacking(&format!("device tree {pattern}")));
        }
        found.extend(fitting);
    }
    Ok(found.into_iter().map(|path| (path.clone(), folder.join(path))).collect())
}

fn kernel_release(kernel: &Unpacked) -> Result<String, Error> {
    let folder = kernel.folder.join("usr/lib/modules");
    let entry = fs::read_dir(&folder).ok().and_then(|mut entries| entries.next()?.ok());
    let name = entry.and_then(|entry| entry.file_name().into_string().ok());
    name.ok_or_else(|| kernel.lacking("modules"))
}

/// Runs depmod over all modules of the kernel, once for each kernel.
fn index(stages: &Stages, modules: &Modules, release: &str) -> Result<Index, Error> {
    let folder = &modules.folder;
    let key = Key::new("module-index/2").input("modules", modules.digest);
    let done = stages.steps.run("module-index", key.digest(), |out| -> Result<(), Error> {
        // depmod looks below `lib/modules`, and writes below another folder only when asked.
        let base = out.join("base");
        let lib = base.join("lib/modules");
        fs::create_dir_all(&lib).map_err(file("make", &lib))?;
        let link = lib.join(release);
        std::os::unix::fs::symlink(folder, &link).map_err(file("link", &link))?;
        let mut depmod = stages.inputs.tools.toolbox.command("sbin/depmod");
        depmod.arg("-b").arg(&base).arg("-o").arg(out).arg(release);
        process::run(&mut depmod)?;
        fs::remove_dir_all(&base).map_err(file("remove", &base))
    })?;
    let done = done.join("lib/modules").join(release);
    let read = |folder: &Path, name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(file("read", &path))
    };
    Ok(Index::parse(&Texts {
        dep: read(&done, "modules.dep")?,
        alias: read(&done, "modules.alias")?,
        softdep: read(&done, "modules.softdep")?,
        devname: read(&done, "modules.devname")?,
        builtin: read(folder, "modules.builtin")?,
    }))
}

fn uncompressed(path: &str) -> &str {
    path.strip_suffix(".xz").unwrap_or(path)
}

/// The modules as plain files: a file system or archive that compresses many of them together needs
/// less than the sum of each compressed by itself, and a node loads them faster.
fn unpack_modules(
    stages: &Stages,
    modules: &Modules,
    index: &Index,
    names: &BTreeSet<String>,
) -> Result<PathBuf, Error> {
    let folder = &modules.folder;
    let paths: Vec<&str> = names.iter().filter_map(|name| index.file(name)).collect();
    let key = Key::new("modules/2").input("modules", modules.digest);
    let key = paths.iter().fold(key, |key, path| key.field("module", path));
    stages.steps.run("modules", key.digest(), |out| {
        let mut packed = Vec::new();
        for path in &paths {
            let to = out.join(path);
            let parent = to.parent().unwrap_or(out);
            fs::create_dir_all(parent).map_err(file("make", parent))?;
            fs::copy(folder.join(path), &to).map_err(file("copy", &to))?;
            if path.ends_with(".xz") {
                packed.push(to);
            }
        }
        if packed.is_empty() {
            return Ok(());
        }
        let mut xz = stages.inputs.tools.toolbox.command("bin/xz");
        Ok(process::run(xz.arg("-d").arg("--").args(packed)).map(drop)?)
    })
}

/// All certificates in one file, sorted by name as Debian's own tool does.
fn certificates(package: &Unpacked) -> Result<Vec<u8>, Error> {
    let folder = package.folder.join("usr/share/ca-certificates/mozilla");
    let listed = fs::read_dir(&folder).map_err(file("list", &folder))?;
    let mut paths: Vec<PathBuf> = listed
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "crt"))
        .collect();
    paths.sort();
    if paths.is_empty() {
        return Err(package.lacking("certificates"));
    }
    let mut all = Vec::new();
    for path in paths {
        all.extend(fs::read(&path).map_err(file("read", &path))?);
        if all.last() != Some(&b'\n') {
            all.push(b'\n');
        }
    }
    Ok(all)
}

fn firmware(stages: &Stages) -> Result<Vec<(String, Content)>, Error> {
    let mut found = Vec::new();
    for (wanted, package) in stages.board.firmware.iter().zip(&stages.inputs.firmware) {
        let folder = package.folder.join("usr/lib/firmware");
        let mut paths = Vec::new();
        list(&folder, "", &mut paths)?;
        for pattern in &wanted.files {
            let before = found.len();
            for path in paths.iter().filter(|path| modules::matches(pattern, path)) {
                let from = folder.join(path);
                let content = Content::of_file(from.clone()).map_err(file("read", &from))?;
                found.push((path.clone(), content));
            }
            if found.len() == before {
                return Err(package.lacking(&format!("firmware {pattern}")));
            }
        }
    }
    Ok(found)
}

/// Files below a folder, links followed, in sorted order.
fn list(folder: &Path, prefix: &str, found: &mut Vec<String>) -> Result<(), Error> {
    let entries = fs::read_dir(folder).map_err(file("list", folder))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    for name in names {
        let (path, inner) = (folder.join(&name), format!("{prefix}{name}"));
        if path.is_dir() {
            list(&path, &format!("{inner}/"), found)?;
        } else if path.is_file() {
            found.push(inner);
        }
    }
    Ok(())
}

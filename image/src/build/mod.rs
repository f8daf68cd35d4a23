//! Builds an image: gathers inputs, plans, checks budgets, writes. Every step is kept under the
//! digest of its inputs. Must never need root, a loop device, or anything of the host's in an image.

mod boot;
mod contents;
mod given;
mod inputs;
mod installer;
mod manifest;
mod outputs;
mod own_modules;
mod sbom;
mod source;
mod stages;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use given::{Given, Kernel as GivenKernel};
pub use inputs::{Inputs, gather as gather_inputs};
pub use outputs::Outputs;

use crate::compile::{self, Binaries};
use crate::keys::Keys;
use crate::publish::{self, Days, UpdateKeys};
use crate::steps::Steps;
use crate::toolbox::Toolbox;
use crate::{apt, board, budget, disk, keys, process, root, steps, toolbox, tree, uki};

/// Where the keys for updates are, below the owner's keys.
pub const UPDATE_KEYS: &str = "update";

/// What a person asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The repository.
    pub workspace: PathBuf,
    /// The board's name.
    pub board: String,
    /// Where steps, keys and results go.
    pub place: Place,
    /// Where the disk image goes; the other results go beside it.
    pub output: Option<PathBuf>,
    /// The node document for the boot partition.
    pub config: Option<PathBuf>,
    /// A folder of Pod manifests for the boot partition.
    pub manifests: Option<PathBuf>,
    /// Image archives for the data partition.
    pub preload: Vec<PathBuf>,
    /// The raw image that this one installs onto an internal disk.
    pub installs: Option<PathBuf>,
    /// The image's size in MiB.
    pub size: Option<u64>,
    /// Where the owner's keys are.
    pub keys: Option<PathBuf>,
    /// Ready-made node binaries.
    pub binaries: Option<PathBuf>,
    /// What takes the place of Debian's packages.
    pub given: Given,
    /// Cargo features for the node binaries.
    pub features: Vec<String>,
    /// More kernel arguments.
    pub append: Vec<String>,
}

/// Where builds keep things, and where packages come from.
#[derive(Debug, Clone)]
pub struct Place {
    /// Steps, development keys and results.
    pub folder: PathBuf,
    /// Downloaded packages, which may be shared; below `folder` by default.
    pub cache: Option<PathBuf>,
    /// Cargo's folder for the node's binaries.
    pub target: PathBuf,
    /// The Debian archive, in place of the one that the host uses.
    pub mirror: Option<String>,
    /// The archive of security updates that goes with it.
    pub security_mirror: Option<String>,
    /// Use nothing but the cache.
    pub offline: bool,
}

impl Place {
    /// Where the environment says, and below the repository's folder what it leaves open.
    pub fn of_environment(workspace: &Path, offline: bool) -> Self {
        Self::of(workspace, offline, |name| std::env::var(name).ok())
    }

    fn of(workspace: &Path, offline: bool, environment: impl Fn(&str) -> Option<String>) -> Self {
        // Empty is as good as unset.
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let folder = |name: &str| variable(name).map(PathBuf::from);
        let target = folder("CARGO_TARGET_DIR").unwrap_or_else(|| workspace.join("target"));
        Self {
            folder: folder("HOLM_BUILD_DIR").unwrap_or_else(|| workspace.join("build")),
            cache: folder("HOLM_CACHE_DIR"),
            // Apart from the host's own builds: other flags would throw each other's results away.
            target: target.join("node"),
            mirror: variable("HOLM_APT_MIRROR"),
            security_mirror: variable("HOLM_APT_SECURITY_MIRROR"),
            offline,
        }
    }

    /// The build folder, made and without links in its path, and a lock on it.
    fn open(&self) -> Result<(PathBuf, fs::File), Error> {
        fs::create_dir_all(&self.folder).map_err(file("make", &self.folder))?;
        let folder = self.folder.canonicalize().map_err(file("find", &self.folder))?;
        let lock = lock(&folder)?;
        Ok((folder, lock))
    }
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is the error of the module that it is named after")]
pub enum Error {
    #[error(transparent)]
    Board(#[from] board::Error),
    #[error("cannot get the packages")]
    Apt(#[from] apt::Error),
    #[error(
        "apt's configuration names no Debian mirror; \
         set HOLM_APT_MIRROR to one, as http://…/debian"
    )]
    NoMirror,
    #[error("cannot use the build tools")]
    Toolbox(#[from] toolbox::Error),
    #[error("cannot keep a step's result")]
    Steps(#[from] steps::Error),
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error("the board does not fit the kernel")]
    Modules(#[from] crate::modules::Error),
    #[error(transparent)]
    Compile(#[from] compile::Error),
    #[error(transparent)]
    Root(#[from] root::Error),
    #[error(transparent)]
    Tree(#[from] tree::Error),
    #[error("cannot assemble the unified kernel image")]
    Uki(#[from] uki::Error),
    #[error(transparent)]
    UBoot(#[from] crate::uboot::Error),
    #[error("cannot use the signing keys")]
    Keys(#[from] keys::Error),
    #[error("cannot use the update keys")]
    UpdateKeys(#[from] crate::publish::Error),
    #[error(transparent)]
    Budget(#[from] budget::Exceeded),
    #[error(transparent)]
    Layout(#[from] disk::LayoutError),
    #[error(transparent)]
    Boot(#[from] disk::BootError),
    #[error(transparent)]
    Ext4(#[from] disk::Ext4Error),
    #[error(transparent)]
    Disk(#[from] disk::WriteError),
    #[error("cannot check the card")]
    Card(#[from] crate::rpi::CardError),
    #[error("the card is not fit for the board's models")]
    Unfit(#[from] crate::rpi::CheckError),
    #[error("cannot {what} {path}")]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{package} holds no {what}")]
    Lacking { package: String, what: String },
    #[error("{path} is not a node document:\n{problems}")]
    Document { path: PathBuf, problems: String },
    #[error("{path} says something that cannot be understood")]
    Metadata { path: PathBuf, source: serde_json::Error },
    #[error("another build is running in {0}")]
    Busy(PathBuf),
}

/// Builds what `options` ask for.
pub fn build(options: &Options) -> Result<Outputs, Error> {
    let board = board::read(&options.workspace.join("boards"), &options.board)?;
    source::check_document(options.config.as_deref())?;
    let (folder, _lock) = options.place.open()?;
    let steps = Steps::in_folder(folder.join("steps"));

    let mut notes = Vec::new();
    let mut inputs = inputs::gather(&board, &options.place, &folder, &steps, &mut notes)?;
    options.given.replace(&mut inputs, board.architecture, &steps)?;
    let keys = open_keys(options, &folder, &inputs.tools.toolbox, &mut notes)?;
    let source = source::describe(&options.workspace);
    let binaries = binaries(options, &board)?;

    let stages = stages::Stages {
        board: &board,
        inputs: &inputs,
        steps: &steps,
        source: &source,
        workspace: &options.workspace,
    };
    let update_root = update_root(options, &folder, &mut notes)?;
    let contents = contents::gather(&stages, &binaries, update_root)?;
    let root = stages.root(&contents)?;
    let initramfs = stages.initramfs(&contents)?;
    let mut append = options.append.clone();
    append.extend(options.installs.iter().map(|_| installer::ARGUMENT.to_owned()));
    let boot = stages.boot(&boot::Request {
        contents: &contents,
        root: &root,
        initramfs: &initramfs,
        append: &append,
        keys: &keys,
    })?;
    budget::check(&stages::uses(&board, &root, &boot)?)?;
    let disk = stages.disk(options, &root, &boot)?;
    boot::check(&board, disk.image())?;
    let made = outputs::Made { contents, root, initramfs, boot, disk };
    outputs::publish(options, &stages, &folder, made, notes)
}

/// Makes the keys in `to` that are not there yet: those for Secure Boot, and below `update` those
/// for updates, with `root_keys` root keys of which `threshold` have to sign.
pub fn create_keys(
    workspace: &Path,
    place: &Place,
    to: &Path,
    root_keys: u32,
    threshold: u32,
) -> Result<(), Error> {
    // Any board's release has the tools.
    let board = board::read(&workspace.join("boards"), "x86-64")?;
    let (folder, _lock) = place.open()?;
    let steps = Steps::in_folder(folder.join("steps"));
    let tools = inputs::tools(&board, place, &folder, &steps)?;
    let update = to.join(UPDATE_KEYS);
    match Keys::create(to, &tools.toolbox) {
        // Made before there were updates.
        Err(keys::Error::Exists(_)) if !update.exists() => {}
        other => drop(other?),
    }
    UpdateKeys::create(&update, root_keys, threshold, Timestamp::now(), Days::default())?;
    Ok(())
}

/// Debian packages of the board's release in one folder, with everything that they depend on: for
/// programs that are measured or tested on a node, but are no part of it.
pub fn unpack(
    workspace: &Path,
    place: &Place,
    board: &str,
    names: &[&str],
) -> Result<PathBuf, Error> {
    let board = board::read(&workspace.join("boards"), board)?;
    let (folder, _lock) = place.open()?;
    let steps = Steps::in_folder(folder.join("steps"));
    inputs::closure(&board, place, &folder, &steps, names)
}

/// A program of the workspace, compiled for the board as the node's own are.
pub fn program(
    workspace: &Path,
    place: &Place,
    board: &str,
    package: &str,
) -> Result<PathBuf, Error> {
    let board = board::read(&workspace.join("boards"), board)?;
    let folder = compile::compile(&compile::Request {
        packages: &[package],
        workspace,
        target_folder: &place.target,
        target: &board.build.target,
        features: &[],
        offline: place.offline,
    })?;
    Ok(folder.join(package))
}

fn binaries(options: &Options, board: &board::Board) -> Result<Binaries, Error> {
    if let Some(folder) = &options.binaries {
        return Ok(Binaries::in_folder(folder));
    }
    let folder = compile::compile(&compile::Request {
        packages: &compile::PACKAGES,
        workspace: &options.workspace,
        target_folder: &options.place.target,
        target: &board.build.target,
        features: &options.features,
        offline: options.place.offline,
    })?;
    Ok(Binaries::in_folder(&folder))
}

/// The named keys, or development keys that are made on the first build.
fn open_keys(
    options: &Options,
    folder: &Path,
    tools: &Toolbox,
    notes: &mut Vec<String>,
) -> Result<Keys, Error> {
    if let Some(named) = &options.keys {
        return Ok(Keys::open(named)?);
    }
    let folder = folder.join("keys");
    let keys = match Keys::open(&folder) {
        Err(keys::Error::Incomplete(_)) if !folder.exists() => Keys::create(&folder, tools)?,
        other => other?,
    };
    notes.push(format!(
        "signed with the development keys in {}; for nodes in the field make your own \
         with `holm-image keys` and name them with --keys",
        folder.display()
    ));
    Ok(keys)
}

/// The root of trust for updates that goes with the keys; development keys get one by themselves.
fn update_root(
    options: &Options,
    folder: &Path,
    notes: &mut Vec<String>,
) -> Result<Option<Vec<u8>>, Error> {
    let named = options.keys.as_ref();
    let folder = named.map_or_else(|| folder.join("keys"), Clone::clone).join(UPDATE_KEYS);
    match UpdateKeys::open(&folder) {
        Err(publish::Error::NoKeys(_)) if named.is_none() => {
            let keys = UpdateKeys::create(&folder, 1, 1, Timestamp::now(), Days::default())?;
            Ok(Some(keys.root_file()?))
        }
        Err(publish::Error::NoKeys(_)) => {
            notes.push(format!(
                "{} holds no update keys: nodes of this image take no updates; \
                 `holm-image keys` adds them",
                folder.display()
            ));
            Ok(None)
        }
        keys => Ok(Some(keys?.root_file()?)),
    }
}

/// Only one build at a time in a folder: steps would take each other's places.
fn lock(folder: &Path) -> Result<fs::File, Error> {
    use rustix::fs::{FlockOperation, flock};
    let path = folder.join(".lock");
    let lock = fs::File::create(&path).map_err(file("make", &path))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Busy(folder.to_owned())),
        Err(error) => Err(file("lock", &path)(error.into())),
    }
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_environment_leaves_open_or_empty_is_below_the_repository() {
        let set = |name: &str| match name {
            "HOLM_BUILD_DIR" => Some(String::new()),
            "CARGO_TARGET_DIR" => Some("/target".to_owned()),
            "HOLM_APT_MIRROR" => Some("https://mirror.example/debian".to_owned()),
            _ => None,
        };
        let place = Place::of(Path::new("/holm"), true, set);
        assert_eq!(place.folder, Path::new("/holm/build"));
        assert_eq!(place.target, Path::new("/target/node"));
        assert_eq!(place.cache, None);
        assert_eq!(place.mirror.as_deref(), Some("https://mirror.example/debian"));
        assert!(place.offline);
        let place = Place::of(Path::new("/holm"), false, |_| None);
        assert_eq!(place.target, Path::new("/holm/target/node"));
    }
}

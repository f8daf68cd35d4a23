//! Builds an image: gathers inputs, plans, checks budgets, writes. Every step is kept under the
//! digest of its inputs. Must never need root, a loop device, or anything of the host's in an image.

mod contents;
mod inputs;
mod outputs;
mod source;
mod stages;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use inputs::{Inputs, gather as gather_inputs};
pub use outputs::Outputs;

use crate::compile::{self, Binaries};
use crate::keys::Keys;
use crate::steps::Steps;
use crate::toolbox::Toolbox;
use crate::{apt, board, budget, disk, keys, process, progress, root, steps, toolbox, tree, uki};

/// What a person asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The repository.
    pub workspace: PathBuf,
    /// The board's name.
    pub board: String,
    /// Where everything goes.
    pub folder: PathBuf,
    /// Where the disk image goes; the other results go beside it.
    pub output: Option<PathBuf>,
    /// The node document for the boot partition.
    pub config: Option<PathBuf>,
    /// A folder of Pod manifests for the boot partition.
    pub manifests: Option<PathBuf>,
    /// Image archives for the data partition.
    pub preload: Vec<PathBuf>,
    /// The image's size in MiB.
    pub size: Option<u64>,
    /// Where the owner's keys are.
    pub keys: Option<PathBuf>,
    /// Ready-made node binaries.
    pub binaries: Option<PathBuf>,
    /// Cargo features for the node binaries.
    pub features: Vec<String>,
    /// More kernel arguments.
    pub append: Vec<String>,
    /// Cache and registry only.
    pub offline: bool,
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
    #[error("cannot use the signing keys")]
    Keys(#[from] keys::Error),
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
    fs::create_dir_all(&options.folder).map_err(file("make", &options.folder))?;
    let folder = options.folder.canonicalize().map_err(file("find", &options.folder))?;
    let _lock = lock(&folder)?;
    let steps = Steps::in_folder(folder.join("steps"));

    let inputs = inputs::gather(&board, &folder, options.offline, &steps)?;
    let keys = open_keys(options, &folder, &inputs.tools.toolbox)?;
    let source = source::describe(&options.workspace);
    let binaries = binaries(options, &board)?;

    let stages = stages::Stages { board: &board, inputs: &inputs, steps: &steps, source: &source };
    let contents = contents::gather(&stages, &binaries)?;
    let root = stages.root(&contents)?;
    let initramfs = stages.initramfs(&contents)?;
    let kernel = stages.kernel(&contents, &root, &initramfs, &options.append, &keys)?;
    budget::check(&stages::uses(&board, &root, &kernel)?)?;
    let disk = stages.disk(options, &root, &kernel, &keys)?;
    let made = outputs::Made { contents, root, initramfs, kernel, disk };
    outputs::publish(options, &stages, &folder, made)
}

/// Makes a set of keys in `to`, with the tools of the newest Debian release that a board names.
pub fn create_keys(workspace: &Path, folder: &Path, to: &Path, offline: bool) -> Result<(), Error> {
    let board = board::read(&workspace.join("boards"), "x86-64")?;
    fs::create_dir_all(folder).map_err(file("make", folder))?;
    let folder = folder.canonicalize().map_err(file("find", folder))?;
    let _lock = lock(&folder)?;
    let steps = Steps::in_folder(folder.join("steps"));
    let tools = inputs::tools(&board, &folder, offline, &steps)?;
    Keys::create(to, &tools.toolbox)?;
    Ok(())
}

fn binaries(options: &Options, board: &board::Board) -> Result<Binaries, Error> {
    if let Some(folder) = &options.binaries {
        return Ok(Binaries::in_folder(folder));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    // Apart from the host's own builds: other flags would throw each other's results away.
    let target = target.unwrap_or_else(|| options.workspace.join("target")).join("node");
    Ok(compile::compile(&compile::Request {
        workspace: &options.workspace,
        target_folder: &target,
        target: &board.build.target,
        features: &options.features,
        offline: options.offline,
    })?)
}

/// The named keys, or development keys that are made on the first build.
fn open_keys(options: &Options, folder: &Path, tools: &Toolbox) -> Result<Keys, Error> {
    let Some(named) = &options.keys else {
        let folder = folder.join("keys");
        let keys = match Keys::open(&folder) {
            Err(keys::Error::Incomplete(_)) if !folder.exists() => Keys::create(&folder, tools)?,
            other => other?,
        };
        progress::note("signing with development keys; name your own with --keys");
        return Ok(keys);
    };
    Ok(Keys::open(named)?)
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

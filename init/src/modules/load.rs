//! Loads planned modules into the kernel.
//! May wait for a driver's probe: PID 1 itself never calls this, its children do.

use super::index::{Index, Load, Texts};
use crate::cmdline::Cmdline;
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The kernel unpacks the file itself (linux/module.h).
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;

/// Why modules could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file of a module could not be opened.
    #[error("cannot open module file {0}")]
    Open(PathBuf, #[source] std::io::Error),
    /// The kernel refused the module.
    #[error("kernel refused module {0}: {1}")]
    Refused(String, Errno),
    /// Nothing in the index has this name or alias.
    #[error("no module is named {0}, and no module has it as alias")]
    Unknown(String),
}

/// The modules' folder of the running kernel.
pub(crate) fn folder() -> PathBuf {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Path::new("/usr/lib/modules").join(release)
}

/// Reads the index files; those that are missing count as empty.
pub(crate) fn read_texts(folder: &Path) -> Texts {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    Texts {
        dep: read("modules.dep"),
        alias: read("modules.alias"),
        softdep: read("modules.softdep"),
        builtin: read("modules.builtin"),
    }
}

/// Loads modules and remembers which are in.
pub(crate) struct Loader<'a> {
    index: Index<'a>,
    folder: PathBuf,
    cmdline: &'a Cmdline,
    loaded: HashSet<String>,
}

impl<'a> Loader<'a> {
    /// A loader for the running kernel, which knows what `/proc/modules` holds.
    pub(crate) fn new(texts: &'a Texts, folder: PathBuf, cmdline: &'a Cmdline) -> Self {
        let present = std::fs::read_to_string("/proc/modules").unwrap_or_default();
        let first_words = present.lines().filter_map(|line| line.split(' ').next());
        let loaded = first_words.map(str::to_owned).collect();
        Self { index: Index::parse(texts), folder, cmdline, loaded }
    }

    /// Loads what `request` (a name or an alias) stands for. Gives how many
    /// modules went in: none when they were there already.
    pub(crate) fn load(&mut self, request: &str) -> Result<usize, Error> {
        let plan = self.index.plan(request, &self.loaded);
        if plan.is_empty() && !self.index.knows(request) {
            return Err(Error::Unknown(request.to_owned()));
        }
        for load in &plan {
            self.insert(load)?;
            self.loaded.insert(load.name.clone());
        }
        Ok(plan.len())
    }

    /// As `load`, for a device: that nothing drives it is no error.
    pub(crate) fn load_for_device(&mut self, alias: &str) -> Result<usize, Error> {
        match self.load(alias) {
            Err(Error::Unknown(_)) => Ok(0),
            other => other,
        }
    }

    fn insert(&self, load: &Load) -> Result<(), Error> {
        let path = self.folder.join(&load.path);
        let file = File::open(&path).map_err(|error| Error::Open(path, error))?;
        let compressed = !load.path.ends_with(".ko");
        let flags = if compressed { MODULE_INIT_COMPRESSED_FILE } else { 0 };
        let options = CString::new(self.cmdline.module_options(&load.name)).unwrap_or_default();
        match rustix::system::finit_module(&file, &options, flags) {
            // Someone else was faster: the kernel autoloads too.
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(Error::Refused(load.name.clone(), errno)),
        }
    }
}

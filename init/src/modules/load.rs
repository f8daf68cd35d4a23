//! Loads planned modules into the kernel.
//! May wait for a driver's probe and starts threads: PID 1 itself never calls
//! this, its children do.

use super::index::{Index, Load, Texts};
use super::schedule::{Next, Schedule};
use crate::cmdline::Cmdline;
use rustix::io::Errno;
use std::collections::{BTreeSet, HashSet};
use std::ffi::CString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

/// The kernel unpacks the file itself (linux/module.h).
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;

/// More at once would only wait for each other.
const MOST_WORKERS: usize = 4;

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

/// What several workers share.
struct Shared {
    schedule: Schedule,
    results: Vec<(String, Result<(), Error>)>,
}

impl<'a> Loader<'a> {
    /// A loader for the running kernel, which knows what `/proc/modules` holds.
    pub(crate) fn new(texts: &'a Texts, folder: PathBuf, cmdline: &'a Cmdline) -> Self {
        let present = std::fs::read_to_string("/proc/modules").unwrap_or_default();
        let first_words = present.lines().filter_map(|line| line.split(' ').next());
        let loaded = first_words.map(str::to_owned).collect();
        Self { index: Index::parse(texts), folder, cmdline, loaded }
    }

    /// Whether there is something for `module` to drive among these devices.
    pub(crate) fn is_of_use(&self, module: &str, present: &BTreeSet<String>) -> bool {
        self.index.is_of_use(module, present)
    }

    /// How many modules must be loaded for `request`; zero when it is unknown or in.
    pub(crate) fn cost(&self, request: &str) -> usize {
        self.index.plan([request], &self.loaded).len()
    }

    /// Loads what `requests` (names or aliases) stand for, as many at once as
    /// there are processors. Gives what failed: a request that stands for
    /// nothing, or a module that the kernel refused.
    pub(crate) fn load<'r>(&mut self, requests: impl IntoIterator<Item = &'r str>) -> Vec<Error> {
        let mut failures = Vec::new();
        let mut known = Vec::new();
        for request in requests {
            if self.index.knows(request) {
                known.push(request);
            } else {
                failures.push(Error::Unknown(request.to_owned()));
            }
        }
        let plan = self.index.plan(known, &self.loaded);
        for (name, result) in self.perform(plan) {
            match result {
                Ok(()) => _ = self.loaded.insert(name),
                Err(error) => failures.push(error),
            }
        }
        failures
    }

    fn perform(&self, plan: Vec<Load>) -> Vec<(String, Result<(), Error>)> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = processors.min(plan.len()).min(MOST_WORKERS);
        let shared = Mutex::new(Shared { schedule: Schedule::new(plan), results: Vec::new() });
        let changed = Condvar::new();
        std::thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(|| self.work(&shared, &changed));
            }
            self.work(&shared, &changed);
        });
        shared.into_inner().unwrap_or_else(PoisonError::into_inner).results
    }

    fn work(&self, shared: &Mutex<Shared>, changed: &Condvar) {
        let mut held = shared.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match held.schedule.next() {
                Next::Done => return,
                Next::Wait => {
                    held = changed.wait(held).unwrap_or_else(PoisonError::into_inner);
                }
                Next::Load(load) => {
                    drop(held);
                    let result = self.insert(&load);
                    held = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    held.schedule.ended(load.name.clone());
                    held.results.push((load.name, result));
                    changed.notify_all();
                }
            }
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

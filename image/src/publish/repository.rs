//! The files of a repository: read as a whole, and changed by an exchange of the whole folder of
//! metadata, after a client has accepted the new one. A reader sees the old or the new, never both.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use holm_tuf::metadata::{Metadata, SPEC_VERSION};
use holm_tuf::{Answer, Envelope, Expires, Limits, Root, Snapshot, Stored, Targets, Workflow};
use holm_tuf::{Timestamp as TimestampRole, file_name};
use jiff::Timestamp;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use serde_json::Map;

use super::{Error, UpdateKeys, file};

/// A repository, locked for this process.
#[derive(Debug)]
pub struct Repository {
    folder: PathBuf,
    _lock: File,
}

/// What a repository says.
#[derive(Debug, Clone)]
pub struct State {
    /// The newest root.
    pub root: Root,
    /// 0 before the first one.
    pub timestamp_version: u64,
    /// When the timestamp expires.
    pub timestamp_expires: Option<Expires>,
    /// The snapshot.
    pub snapshot: Option<Snapshot>,
    /// 0 before the first one.
    pub snapshot_version: u64,
    /// The targets; empty at version 0 before the first ones.
    pub targets: Targets,
}

impl Repository {
    /// Opens the repository in `folder`, or begins one there with the keys' first root.
    pub fn open(folder: &Path, keys: &UpdateKeys) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(file("make", folder))?;
        let path = folder.join(".lock");
        let lock = File::create(&path).map_err(file("make", &path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Busy(folder.to_owned())),
            other => other.map_err(|error| file("lock", &path)(error.into()))?,
        }
        let repository = Self { folder: folder.to_owned(), _lock: lock };
        let metadata = repository.metadata();
        if !metadata.exists() {
            let fresh = repository.fresh()?;
            let root = keys.root_file()?;
            let version = Envelope::parse("root", &root)?.open::<Root>("root")?.version;
            write(&fresh.join(file_name::metadata("root", Some(version))), &root)?;
            fs::rename(&fresh, &metadata).map_err(file("make", &metadata))?;
        }
        Ok(repository)
    }

    /// The folder of metadata.
    pub fn metadata(&self) -> PathBuf {
        self.folder.join("metadata")
    }

    /// The folder of targets.
    pub fn targets(&self) -> PathBuf {
        self.folder.join("targets")
    }

    /// What it says now.
    pub fn state(&self) -> Result<State, Error> {
        let root = self.newest_root()?;
        let path = self.metadata().join("timestamp.json");
        let none = Targets {
            spec_version: SPEC_VERSION.to_owned(),
            version: 0,
            expires: Expires(Timestamp::UNIX_EPOCH),
            targets: BTreeMap::new(),
            delegations: None,
            extra: Map::new(),
        };
        let mut state = State {
            root,
            timestamp_version: 0,
            timestamp_expires: None,
            snapshot: None,
            snapshot_version: 0,
            targets: none,
        };
        if !path.exists() {
            return Ok(state);
        }
        let timestamp: TimestampRole = self.read("timestamp.json", "timestamp")?;
        state.timestamp_version = timestamp.version;
        state.timestamp_expires = Some(timestamp.expires);
        let version = timestamp.snapshot().map_or(0, |meta| meta.version);
        let snapshot: Snapshot = self.read(&format!("{version}.snapshot.json"), "snapshot")?;
        let version = snapshot.meta.get("targets.json").map_or(0, |meta| meta.version);
        state.targets = self.read(&format!("{version}.targets.json"), "targets")?;
        state.snapshot_version = snapshot.version;
        state.snapshot = Some(snapshot);
        Ok(state)
    }

    /// Adds `files` and perhaps a next root to the metadata, when a client that knows what is there
    /// now takes them, and one that knows only the first root does.
    pub(super) fn swap_in(
        &self,
        root: Option<Vec<u8>>,
        mut files: BTreeMap<String, Vec<u8>>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let metadata = self.metadata();
        let old_root = self.newest_root()?;
        let first = self.root_files()?.into_iter().next();
        let (_, first) = first.ok_or_else(|| Error::NoRepository(self.folder.clone()))?;
        let newest = self.metadata().join(file_name::metadata("root", Some(old_root.version)));
        if let Some(root) = root {
            files.insert(file_name::metadata("root", Some(old_root.version + 1)), root);
        }
        let fresh = self.fresh()?;
        for entry in fs::read_dir(&metadata).map_err(file("list", &metadata))? {
            let from = entry.map_err(file("list", &metadata))?.path();
            let to = fresh.join(from.file_name().unwrap_or_default());
            // Files are never written to again, so a second name is as good as a copy.
            let linked = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop));
            linked.map_err(file("copy", &from))?;
        }
        for (name, bytes) in &files {
            write(&fresh.join(name), bytes)?;
        }
        flush(&fresh)?;
        let first = fs::read(&first).map_err(file("read", &first))?;
        let newest = fs::read(&newest).map_err(file("read", &newest))?;
        let known = |name: &str| fs::read(metadata.join(name)).ok();
        let state = self.state()?;
        let snapshot = known(&format!("{}.snapshot.json", state.snapshot_version));
        let targets = known(&format!("{}.targets.json", state.targets.version));
        let timestamp = known("timestamp.json");
        accept(&fresh, Stored { root: first, ..Stored::default() }, now)?;
        accept(&fresh, Stored { root: newest, timestamp, snapshot, targets }, now)?;
        exchange(&fresh, &metadata).map_err(file("replace", &metadata))?;
        flush(&self.folder)?;
        fs::remove_dir_all(&fresh).map_err(file("remove", &fresh))
    }

    /// Puts a file that is complete and flushed at its place among the targets.
    pub(super) fn add_target(&self, from: &Path, name: &str) -> Result<(), Error> {
        let to = self.targets().join(name);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(file("make", folder))?;
            fs::rename(from, &to).map_err(file("replace", &to))?;
            flush(folder)?;
        }
        Ok(())
    }

    /// A file to write a target to, on the same file system.
    pub(super) fn scratch(&self, name: &str) -> Result<(PathBuf, File), Error> {
        let folder = self.targets();
        fs::create_dir_all(&folder).map_err(file("make", &folder))?;
        let path = folder.join(format!(".{name}.new"));
        let made = File::create(&path).map_err(file("make", &path))?;
        Ok((path, made))
    }

    fn newest_root(&self) -> Result<Root, Error> {
        let newest = self.root_files()?.into_iter().next_back();
        let (version, _) = newest.ok_or_else(|| Error::NoRepository(self.folder.clone()))?;
        self.read(&file_name::metadata("root", Some(version)), "root")
    }

    /// All roots by version.
    fn root_files(&self) -> Result<BTreeMap<u64, PathBuf>, Error> {
        let metadata = self.metadata();
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&metadata).map_err(file("list", &metadata))? {
            let path = entry.map_err(file("list", &metadata))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let version = name.strip_suffix(".root.json").and_then(|text| text.parse().ok());
            if let Some(version) = version {
                found.insert(version, path);
            }
        }
        Ok(found)
    }

    fn read<M: Metadata>(&self, name: &str, role: &str) -> Result<M, Error> {
        let path = self.metadata().join(name);
        let bytes = fs::read(&path).map_err(file("read", &path))?;
        Ok(Envelope::parse(role, &bytes)?.open(role)?)
    }

    /// An empty folder beside the metadata; what a run that was cut left there goes.
    fn fresh(&self) -> Result<PathBuf, Error> {
        let fresh = self.folder.join(".metadata.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(file("remove", &fresh))?;
        }
        fs::create_dir(&fresh).map_err(file("make", &fresh))?;
        Ok(fresh)
    }
}

/// A client's run over a folder.
fn accept(folder: &Path, stored: Stored, now: Timestamp) -> Result<(), Error> {
    let mut run = Workflow::begin(stored, now, Limits::default())?;
    while let Some(request) = run.request() {
        let bytes = fs::read(folder.join(&request.name)).ok();
        run.answer(bytes.as_deref().map_or(Answer::Missing, Answer::File))?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::io::Write as _;
    // A new file, never the old one under a second name.
    if path.exists() {
        fs::remove_file(path).map_err(file("remove", path))?;
    }
    let written = File::create_new(path).and_then(|mut made| {
        made.write_all(bytes)?;
        made.sync_all()
    });
    written.map_err(file("write", path))
}

fn flush(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(file("flush", folder))
}

/// Swaps two folders in one step. Where the file system cannot, a moment passes without metadata:
/// clients then fail and come again.
fn exchange(fresh: &Path, old: &Path) -> io::Result<()> {
    match renameat_with(CWD, fresh, CWD, old, RenameFlags::EXCHANGE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            let away = old.with_extension("old");
            fs::rename(old, &away)?;
            fs::rename(fresh, old)?;
            fs::rename(&away, fresh)
        }
        other => Ok(other?),
    }
}

//! A file system in memory that can lose its power at any step. For tests.
//!
//! Every changing call is one step. Metadata survives a cut up to the last flush of a folder or of
//! the whole (as an ext4 journal does), or, in the other extreme, wholly; contents that were not
//! flushed are gone, as delayed allocation leaves them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Disk, Kind, Meta, Node, Sink, Space, Tree, copy_exactly};

/// What an inode holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Directory(BTreeMap<OsString, u64>),
    File { bytes: Vec<u8>, flushed: usize },
    Symlink(Vec<u8>),
    Node(Node),
}

#[derive(Debug, Clone)]
struct Inode {
    body: Body,
    meta: Meta,
}

#[derive(Debug, Clone)]
struct Inodes {
    all: BTreeMap<u64, Inode>,
    next: u64,
}

#[derive(Debug)]
struct State {
    live: Inodes,
    durable: Inodes,
    steps: u64,
    cut_at: Option<u64>,
    space: Space,
}

/// What survives a power cut beside what was flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survives {
    Nothing,
    Metadata,
}

#[derive(Clone)]
pub(crate) struct FakeDisk {
    state: Arc<Mutex<State>>,
}

impl FakeDisk {
    pub fn new() -> Self {
        let root = Inode { body: Body::Directory(BTreeMap::new()), meta: folder_meta() };
        let inodes = Inodes { all: BTreeMap::from([(0, root)]), next: 1 };
        let space = Space { total: 1 << 40, free: 1 << 39 };
        let state = State { live: inodes.clone(), durable: inodes, steps: 0, cut_at: None, space };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// From the step with this number on, every call fails.
    pub fn cut_power_at(&self, step: u64) {
        let mut state = self.lock();
        state.steps = 0;
        state.cut_at = Some(step);
    }

    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    pub fn set_space(&self, space: Space) {
        self.lock().space = space;
    }

    /// The disk as it is found after the power is back.
    pub fn after_cut(&self, survives: Survives) -> Self {
        let state = self.lock();
        let mut inodes = match survives {
            Survives::Nothing => state.durable.clone(),
            Survives::Metadata => state.live.clone(),
        };
        for inode in inodes.all.values_mut() {
            if let Body::File { bytes, flushed } = &mut inode.body {
                bytes.truncate(*flushed);
            }
        }
        let fresh = Self::new();
        {
            let mut other = fresh.lock();
            other.live = inodes.clone();
            other.durable = inodes;
        }
        fresh
    }

    /// Every path below `root` with what it holds: to compare two folders.
    pub fn dump(&self, root: &Path) -> BTreeMap<PathBuf, (Body, Meta)> {
        let state = self.lock();
        let mut out = BTreeMap::new();
        let Ok(start) = state.live.find(root) else { return out };
        let mut pending = vec![(PathBuf::new(), start)];
        while let Some((path, number)) = pending.pop() {
            let inode = &state.live.all[&number];
            let mut body = inode.body.clone();
            if let Body::Directory(names) = &mut body {
                pending.extend(names.iter().map(|(name, &n)| (path.join(name), n)));
                names.values_mut().for_each(|n| *n = 0);
            }
            out.insert(path, (body, inode.meta.clone()));
        }
        out
    }

    pub fn has(&self, path: &str) -> bool {
        self.lock().live.find(Path::new(path)).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Counts a step; fails when the power is gone.
    fn step(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if state.cut_at.is_some_and(|cut| state.steps >= cut) {
            return Err(io::Error::other("power cut"));
        }
        state.steps += 1;
        Ok(state)
    }
}

fn folder_meta() -> Meta {
    Meta { mode: 0o700, ..Meta::default() }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Inodes {
    fn find(&self, path: &Path) -> io::Result<u64> {
        let mut at = 0;
        for part in path.components() {
            let Body::Directory(names) = &self.all[&at].body else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            at = *names.get(part.as_os_str()).ok_or_else(missing)?;
        }
        Ok(at)
    }

    fn names(&mut self, folder: &Path) -> io::Result<&mut BTreeMap<OsString, u64>> {
        let at = self.find(folder)?;
        match &mut self.all.get_mut(&at).unwrap().body {
            Body::Directory(names) => Ok(names),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn parent(&mut self, path: &Path) -> io::Result<&mut BTreeMap<OsString, u64>> {
        self.names(path.parent().ok_or_else(missing)?)
    }

    fn add(&mut self, path: &Path, body: Body, meta: Meta) -> io::Result<u64> {
        let number = self.next;
        let name = path.file_name().ok_or(io::ErrorKind::AlreadyExists)?.to_owned();
        let names = self.parent(path)?;
        if names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.insert(name, number);
        self.next += 1;
        self.all.insert(number, Inode { body, meta });
        // Making an entry changes its folder's time: unpacking must put it back.
        let folder = self.find(path.parent().unwrap())?;
        self.all.get_mut(&folder).unwrap().meta.mtime = u64::from(u32::MAX);
        Ok(number)
    }

    fn inode(&mut self, path: &Path) -> io::Result<&mut Inode> {
        let at = self.find(path)?;
        self.all.get_mut(&at).ok_or_else(missing)
    }
}

impl Disk for FakeDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        let mut at = PathBuf::new();
        for part in path.components() {
            at.push(part);
            if state.live.find(&at).is_err() {
                state.live.add(&at, Body::Directory(BTreeMap::new()), folder_meta())?;
            }
        }
        Ok(())
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.lock();
        let names = state.live.names(path)?;
        Ok(names.keys().map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.lock().live.find(path).is_ok())
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        match &self.lock().live.inode(path)?.body {
            Body::File { bytes, .. } if bytes.len() as u64 <= limit => Ok(bytes.clone()),
            _ => Err(io::Error::other("no file, or too long")),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let body = Body::File { bytes: bytes.to_vec(), flushed: 0 };
        let number = self.step()?.live.add(path, body, Meta::default())?;
        let mut state = self.step()?;
        if let Body::File { bytes, flushed } = &mut state.live.all.get_mut(&number).unwrap().body {
            *flushed = bytes.len();
        }
        Ok(())
    }

    fn flush_all(&self) -> io::Result<()> {
        let mut state = self.step()?;
        for inode in state.live.all.values_mut() {
            if let Body::File { bytes, flushed } = &mut inode.body {
                *flushed = bytes.len();
            }
        }
        state.durable = state.live.clone();
        Ok(())
    }

    fn flush_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        state.live.names(path)?;
        state.durable = state.live.clone();
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        let moved = state.live.find(from)?;
        let name = to.file_name().unwrap().to_owned();
        if let Some(&old) = state.live.parent(to)?.get(&name) {
            if matches!(state.live.all[&old].body, Body::Directory(ref n) if !n.is_empty()) {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
        }
        state.live.parent(from)?.remove(from.file_name().unwrap());
        state.live.parent(to)?.insert(name, moved);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.remove_tree(path)
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        if let Ok(names) = state.live.parent(path) {
            names.remove(path.file_name().unwrap());
        }
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        Ok(self.lock().space)
    }

    fn tree(&self, path: &Path) -> io::Result<Box<dyn Tree + '_>> {
        self.lock().live.names(path)?;
        Ok(Box::new(FakeTree { disk: self.clone(), root: path.to_owned() }))
    }
}

struct FakeTree {
    disk: FakeDisk,
    root: PathBuf,
}

impl FakeTree {
    fn at(&self, path: &Path) -> PathBuf {
        assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
        // No trailing slash for the folder itself.
        if path.as_os_str().is_empty() { self.root.clone() } else { self.root.join(path) }
    }

    fn add(&self, path: &Path, body: Body) -> io::Result<u64> {
        self.disk.step()?.live.add(&self.at(path), body, Meta::default())
    }
}

impl Tree for FakeTree {
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        let mut state = self.disk.lock();
        let inode = match state.live.inode(&self.at(path)) {
            Ok(inode) => inode,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(Some(match &inode.body {
            Body::Directory(_) => Kind::Directory,
            Body::File { .. } => Kind::File,
            Body::Symlink(target) => Kind::Symlink(target.clone()),
            Body::Node(Node::Char { major: 0, minor: 0 }) => Kind::Whiteout,
            Body::Node(_) => Kind::Special,
        }))
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        let meta = self.disk.lock().live.inode(&self.at(path))?.meta.clone();
        Ok(Meta { xattrs: Vec::new(), ..meta })
    }

    fn make_dir(&mut self, path: &Path) -> io::Result<()> {
        self.add(path, Body::Directory(BTreeMap::new())).map(drop)
    }

    fn make_file(&mut self, path: &Path) -> io::Result<Box<dyn Sink>> {
        let number = self.add(path, Body::File { bytes: Vec::new(), flushed: 0 })?;
        Ok(Box::new(FakeSink { disk: self.disk.clone(), number }))
    }

    fn make_symlink(&mut self, path: &Path, target: &[u8]) -> io::Result<()> {
        self.add(path, Body::Symlink(target.to_vec())).map(drop)
    }

    fn make_link(&mut self, path: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.disk.step()?;
        let number = state.live.find(&self.at(to))?;
        let name = path.file_name().unwrap().to_owned();
        match state.live.parent(&self.at(path))?.insert(name, number) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn make_node(&mut self, path: &Path, node: Node) -> io::Result<()> {
        self.add(path, Body::Node(node)).map(drop)
    }

    fn set_meta(&mut self, path: &Path, meta: &Meta) -> io::Result<()> {
        let mut state = self.disk.step()?;
        let inode = state.live.inode(&self.at(path))?;
        let mut xattrs = std::mem::take(&mut inode.meta.xattrs);
        xattrs.retain(|(name, _)| meta.xattrs.iter().all(|(other, _)| other != name));
        inode.meta = meta.clone();
        inode.meta.xattrs.extend(xattrs);
        Ok(())
    }

    fn set_mtime(&mut self, path: &Path, mtime: u64) -> io::Result<()> {
        self.disk.step()?.live.inode(&self.at(path))?.meta.mtime = mtime;
        Ok(())
    }

    fn set_xattr(&mut self, path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
        assert!(
            name.is_ascii() && !name.as_bytes().contains(&0),
            "{:?}",
            path.as_os_str().as_bytes()
        );
        let mut state = self.disk.step()?;
        let xattrs = &mut state.live.inode(&self.at(path))?.meta.xattrs;
        xattrs.retain(|(other, _)| other != name);
        xattrs.push((name.to_owned(), value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.disk.remove_tree(&self.at(path))
    }
}

struct FakeSink {
    disk: FakeDisk,
    number: u64,
}

impl FakeSink {
    fn change(&mut self, act: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.disk.step()?;
        if let Body::File { bytes, .. } = &mut state.live.all.get_mut(&self.number).unwrap().body {
            act(bytes);
        }
        Ok(())
    }
}

impl Sink for FakeSink {
    fn copy(&mut self, from: &mut dyn Read, length: u64) -> io::Result<()> {
        let mut data = Vec::new();
        copy_exactly(from, &mut data, length)?;
        self.change(|bytes| bytes.extend(data))
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.set_len(offset)
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.change(|bytes| bytes.resize(usize::try_from(length).unwrap(), 0))
    }
}

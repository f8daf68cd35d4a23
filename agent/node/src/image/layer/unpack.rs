//! Carries out the plan of each entry, within the limits.
//!
//! Must never hold a file, or the list of a layer's files, in memory.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::image::disk::{Kind, Meta, Node, Tree};
use crate::image::limits::Limits;
use crate::image::tar::{Entries, Entry, TarError};

use super::plan::{Action, Refusal, plan};

const OPAQUE: (&str, &[u8]) = ("trusted.overlay.opaque", b"y");

/// Between two questions whether to go on, at most this much is written.
const STRIDE: u64 = 8 << 20;

/// Usual block of a file system: a folder takes one, and every file a whole number of them.
const BLOCK: u64 = 4096;

/// Parents that no entry lists: a few in odd archives, thousands in hostile ones only.
const IMPLIED_LIMIT: usize = 4096;

/// A layer that cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The archive is broken, or cannot be read.
    #[error("read the layer")]
    Archive(#[source] TarError),
    /// An entry that may not be unpacked.
    #[error("entry {path:?}")]
    Entry {
        /// Its name in the archive.
        path: String,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// The disk refuses.
    #[error("write {path:?}")]
    Write {
        /// Path in the layer.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The contents are larger than the limit.
    #[error("unpacked contents are larger than the limit of {limit} bytes")]
    TooLarge {
        /// See `Limits::unpacked_bytes`.
        limit: u64,
    },
    /// More entries than the limit.
    #[error("more than {limit} entries")]
    TooManyEntries {
        /// See `Limits::entries`.
        limit: u64,
    },
    /// Too many folders that no entry lists.
    #[error("more than 4096 folders are used without being listed")]
    TooManyImplied,
    /// Going on would fill the disk.
    #[error("only {free} bytes are free on the disk, and {reserve} are kept back")]
    NoRoom {
        /// What is left.
        free: u64,
        /// See `Limits::reserve_bytes`.
        reserve: u64,
    },
}

/// What was unpacked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Bytes of contents.
    pub bytes: u64,
    /// What it takes on the disk, in whole blocks.
    pub room: u64,
    pub entries: u64,
    /// Folders that no entry lists: see [`adopt`].
    pub implied: BTreeSet<PathBuf>,
    /// The root of the layer hides all layers below, which overlayfs does not do for a root.
    pub opaque_root: bool,
}

/// Asked now and then, with the number of bytes that come next.
pub(crate) type GoOn<'a> = dyn FnMut(u64) -> Result<(), LayerError> + 'a;

/// Unpacks all entries into `tree`.
pub(crate) fn unpack<R: Read>(
    entries: &mut Entries<R>,
    tree: &mut dyn Tree,
    limits: &Limits,
    go_on: &mut GoOn<'_>,
) -> Result<Unpacked, LayerError> {
    let mut unpacker = Unpacker { tree, touched: None, done: Unpacked::default() };
    let root = Meta { mode: 0o755, ..Meta::default() };
    unpacker.act(&Action::SetMeta(PathBuf::new(), root))?;
    while let Some(entry) = entries.next().map_err(LayerError::Archive)? {
        unpacker.done.entries += 1;
        if unpacker.done.entries > limits.entries {
            return Err(LayerError::TooManyEntries { limit: limits.entries });
        }
        let (_, stored) = entries.position();
        let left = limits.unpacked_bytes.saturating_sub(unpacker.done.bytes);
        if stored > left || entry.size > limits.unpacked_bytes {
            return Err(LayerError::TooLarge { limit: limits.unpacked_bytes });
        }
        if stored > 0 || unpacker.done.entries % 256 == 1 {
            go_on(stored.min(STRIDE))?;
        }
        let actions = plan(&entry, &mut |path| {
            let looked = unpacker.tree.kind(path);
            looked.map_err(|source| Refusal::Look { path: path.to_owned(), source })
        });
        let actions = actions.map_err(|source| LayerError::Entry {
            path: String::from_utf8_lossy(&entry.path).into_owned(),
            source,
        })?;
        for action in &actions {
            match action {
                Action::MakeFile(path, meta) => {
                    unpacker.file(path, meta, &entry, stored, entries, go_on)?;
                }
                action => unpacker.act(action)?,
            }
        }
        unpacker.done.bytes += stored;
        unpacker.done.room += stored.next_multiple_of(BLOCK).max(BLOCK);
    }
    unpacker.leave()?;
    Ok(unpacker.done)
}

/// Gives each implied folder the ownership and mode that it has in the nearest layer below that
/// knows it: mixing the layers must not change a folder which this layer only passes through.
pub(crate) fn adopt(
    tree: &mut dyn Tree,
    implied: &BTreeSet<PathBuf>,
    below: &[Box<dyn Tree + '_>],
) -> Result<(), LayerError> {
    for path in implied {
        // A link or a file on the way ends the search: then nothing shines through.
        let found = below.iter().rev().find_map(|layer| match layer.kind(path) {
            Ok(None) => None,
            Ok(Some(Kind::Directory)) => Some(layer.meta(path).ok()),
            _ => Some(None),
        });
        if let Some(meta) = found.flatten() {
            tree.set_meta(path, &meta).map_err(write_error(path))?;
        }
    }
    Ok(())
}

struct Unpacker<'a> {
    tree: &'a mut dyn Tree,
    /// The folder whose entries change now, and the time it is to have. Making an entry changes
    /// its folder's time, and archives list a folder before its entries.
    touched: Option<(PathBuf, u64)>,
    done: Unpacked,
}

impl Unpacker<'_> {
    fn act(&mut self, action: &Action) -> Result<(), LayerError> {
        match action {
            Action::Remove(path) => {
                self.enter(path)?;
                self.done.implied.retain(|implied| !implied.starts_with(path));
                self.tree.remove(path).map_err(write_error(path))
            }
            Action::MakeDir(path, meta) => {
                self.enter(path)?;
                self.tree.make_dir(path).map_err(write_error(path))?;
                self.tree.set_meta(path, meta).map_err(write_error(path))
            }
            Action::ImplyDir(path) => {
                if self.done.implied.len() >= IMPLIED_LIMIT {
                    return Err(LayerError::TooManyImplied);
                }
                self.done.implied.insert(path.clone());
                self.enter(path)?;
                self.tree.make_dir(path).map_err(write_error(path))?;
                let meta = Meta { mode: 0o755, ..Meta::default() };
                self.tree.set_meta(path, &meta).map_err(write_error(path))
            }
            Action::SetMeta(path, meta) => {
                self.done.implied.remove(path);
                if let Some((_, mtime)) = self.touched.as_mut().filter(|(at, _)| at == path) {
                    *mtime = meta.mtime;
                }
                self.tree.set_meta(path, meta).map_err(write_error(path))
            }
            Action::MakeSymlink(path, target, meta) => {
                self.enter(path)?;
                self.tree.make_symlink(path, target).map_err(write_error(path))?;
                self.tree.set_meta(path, meta).map_err(write_error(path))
            }
            Action::MakeLink { path, to } => {
                self.enter(path)?;
                self.tree.make_link(path, to).map_err(write_error(path))
            }
            Action::MakeNode(path, node, meta) => {
                self.enter(path)?;
                self.tree.make_node(path, *node).map_err(write_error(path))?;
                self.tree.set_meta(path, meta).map_err(write_error(path))
            }
            Action::Whiteout(path) => {
                self.enter(path)?;
                let node = Node::Char { major: 0, minor: 0 };
                self.tree.make_node(path, node).map_err(write_error(path))
            }
            Action::Opaque(path) => {
                self.done.opaque_root |= path.as_os_str().is_empty();
                self.tree.set_xattr(path, OPAQUE.0, OPAQUE.1).map_err(write_error(path))
            }
            // Contents come from the archive: see `file`.
            Action::MakeFile(..) => Ok(()),
        }
    }

    fn file<R: Read>(
        &mut self,
        path: &Path,
        meta: &Meta,
        entry: &Entry,
        stored: u64,
        entries: &mut Entries<R>,
        go_on: &mut GoOn<'_>,
    ) -> Result<(), LayerError> {
        self.enter(path)?;
        let mut sink = self.tree.make_file(path).map_err(write_error(path))?;
        let whole = [(0, stored)];
        let parts = if entry.sparse.is_empty() { &whole[..] } else { &entry.sparse[..] };
        let mut contents = Noted { inner: entries, failed: None };
        for &(offset, length) in parts {
            if !entry.sparse.is_empty() {
                sink.seek(offset).map_err(write_error(path))?;
            }
            let mut left = length;
            while left > 0 {
                let next = left.min(STRIDE);
                if left != length {
                    go_on(next)?;
                }
                if let Err(source) = sink.copy(&mut contents, next) {
                    return Err(match contents.failed {
                        Some(error) => LayerError::Archive(TarError::Read(error)),
                        None => LayerError::Write { path: path.to_owned(), source },
                    });
                }
                left -= next;
            }
        }
        if !entry.sparse.is_empty() {
            sink.set_len(entry.size).map_err(write_error(path))?;
        }
        drop(sink);
        self.tree.set_meta(path, meta).map_err(write_error(path))
    }

    /// The folder of `path` is about to change: keep its time, and give the last one its own back.
    fn enter(&mut self, path: &Path) -> Result<(), LayerError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        if self.touched.as_ref().is_some_and(|(at, _)| at == folder) {
            return Ok(());
        }
        self.leave()?;
        let mtime = self.tree.meta(folder).map_err(write_error(folder))?.mtime;
        self.touched = Some((folder.to_owned(), mtime));
        Ok(())
    }

    fn leave(&mut self) -> Result<(), LayerError> {
        match self.touched.take() {
            Some((folder, mtime)) => {
                self.tree.set_mtime(&folder, mtime).map_err(write_error(&folder))
            }
            None => Ok(()),
        }
    }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> LayerError {
    let path = path.to_owned();
    move |source| LayerError::Write { path, source }
}

/// Remembers that an error came from the archive, not from the disk.
struct Noted<'a, R> {
    inner: &'a mut Entries<R>,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Noted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }
}

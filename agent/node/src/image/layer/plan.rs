//! What one entry of a layer's archive does to the layer's folder.
//!
//! Pure: what is there comes in as a function. Whiteouts follow the OCI image specification and
//! take overlayfs' form: `.wh.NAME` becomes a character device 0:0 named NAME, and a folder that
//! hides all of its namesake below gets the attribute `trusted.overlay.opaque`. A whiteout speaks
//! of the layers below only, wherever in the archive it stands:
//!
//! | the layer has at NAME | `.wh.NAME` arrives | an entry for NAME arrives after it |
//! |---|---|---|
//! | nothing | device 0:0 | file: replaces the device; folder: replaces it and is opaque |
//! | a folder | the folder becomes opaque | |
//! | anything else | nothing: it hides what is below already | |

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::image::disk::{Kind, Meta, Node};
use crate::image::tar::{Entry, EntryKind};

use super::paths;

const WHITEOUT: &[u8] = b".wh.";
/// AUFS' own records; of these only the opaque mark means anything to others.
const AUFS: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// One step of unpacking. Paths hold no symbolic links, except at their last part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Remove(PathBuf),
    MakeDir(PathBuf, Meta),
    /// A parent that the archive does not list: its ownership and mode are those of the layers
    /// below, where they have it.
    ImplyDir(PathBuf),
    /// The folder is there already.
    SetMeta(PathBuf, Meta),
    /// The contents come from the archive.
    MakeFile(PathBuf, Meta),
    MakeSymlink(PathBuf, Vec<u8>, Meta),
    MakeLink {
        path: PathBuf,
        to: PathBuf,
    },
    MakeNode(PathBuf, Node, Meta),
    Whiteout(PathBuf),
    Opaque(PathBuf),
}

/// Why an entry is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It has `..` in it.
    #[error("the path climbs out with \"..\"")]
    Climbs,
    /// Linux has no such name.
    #[error("a name in the path is longer than 255 bytes")]
    NameTooLong,
    /// Linux has no such name.
    #[error("the path has a NUL byte in it")]
    Nul,
    /// More than 40 links, as Linux counts.
    #[error("too many levels of symbolic links")]
    LinkLoop,
    /// A parent is something else.
    #[error("{0:?} is not a folder")]
    NotAFolder(PathBuf),
    /// The target of a hard link is not in this layer.
    #[error("hard link to {0:?}, which is not in this layer")]
    Missing(PathBuf),
    /// Folders have no hard links.
    #[error("hard link to the folder {0:?}")]
    LinkToFolder(PathBuf),
    /// The archive's root is a folder.
    #[error("the layer's root must be a folder")]
    Root,
    /// A whiteout without a name.
    #[error("whiteout that names nothing")]
    EmptyWhiteout,
    /// Not a number that Linux takes.
    #[error("user or group {0} is out of range")]
    Owner(u64),
    /// The folder cannot be looked at.
    #[error("look at {path:?}")]
    Look {
        /// What was looked at.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Errors of the disk are alike when they are of one kind: for tests.
impl PartialEq for Refusal {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// Answer of the function that says what is there.
pub(crate) type Looked = Result<Option<Kind>, Refusal>;

/// The steps that put `entry` into the layer.
pub(crate) fn plan(
    entry: &Entry,
    look: &mut dyn FnMut(&Path) -> Looked,
) -> Result<Vec<Action>, Refusal> {
    let path = paths::parse(&entry.path)?;
    let Some(name) = path.file_name().map(OsStr::as_bytes) else {
        return match entry.kind {
            EntryKind::Directory => Ok(vec![Action::SetMeta(path, meta(entry)?)]),
            _ => Err(Refusal::Root),
        };
    };
    if name.starts_with(AUFS) && name != OPAQUE {
        return Ok(Vec::new());
    }
    let mut actions = Vec::new();
    let parent = path.parent().unwrap_or(Path::new(""));
    let parent = paths::settle(parent, look, Some(&mut actions))?;
    if name == OPAQUE {
        actions.push(Action::Opaque(parent));
    } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Refusal::EmptyWhiteout);
        }
        whiteout(parent.join(OsStr::from_bytes(hidden)), look, &mut actions)?;
    } else {
        make(entry, parent.join(OsStr::from_bytes(name)), look, &mut actions)?;
    }
    Ok(actions)
}

fn whiteout(
    path: PathBuf,
    look: &mut dyn FnMut(&Path) -> Looked,
    actions: &mut Vec<Action>,
) -> Result<(), Refusal> {
    match paths::look_after(actions, &path, look)? {
        None => actions.push(Action::Whiteout(path)),
        Some(Kind::Directory) => actions.push(Action::Opaque(path)),
        Some(_) => {}
    }
    Ok(())
}

fn make(
    entry: &Entry,
    path: PathBuf,
    look: &mut dyn FnMut(&Path) -> Looked,
    actions: &mut Vec<Action>,
) -> Result<(), Refusal> {
    let there = paths::look_after(actions, &path, look)?;
    let meta = meta(entry)?;
    if entry.kind == EntryKind::Directory {
        match there {
            Some(Kind::Directory) => actions.push(Action::SetMeta(path, meta)),
            None => actions.push(Action::MakeDir(path, meta)),
            // What is there hides the layers below, and stays in effect.
            Some(_) => {
                actions.push(Action::Remove(path.clone()));
                actions.push(Action::MakeDir(path.clone(), meta));
                actions.push(Action::Opaque(path));
            }
        }
        return Ok(());
    }
    let target = match &entry.kind {
        EntryKind::HardLink { target } => {
            let to = link_target(target, look)?;
            if to == path {
                return Ok(());
            }
            if to.starts_with(&path) {
                return Err(Refusal::Missing(to));
            }
            Some(to)
        }
        _ => None,
    };
    if there.is_some() {
        actions.push(Action::Remove(path.clone()));
    }
    actions.push(match (&entry.kind, target) {
        (EntryKind::HardLink { .. }, Some(to)) => Action::MakeLink { path, to },
        (EntryKind::Symlink { target }, _) => Action::MakeSymlink(path, target.clone(), meta),
        // overlayfs would take it for a whiteout in any case.
        (EntryKind::CharDevice { major: 0, minor: 0 }, _) => Action::Whiteout(path),
        (EntryKind::CharDevice { major, minor }, _) => {
            Action::MakeNode(path, Node::Char { major: *major, minor: *minor }, meta)
        }
        (EntryKind::BlockDevice { major, minor }, _) => {
            Action::MakeNode(path, Node::Block { major: *major, minor: *minor }, meta)
        }
        (EntryKind::Fifo, _) => Action::MakeNode(path, Node::Fifo, meta),
        _ => Action::MakeFile(path, meta),
    });
    Ok(())
}

/// Hard links name their target from the archive's root.
fn link_target(raw: &[u8], look: &mut dyn FnMut(&Path) -> Looked) -> Result<PathBuf, Refusal> {
    let path = paths::parse(raw)?;
    let Some(name) = path.file_name() else {
        return Err(Refusal::LinkToFolder(path));
    };
    let to = paths::settle(path.parent().unwrap_or(Path::new("")), look, None)?.join(name);
    match look(&to)? {
        None | Some(Kind::Whiteout) => Err(Refusal::Missing(to)),
        Some(Kind::Directory) => Err(Refusal::LinkToFolder(to)),
        Some(_) => Ok(to),
    }
}

fn meta(entry: &Entry) -> Result<Meta, Refusal> {
    // The highest number means "leave it" to chown.
    let id = |raw| u32::try_from(raw).ok().filter(|&id| id != u32::MAX).ok_or(Refusal::Owner(raw));
    let mut xattrs = Vec::new();
    for (name, value) in &entry.xattrs {
        if let Ok(name) = std::str::from_utf8(name) {
            if is_for_containers(name) {
                xattrs.push((name.to_owned(), value.clone()));
            }
        }
    }
    Ok(Meta {
        mode: entry.mode & 0o7777,
        uid: id(entry.uid)?,
        gid: id(entry.gid)?,
        mtime: entry.mtime,
        xattrs,
    })
}

/// overlayfs' own attributes would let a layer redirect names or hide what it does not own, and
/// security labels belong to the node; file capabilities and access lists belong to the image.
fn is_for_containers(name: &str) -> bool {
    let overlay = name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
    !overlay
        && (name.starts_with("user.")
            || name.starts_with("trusted.")
            || name == "security.capability"
            || name.starts_with("system.posix_acl_"))
}

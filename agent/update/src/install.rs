//! Writes a payload to the spare slot and reads it back. Never decides which slot: the machine
//! does; never touches another file or device than it is given.
//!
//! The page cache is passed by, so that a node with little memory keeps what it has; blocks that
//! are there already are not written again, so that flash is spared and an interrupted
//! installation goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use crate::payload::{BLOCK, Part, PartKind, Payload, Source};
use crate::verity::{self, Superblock, Tree, VerityError};

/// Alignment of buffers and lengths that direct access needs; no disk has larger sectors.
const ALIGNMENT: usize = 4096;

/// Why a slot is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The payload is for another board.
    #[error("the payload is for board {found}; this node is {wanted}")]
    Board {
        /// Its board.
        found: String,
        /// This node's.
        wanted: String,
    },
    /// A part does not fit where it goes.
    #[error("{part} has {size} bytes; there is room for {room}")]
    Room {
        /// The part.
        part: String,
        /// Its size.
        size: u64,
        /// The partition's, or what the file system has free.
        room: u64,
    },
    /// The payload lacks a part, or has one too many.
    #[error("the payload has {0}")]
    Parts(String),
    /// The content could not be got.
    #[error("read {part} of the payload")]
    Source {
        /// The part.
        part: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The content is not what was signed.
    #[error("{part} of the payload is not what was signed: {what}")]
    Content {
        /// The part.
        part: String,
        /// In which way.
        what: &'static str,
    },
    /// The slot could not be written or read.
    #[error("{what} {}", path.display())]
    Disk {
        /// What was to be done.
        what: &'static str,
        /// The device or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk does not give back what was written.
    #[error("{} does not hold what was written: {what}", path.display())]
    ReadBack {
        /// The device or file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// The root's verity tree.
    #[error("the root of the payload cannot be verified")]
    Verity(#[from] VerityError),
    /// The node goes down, or was told to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Where a payload goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// This node's board.
    pub board: String,
    /// The device of the spare root.
    pub root: PathBuf,
    /// The unfinished kernel.
    pub kernel: PathBuf,
}

/// What it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the payload.
    pub total: u64,
    /// Bytes that went to the disk.
    pub written: u64,
}

/// Installs the payload. `go_on` is asked between blocks, with the bytes that are done; `false`
/// ends it.
///
/// # Errors
/// See [`InstallError`]. The slot is then incomplete, and disabled as it was before.
pub fn install(
    source: &dyn Source,
    payload: &Payload,
    target: &Target,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Written, InstallError> {
    let (root, kernel) = check(payload, target)?;
    let mut done = Written::default();
    write(source, root, &target.root, &mut done, go_on)?;
    verify_root(payload, root, &target.root, go_on)?;
    write(source, kernel, &target.kernel, &mut done, go_on)?;
    verify(kernel, &target.kernel, &mut |_, _| Ok(()), go_on)?;
    Ok(done)
}

/// Everything that can be known before the first write.
fn check<'a>(payload: &'a Payload, target: &Target) -> Result<(&'a Part, &'a Part), InstallError> {
    if payload.board != target.board {
        let (found, wanted) = (payload.board.clone(), target.board.clone());
        return Err(InstallError::Board { found, wanted });
    }
    let only = |kind, name: &str| {
        let mut parts = payload.parts.iter().filter(|part| part.kind == kind);
        match (parts.next(), parts.next()) {
            (Some(part), None) => Ok(part),
            (None, _) => Err(InstallError::Parts(format!("no {name}"))),
            (Some(_), Some(_)) => Err(InstallError::Parts(format!("more than one {name}"))),
        }
    };
    let root = only(PartKind::Root, "root")?;
    let kernel = only(PartKind::Kernel, "kernel")?;
    let room = length(&target.root).map_err(disk("measure", &target.root))?;
    if root.size > room {
        return Err(InstallError::Room { part: "root".to_owned(), size: root.size, room });
    }
    let folder = target.kernel.parent().unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(folder).map_err(io::Error::from);
    let free = free.map_err(disk("measure", folder))?;
    let there = std::fs::metadata(&target.kernel).map_or(0, |metadata| metadata.len());
    let room = (free.f_bavail * free.f_frsize).saturating_add(there);
    if kernel.size > room {
        return Err(InstallError::Room { part: "kernel".to_owned(), size: kernel.size, room });
    }
    Ok((root, kernel))
}

/// Copies one part, block by block, and flushes it.
fn write(
    source: &dyn Source,
    part: &Part,
    path: &Path,
    done: &mut Written,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<(), InstallError> {
    let name = || part_name(part);
    let failed = |source| InstallError::Source { part: name(), source };
    let device = part.kind == PartKind::Root;
    let file = open(path, true, device).map_err(disk("open", path))?;
    if !device {
        file.set_len(part.size).map_err(disk("resize", path))?;
    }
    let mut content = source.open(part, 0).map_err(failed)?;
    let (mut new, mut old) = (Buffer::new(), Buffer::new());
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < part.size {
        if !go_on(done.total) {
            return Err(InstallError::Interrupted);
        }
        let length = usize::try_from(part.size - at).map_or(BLOCK, |left| left.min(BLOCK));
        let block = new.block();
        match content.read_exact(&mut block[..length]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(InstallError::Content { part: name(), what: "it is too short" });
            }
            other => other.map_err(failed)?,
        }
        hash.update(&block[..length]);
        // Direct access is in whole sectors; what follows a part's end means nothing.
        let whole = if device { length.next_multiple_of(ALIGNMENT) } else { length };
        block[length..whole].fill(0);
        let present = old.block();
        let same = file.read_exact_at(&mut present[..whole], at).is_ok()
            && present[..length] == block[..length];
        if !same {
            file.write_all_at(&block[..whole], at).map_err(disk("write", path))?;
            done.written += whole as u64;
        }
        at += length as u64;
        done.total += length as u64;
    }
    if content.read(&mut new.block()[..1]).map_err(failed)? != 0 {
        return Err(InstallError::Content { part: name(), what: "it is too long" });
    }
    if hash.finalize()[..] != part.sha256 {
        return Err(InstallError::Content { part: name(), what: "its SHA-256 differs" });
    }
    file.sync_all().map_err(disk("flush", path))?;
    forget(&file);
    Ok(())
}

/// Reads the root back, as the kernel will: each block against the tree, the tree against the hash.
fn verify_root(
    payload: &Payload,
    part: &Part,
    path: &Path,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<(), InstallError> {
    let superblock = {
        let file = open(path, false, true).map_err(disk("open", path))?;
        let mut buffer = Buffer::new();
        let head = &mut buffer.block()[..ALIGNMENT];
        file.read_exact_at(head, payload.hash_offset).map_err(disk("read", path))?;
        Superblock::decode(head)?
    };
    let size = verity::BLOCK as u64;
    if superblock.data_blocks.checked_mul(size).is_none_or(|data| data > payload.hash_offset) {
        return Err(VerityError::Field("data block count").into());
    }
    let mut tree = Tree::new(superblock.salt.clone());
    let mut left = superblock.data_blocks;
    verify(
        part,
        path,
        &mut |_, bytes| {
            for block in bytes.chunks_exact(verity::BLOCK) {
                if left > 0 {
                    tree.add(block);
                    left -= 1;
                }
            }
            Ok(())
        },
        go_on,
    )?;
    let root = tree.finish().map(|hash| hash.map(|byte| format!("{byte:02x}")).concat());
    match root {
        Some(root) if root.eq_ignore_ascii_case(&payload.root_hash) => Ok(()),
        _ => Err(InstallError::ReadBack { path: path.to_owned(), what: "its verity root hash" }),
    }
}

/// Reads a part back from the disk, not from memory, and compares its hash.
fn verify(
    part: &Part,
    path: &Path,
    each: &mut dyn FnMut(u64, &[u8]) -> Result<(), InstallError>,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<(), InstallError> {
    let file = open(path, false, true).map_err(disk("open", path))?;
    let mut buffer = Buffer::new();
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < part.size {
        if !go_on(at) {
            return Err(InstallError::Interrupted);
        }
        let length = usize::try_from(part.size - at).map_or(BLOCK, |left| left.min(BLOCK));
        let block = buffer.block();
        let read = read_block(&file, &mut block[..length.next_multiple_of(ALIGNMENT)], at);
        if read.map_err(disk("read back", path))? < length {
            return Err(InstallError::ReadBack { path: path.to_owned(), what: "its length" });
        }
        hash.update(&block[..length]);
        each(at, &block[..length])?;
        at += length as u64;
    }
    if hash.finalize()[..] != part.sha256 {
        return Err(InstallError::ReadBack { path: path.to_owned(), what: "its SHA-256" });
    }
    Ok(())
}

/// Fills `buffer` from `at`, less at the end of a file.
fn read_block(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64)? {
            0 => break,
            // The rest of a file that ends within a sector cannot be read directly.
            read if read % ALIGNMENT != 0 => return Ok(filled + read),
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Opens past the page cache where the file system can. Parts of files end within a sector, which
/// direct writes cannot: those go through the cache, and out of it after the flush.
fn open(path: &Path, write: bool, direct: bool) -> io::Result<File> {
    let device = !path.is_file();
    let flags = if direct { OFlags::DIRECT.bits() as i32 } else { 0 };
    let open = |flags| {
        let mut options = OpenOptions::new();
        options.read(true).write(write).create(write && !device).custom_flags(flags);
        options.open(path)
    };
    match open(flags) {
        Err(error) if direct && error.kind() == io::ErrorKind::InvalidInput => open(0),
        other => other,
    }
}

/// Drops what the page cache holds of a file.
fn forget(file: &File) {
    let all = std::num::NonZeroU64::new(u64::MAX >> 1);
    let _ = rustix::fs::fadvise(file, 0, all, rustix::fs::Advice::DontNeed);
}

fn length(path: &Path) -> io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    File::open(path)?.seek(SeekFrom::End(0))
}

fn part_name(part: &Part) -> String {
    match part.kind {
        PartKind::Root => "root".to_owned(),
        PartKind::Kernel => "kernel".to_owned(),
    }
}

fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::Disk { what, path, source }
}

/// A block in memory, aligned for direct access.
struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new() -> Self {
        let memory = vec![0; BLOCK + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self { memory, start }
    }

    fn block(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + BLOCK]
    }
}

#[cfg(test)]
mod tests;

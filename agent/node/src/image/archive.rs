//! Image archives on the disk: docker-archive and OCI layout tars, plain or compressed.
//!
//! A plain archive is read by seeking. A compressed one is read from its start for each pass, and
//! unpacked in the order that it has, so that nothing is written but the layers. Must never hold
//! more of it in memory than its list of members and its small documents.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::compression::{Compression, Decompressed};
use super::error::ImageError;
use super::store::Take;
use super::tar::{Entries, EntryKind, TarError};

mod contents;
mod names;

#[cfg(test)]
mod tests;

pub(crate) use contents::{ArchiveImage, images};

/// Members of an archive. An image has one for each layer, and a few more.
const MEMBERS_LIMIT: usize = 10_000;
/// Documents of a compressed archive that are kept, so that it need not be read again for each.
const KEPT_ONE: u64 = 64 * 1024;
const KEPT_ALL: u64 = 512 * 1024;
const LINKS_LIMIT: usize = 8;

/// An archive with the list of its members.
pub(crate) struct Archive {
    path: PathBuf,
    file: File,
    compression: Compression,
    members: BTreeMap<String, Member>,
}

enum Member {
    Stored {
        at: u64,
        size: u64,
        kept: Option<Vec<u8>>,
    },
    /// Older docker-archives have a layer once and links to it.
    Link(String),
}

impl Archive {
    /// Lists the members of the archive.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let open = |operation| {
            move |source| ImageError::Archive { operation, path: path.to_owned(), source }
        };
        let file = File::open(path).map_err(open("open"))?;
        if !file.metadata().map_err(open("open"))?.is_file() {
            let why = "is not a file: an OCI layout folder must be packed into a tar".to_owned();
            return Err(ImageError::Contents { path: path.to_owned(), why });
        }
        let mut start = Vec::new();
        (&file).take(4).read_to_end(&mut start).map_err(open("read"))?;
        let mut archive = Self {
            path: path.to_owned(),
            file,
            compression: Compression::of(&start),
            members: BTreeMap::new(),
        };
        let listed = match archive.compression {
            Compression::None => archive.list_plain(),
            _ => archive.list_compressed(),
        };
        listed.map_err(|source| archive.tar_error(source))?;
        if archive.members.len() >= MEMBERS_LIMIT {
            return Err(archive.wrong(format!("has more than {MEMBERS_LIMIT} members")));
        }
        Ok(archive)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn has(&self, name: &str) -> bool {
        self.resolve(name).is_some()
    }

    /// A small document.
    pub fn document(&self, name: &str, limit: u64) -> Result<Vec<u8>, ImageError> {
        let (name, member) = self.resolve(name).ok_or_else(|| self.lacks(name))?;
        let Member::Stored { at, size, kept } = member else { return Err(self.lacks(name)) };
        if *size > limit {
            return Err(self.wrong(format!("{name} is larger than {limit} bytes")));
        }
        if let Some(bytes) = kept {
            return Ok(bytes.clone());
        }
        let mut bytes = Vec::new();
        let read = |reader: &mut dyn Read, bytes: &mut Vec<u8>| {
            reader.read_to_end(bytes).map(drop).map_err(|source| ImageError::Archive {
                operation: "read",
                path: self.path.clone(),
                source,
            })
        };
        if self.compression == Compression::None {
            read(&mut self.plain_at(*at)?.take(*size), &mut bytes)?;
        } else {
            self.scan(&mut |found, entries| match found == name {
                true => read(entries, &mut bytes),
                false => Ok(()),
            })?;
        }
        if bytes.len() as u64 == *size {
            Ok(bytes)
        } else {
            Err(self.tar_error(TarError::Truncated { offset: at + bytes.len() as u64 }))
        }
    }

    /// Gives the wanted members to `take`, in the order that costs least.
    pub fn visit(&self, wanted: &[(usize, &str)], take: &mut Take<'_>) -> Result<(), ImageError> {
        let mut resolved = Vec::new();
        for (n, name) in wanted {
            match self.resolve(name) {
                Some((name, Member::Stored { at, size, .. })) => {
                    resolved.push((name, *n, *at, *size));
                }
                _ => return Err(self.lacks(name)),
            }
        }
        if self.compression == Compression::None {
            for (_, n, at, size) in resolved {
                take(n, &mut self.plain_at(at)?.take(size))?;
            }
            return Ok(());
        }
        self.scan(&mut |found, entries| match resolved.iter().find(|(name, ..)| *name == found) {
            Some((_, n, ..)) => take(*n, entries),
            None => Ok(()),
        })
    }

    pub fn wrong(&self, why: String) -> ImageError {
        ImageError::Contents { path: self.path.clone(), why }
    }

    fn lacks(&self, name: &str) -> ImageError {
        self.wrong(format!("has no {name}"))
    }

    fn tar_error(&self, source: TarError) -> ImageError {
        ImageError::Tar { path: self.path.clone(), source }
    }

    fn resolve<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a Member)> {
        let mut name = name;
        for _ in 0..LINKS_LIMIT {
            match self.members.get(name)? {
                Member::Link(target) => name = target,
                stored => return Some((name, stored)),
            }
        }
        None
    }

    fn plain_at(&self, at: u64) -> Result<&File, ImageError> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at)).map_err(|source| ImageError::Archive {
            operation: "read",
            path: self.path.clone(),
            source,
        })?;
        Ok(file)
    }

    fn list_plain(&mut self) -> Result<(), TarError> {
        let mut file = &self.file;
        let length = file.metadata().map_err(TarError::Read)?.len();
        let mut at = 0;
        let mut members = BTreeMap::new();
        while members.len() < MEMBERS_LIMIT {
            file.seek(SeekFrom::Start(at)).map_err(TarError::Read)?;
            let mut entries = Entries::new(file);
            let Some(entry) = entries.next()? else { break };
            let (header, size) = entries.position();
            let contents = at + header;
            // Seeking past the end would be silent.
            let next = size.checked_next_multiple_of(512).and_then(|s| contents.checked_add(s));
            at = next.unwrap_or(u64::MAX);
            if contents.saturating_add(size) > length {
                return Err(TarError::Truncated { offset: length });
            }
            add(&mut members, &entry.path, &entry.kind, contents, size, None);
        }
        self.members = members;
        Ok(())
    }

    fn list_compressed(&mut self) -> Result<(), TarError> {
        let mut entries = Entries::new(self.decompressed().map_err(TarError::Read)?);
        let mut members = BTreeMap::new();
        let mut room = KEPT_ALL;
        while members.len() < MEMBERS_LIMIT {
            let Some(entry) = entries.next()? else { break };
            let (at, size) = entries.position();
            let mut kept = None;
            if size <= KEPT_ONE.min(room) && entry.kind == EntryKind::File {
                let mut bytes = Vec::new();
                entries.read_to_end(&mut bytes).map_err(TarError::Read)?;
                // Layers are small now and then; documents are what is asked for again.
                if bytes.first().is_some_and(|b| matches!(b, b'{' | b'[')) {
                    room -= size;
                    kept = Some(bytes);
                }
            }
            add(&mut members, &entry.path, &entry.kind, at, size, kept);
        }
        self.members = members;
        Ok(())
    }

    fn decompressed(&self) -> io::Result<BufReader<Decompressed<&File>>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        Ok(BufReader::with_capacity(32 * 1024, Decompressed::new(file)?))
    }

    fn scan(&self, found: &mut Found<'_>) -> Result<(), ImageError> {
        let reader = self.decompressed().map_err(|e| self.tar_error(TarError::Read(e)))?;
        let mut entries = Entries::new(reader);
        while let Some(entry) = entries.next().map_err(|e| self.tar_error(e))? {
            if entry.kind == EntryKind::File {
                found(&clean(&entry.path), &mut entries)?;
            }
        }
        Ok(())
    }
}

type Found<'a> = dyn FnMut(&str, &mut dyn Read) -> Result<(), ImageError> + 'a;

fn add(
    members: &mut BTreeMap<String, Member>,
    path: &[u8],
    kind: &EntryKind,
    at: u64,
    size: u64,
    kept: Option<Vec<u8>>,
) {
    let name = clean(path);
    let member = match kind {
        EntryKind::File => Member::Stored { at, size, kept },
        EntryKind::HardLink { target } => Member::Link(clean(target)),
        EntryKind::Symlink { target } => {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let target = [folder.as_bytes(), b"/", target].concat();
            Member::Link(clean(&target))
        }
        _ => return,
    };
    members.insert(name, member);
}

/// A member's name without `.`, `..` and empty parts. Names are looked up, never opened.
fn clean(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

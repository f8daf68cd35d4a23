//! Entries of a tar stream, one after another, with bounded memory.
//!
//! tar-core decodes headers and their extensions (GNU long names, PAX, sparse maps) under limits;
//! this feeds it. Must never buffer the contents of a file.

use std::io::{self, Read};

use tar_core::EntryType;
use tar_core::parse::{Limits, ParseError, ParseEvent, ParsedEntry, Parser};

#[cfg(test)]
mod tests;

/// Extended headers of one entry together: a few xattrs of the largest size that Linux takes.
const METADATA_LIMIT: u32 = 256 * 1024;
const PATH_LIMIT: u32 = 4096;
const SPARSE_LIMIT: usize = 4096;
const BLOCK: u64 = 512;

/// What an entry is. Numbers are checked later, where they are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Directory,
    Symlink { target: Vec<u8> },
    HardLink { target: Vec<u8> },
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
}

/// One entry. Its contents follow in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub path: Vec<u8>,
    pub kind: EntryKind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Length of the file, holes included.
    pub size: u64,
    /// Offset and length of each part of a sparse file that has data; empty for a usual file.
    pub sparse: Vec<(u64, u64)>,
}

/// A tar stream that breaks the format or its limits.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream cannot be read.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// It ends before the end-of-archive mark.
    #[error("the archive ends in the middle, after {offset} bytes")]
    Truncated {
        /// Bytes until then.
        offset: u64,
    },
    /// A header is not valid.
    #[error("bad header at byte {offset}")]
    Header {
        /// Where the header begins.
        offset: u64,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// An entry of a kind that cannot be unpacked.
    #[error("{path:?} has the unknown type {kind:?}")]
    Kind {
        /// The entry.
        path: String,
        /// Its type byte.
        kind: char,
    },
}

/// Walks over a tar stream.
pub(crate) struct Entries<R> {
    inner: R,
    parser: Parser,
    header: Vec<u8>,
    /// Contents and padding of the current entry that nobody has read yet.
    contents: u64,
    padding: u64,
    offset: u64,
}

impl<R: Read> Entries<R> {
    pub fn new(inner: R) -> Self {
        let limits = Limits {
            max_metadata_size: METADATA_LIMIT,
            max_path_len: Some(PATH_LIMIT),
            max_sparse_entries: SPARSE_LIMIT,
            ..Limits::default()
        };
        let header = Vec::with_capacity(4 * BLOCK as usize);
        Self { inner, parser: Parser::new(limits), header, contents: 0, padding: 0, offset: 0 }
    }

    /// The next entry, past what is left of the current one; `None` at the end of the archive.
    pub fn next(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip(self.contents + self.padding)?;
        (self.contents, self.padding) = (0, 0);
        self.header.clear();
        let start = self.offset;
        loop {
            let (consumed, found) = match self.parse(start)? {
                Step::More(length) => match self.fill(length)? {
                    true => continue,
                    false => return Ok(None),
                },
                Step::Skip(consumed) => (consumed, None),
                Step::Entry(consumed, stored, entry) => (consumed, Some((stored, entry))),
                Step::End => return Ok(None),
            };
            self.header.drain(..consumed.min(self.header.len()));
            if let Some((stored, entry)) = found {
                self.contents = stored;
                self.padding = stored.next_multiple_of(BLOCK) - stored;
                return Ok(Some(entry));
            }
        }
    }

    /// Byte in the stream at which the current entry's contents begin, and their stored length.
    pub fn position(&self) -> (u64, u64) {
        (self.offset, self.contents)
    }

    /// Reads on to the end of the stream, past the end-of-archive mark.
    pub fn drain(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 4096];
        while self.inner.read(&mut buffer).map_err(TarError::Read)? > 0 {}
        Ok(())
    }

    pub fn into_inner(self) -> R {
        self.inner
    }

    fn parse(&mut self, start: u64) -> Result<Step, TarError> {
        let event = match self.parser.parse(&self.header) {
            // Times before 1970 are written by some tools; they become 1970.
            Err(ParseError::InvalidPaxValue { key: "mtime", .. }) => {
                self.parser.set_ignore_pax_errors(true);
                let again = self.parser.parse(&self.header);
                self.parser.set_ignore_pax_errors(false);
                again
            }
            event => event,
        };
        match event.map_err(|source| TarError::Header { offset: start, source })? {
            ParseEvent::NeedData { min_bytes } => Ok(Step::More(min_bytes)),
            ParseEvent::GlobalExtensions { consumed, .. } => Ok(Step::Skip(consumed)),
            ParseEvent::End { .. } => Ok(Step::End),
            ParseEvent::Entry { consumed, entry } => {
                let size = entry.size;
                let entry = convert(&entry, size, Vec::new())?;
                // Links may carry the length of what they point to, without having contents.
                let stored = if entry.kind == EntryKind::File { size } else { 0 };
                Ok(Step::Entry(consumed, stored, entry))
            }
            ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
                let parts = sparse_map.iter().map(|part| (part.offset, part.length)).collect();
                let stored = entry.size;
                Ok(Step::Entry(consumed, stored, convert(&entry, real_size, parts)?))
            }
        }
    }

    /// Makes the header buffer `length` bytes long, and no longer: contents must not land in it.
    /// False where the stream ends between entries: some writers leave the end-of-archive mark
    /// out, and that nothing is missing is for digests to show.
    fn fill(&mut self, length: usize) -> Result<bool, TarError> {
        let have = self.header.len();
        let missing = length.saturating_sub(have) as u64;
        let got = self.inner.by_ref().take(missing).read_to_end(&mut self.header);
        let got = got.map_err(TarError::Read)? as u64;
        self.offset += got;
        if got == 0
            && self.header.len() % BLOCK as usize == 0
            && self.header.iter().all(|&b| b == 0)
        {
            return Ok(false);
        }
        if got < missing || missing == 0 {
            return Err(TarError::Truncated { offset: self.offset });
        }
        Ok(true)
    }

    fn skip(&mut self, length: u64) -> Result<(), TarError> {
        let mut left = length;
        let mut buffer = [0; 4096];
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match self.inner.read(&mut buffer[..want]) {
                Ok(0) => return Err(TarError::Truncated { offset: self.offset }),
                Ok(n) => {
                    left -= n as u64;
                    self.offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(TarError::Read(e)),
            }
        }
        Ok(())
    }
}

/// Contents of the current entry, as stored.
impl<R: Read> Read for Entries<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = buf.len().min(usize::try_from(self.contents).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let n = self.inner.read(&mut buf[..want])?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends in a file"));
        }
        self.contents -= n as u64;
        self.offset += n as u64;
        Ok(n)
    }
}

enum Step {
    More(usize),
    Skip(usize),
    Entry(usize, u64, Entry),
    End,
}

fn convert(
    parsed: &ParsedEntry<'_>,
    size: u64,
    sparse: Vec<(u64, u64)>,
) -> Result<Entry, TarError> {
    let path = parsed.path.to_vec();
    let target = || parsed.link_target.as_deref().unwrap_or_default().to_vec();
    let (major, minor) = (parsed.dev_major.unwrap_or(0), parsed.dev_minor.unwrap_or(0));
    let kind = match parsed.entry_type {
        // Before POSIX, a directory was a file whose name ends in a slash.
        EntryType::Regular if path.ends_with(b"/") => EntryKind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse => EntryKind::File,
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink { target: target() },
        EntryType::Link => EntryKind::HardLink { target: target() },
        EntryType::Char => EntryKind::CharDevice { major, minor },
        EntryType::Block => EntryKind::BlockDevice { major, minor },
        EntryType::Fifo => EntryKind::Fifo,
        other => {
            return Err(TarError::Kind {
                path: parsed.path_lossy().into_owned(),
                kind: char::from(other.to_byte()),
            });
        }
    };
    Ok(Entry {
        path,
        kind,
        mode: parsed.mode & 0o7777,
        uid: parsed.uid,
        gid: parsed.gid,
        mtime: parsed.mtime,
        xattrs: parsed.xattrs.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect(),
        size,
        sparse,
    })
}

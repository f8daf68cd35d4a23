//! Entries of a tar stream, one after another, with bounded memory.
//!
//! tar-core decodes headers and their extensions (GNU long names, PAX, sparse maps) under limits;
//! this feeds it. Must never buffer the contents of a file.

use std::io::{self, Read};

use tar_core::EntryType;
use tar_core::parse::{Limits, ParseError, ParseEvent, ParsedEntry, Parser};

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

#[cfg(test)]
mod tests {
    use tar_core::SparseEntry;

    use super::super::testing::Tarball;
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
        let mut entries = Entries::new(bytes);
        let mut out = Vec::new();
        while let Some(entry) = entries.next()? {
            let mut contents = Vec::new();
            entries.read_to_end(&mut contents).map_err(TarError::Read)?;
            out.push((entry, contents));
        }
        Ok(out)
    }

    #[test]
    fn entries_come_with_their_contents() {
        let long = format!("{}/file", "d".repeat(200));
        let tar = Tarball::new().file("a", b"1").file(&long, &[7; 700]).dir("d").finish();
        let found = all(&tar).unwrap();
        assert_eq!(found[0].1, b"1");
        assert_eq!(found[1].0.path, long.as_bytes());
        assert_eq!(found[1].1, [7; 700]);
        assert_eq!(found[2].0.kind, EntryKind::Directory);
    }

    #[test]
    fn contents_that_nobody_reads_are_passed_over() {
        let tar = Tarball::new().file("a", &[1; 5000]).file("b", b"2").finish();
        let mut entries = Entries::new(&tar[..]);
        entries.next().unwrap();
        assert_eq!(entries.position(), (512, 5000));
        entries.read_exact(&mut [0; 100]).unwrap();
        assert_eq!(entries.next().unwrap().unwrap().path, b"b");
        assert!(entries.next().unwrap().is_none());
    }

    #[test]
    fn pax_records_and_gnu_long_names_apply() {
        let tar = Tarball::new()
            .entry("short", EntryType::Regular, b"", |e| {
                e.add_pax("path", "über/long").add_pax("SCHILY.xattr.user.x", b"\0\xff")
            })
            .finish();
        let found = all(&tar).unwrap();
        assert_eq!(found[0].0.path, "über/long".as_bytes());
        assert_eq!(found[0].0.xattrs, [(b"user.x".to_vec(), b"\0\xff".to_vec())]);

        let mut gnu = tar_core::EntryBuilder::new_gnu();
        gnu.path("n".repeat(300)).size(0).unwrap().mode(0o4755).unwrap().mtime(5).unwrap();
        gnu.uid(1 << 31).unwrap().gid(0).unwrap();
        let found = all(&Tarball::new().raw(&gnu.finish_bytes()).finish()).unwrap();
        assert_eq!(found[0].0.path.len(), 300);
        assert_eq!((found[0].0.mode, found[0].0.uid), (0o4755, 1 << 31));
    }

    #[test]
    fn time_before_1970_becomes_1970() {
        let tar = Tarball::new()
            .entry("old", EntryType::Regular, b"", |e| {
                e.mtime(0).unwrap();
                e.add_pax("mtime", "-62135596800")
            })
            .finish();
        assert_eq!(all(&tar).unwrap()[0].0.mtime, 0);
    }

    #[test]
    fn sparse_files_keep_their_map() {
        let mut builder = tar_core::EntryBuilder::new_gnu();
        let map = [SparseEntry { offset: 4096, length: 3 }];
        builder.path("s").entry_type(EntryType::GnuSparse).sparse(&map, 8192).size(3).unwrap();
        builder.mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(0).unwrap();
        let tar = Tarball::new().raw(&builder.finish_bytes()).raw(b"abc").finish();
        let found = all(&tar).unwrap();
        assert_eq!((found[0].0.size, found[0].1.as_slice()), (8192, &b"abc"[..]));
        assert_eq!(found[0].0.sparse, [(4096, 3)]);
    }

    #[test]
    fn global_headers_are_passed_over() {
        let tar = Tarball::new()
            .entry("g", EntryType::XGlobalHeader, b"19 comment=whatever\n", |e| e)
            .file("a", b"1")
            .finish();
        assert_eq!(all(&tar).unwrap().len(), 1);
    }

    #[test]
    fn truncation_inside_an_entry_is_an_error() {
        let whole = Tarball::new().file("a", &[1; 600]).file("b", b"2").finish();
        let between_entries = [0, 512 + 1024, whole.len() - 1024];
        for cut in 0..whole.len() - 1024 {
            assert_eq!(
                all(&whole[..cut]).is_err(),
                !between_entries.contains(&cut),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn end_of_archive_mark_may_be_missing() {
        let whole = Tarball::new().file("a", b"1").finish();
        for cut in [512, 1024] {
            assert_eq!(all(&whole[..whole.len() - cut]).unwrap().len(), 1);
        }
    }

    #[test]
    fn garbage_is_an_error_with_its_place() {
        let tar = Tarball::new().file("a", b"1").raw(&[b'x'; 512]).finish();
        assert!(matches!(all(&tar), Err(TarError::Header { offset: 1024, .. })));
    }

    #[test]
    fn huge_extension_is_refused_before_it_is_read() {
        let mut header = tar_core::HeaderBuilder::new_gnu();
        header.path("././@LongLink").unwrap().entry_type(EntryType::GnuLongName);
        header.mode(0).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(0).unwrap();
        header.size(1 << 40).unwrap();
        let header = header.finish();
        let tar = Tarball::new().raw(header.as_bytes()).finish();
        assert!(matches!(all(&tar), Err(TarError::Header { offset: 0, .. })));
    }

    #[test]
    fn unknown_types_are_named() {
        let tar = Tarball::new().entry("v", EntryType::Other(b'V'), b"", |e| e).finish();
        assert!(matches!(all(&tar), Err(TarError::Kind { kind: 'V', .. })));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..3000)) {
            let _ = all(&bytes);
        }

        #[test]
        fn no_damage_panics(at in 0usize..2048, value in 0u8..) {
            let mut tar = Tarball::new().file("a", b"x").link("l", "a").dir("d").finish();
            tar[at] = value;
            let _ = all(&tar);
        }
    }
}

//! An image as a sequence of pieces: raw with its holes, or unpacked from xz or zstd, from a file
//! or from a pipe. Must never take a cut or damaged image for a whole one.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::extents::BLOCK;
use super::piece::Piece;
use super::table::{self, HEAD, SECTOR, Table};

/// An open image, at its start.
pub struct Source {
    reader: Reader,
    position: u64,
    /// What its partition table says.
    pub table: Table,
    /// Its size in bytes once unpacked, where that is known before it was read.
    pub size: Option<u64>,
}

enum Reader {
    /// A raw image in a file, whose holes need no reading.
    Sparse(File),
    Stream(Box<dyn Read + Send>),
}

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub enum Run {
    /// Bytes, which are in the piece.
    Bytes(Range<u64>),
    /// A hole: nothing but zeros.
    Zeros(Range<u64>),
}

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened or read.
    #[error("cannot read the image")]
    Read(#[source] io::Error),
    /// It is packed in a way that is not known here.
    #[error("the image is packed with {0}; unpack it, or take one that is raw, xz or zstd")]
    Format(&'static str),
    /// Its start is not that of a disk image.
    #[error("the image is of no use")]
    Table(#[source] table::Error),
    /// It ends too early.
    #[error("the image was cut: it ends after {has} bytes{}", needs.map_or(String::new(), |n| format!(" of {n}")))]
    Cut {
        /// What is there, unpacked.
        has: u64,
        /// What should be.
        needs: Option<u64>,
    },
    /// It cannot be unpacked.
    #[error("the image is damaged after {0} bytes")]
    Damaged(u64, #[source] io::Error),
    /// Its size is not that of a disk.
    #[error("the image has {0} bytes, which are no whole sectors: it was cut or added to")]
    Sectors(u64),
}

impl Source {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::Read)?;
        let found = file.metadata().map_err(Error::Read)?;
        if !found.is_file() {
            return Self::stream(Box::new(file));
        }
        let mut magic = [0; 6];
        let length = read_at(&file, 0, &mut magic).map_err(Error::Read)?;
        if packing(&magic[..length]).is_some() {
            return Self::stream(Box::new(file));
        }
        let mut head = vec![0; HEAD];
        let length = read_at(&file, 0, &mut head).map_err(Error::Read)?;
        let table = table::parse(&head[..length]).map_err(Error::Table)?;
        let source = Self { reader: Reader::Sparse(file), position: 0, table, size: None };
        source.with_size(Some(found.len()))
    }

    /// Takes whatever comes out of `reader`, packed or not.
    pub fn stream(mut reader: Box<dyn Read + Send>) -> Result<Self, Error> {
        let mut magic = vec![0; 64];
        let length = fill(&mut reader, &mut magic).map_err(Error::Read)?;
        magic.truncate(length);
        let packing = packing(&magic);
        let mut size = None;
        if packing == Some("zstd") {
            size = zstd::zstd_safe::get_frame_content_size(&magic).ok().flatten();
        }
        let packed = Cursor::new(magic).chain(reader);
        let mut reader: Box<dyn Read + Send> = match packing {
            None => Box::new(packed),
            Some("xz") => Box::new(liblzma::read::XzDecoder::new_multi_decoder(packed)),
            Some("zstd") => {
                let mut decoder = zstd::Decoder::new(packed).map_err(Error::Read)?;
                // As much memory as the packer was allowed to ask for with --long.
                decoder.window_log_max(31).map_err(Error::Read)?;
                Box::new(decoder)
            }
            Some(other) => return Err(Error::Format(other)),
        };
        let mut head = vec![0; HEAD];
        let length = fill(&mut reader, &mut head).map_err(|error| failed(0, None, error))?;
        head.truncate(length);
        let table = table::parse(&head).map_err(Error::Table)?;
        let reader = Reader::Stream(Box::new(Cursor::new(head).chain(reader)));
        // Several packed parts in a row are larger than what the first one says.
        let size = size.filter(|size| *size >= table.size);
        Self { reader, position: 0, table, size: None }.with_size(size)
    }

    fn with_size(mut self, size: Option<u64>) -> Result<Self, Error> {
        if let Some(size) = size {
            self.check_end(size)?;
        }
        self.size = size;
        Ok(self)
    }

    fn check_end(&self, size: u64) -> Result<(), Error> {
        let needs = self.table.size;
        match size {
            size if size < needs => Err(Error::Cut { has: size, needs: Some(needs) }),
            size if !size.is_multiple_of(SECTOR) => Err(Error::Sectors(size)),
            _ => Ok(()),
        }
    }

    /// What the image has at least, and exactly where that is known.
    pub fn least_size(&self) -> u64 {
        self.size.unwrap_or(self.table.size)
    }

    /// How much came so far; at the end, the size.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads on into `piece`, which must have its full length; `None` at the end.
    pub fn next(&mut self, piece: &mut Piece) -> Result<Option<Run>, Error> {
        let at = self.position;
        let run = match &mut self.reader {
            Reader::Sparse(file) => {
                let size = file.metadata().map_err(Error::Read)?.len();
                next_sparse(file, at, size, piece).map_err(Error::Read)?
            }
            Reader::Stream(reader) => {
                let needs = self.size.or(Some(self.table.size)).filter(|size| *size > at);
                let length = fill(reader, piece).map_err(|error| failed(at, needs, error))?;
                Run::Bytes(at..at + length as u64)
            }
        };
        let (Run::Bytes(range) | Run::Zeros(range)) = &run;
        if range.is_empty() {
            self.check_end(at)?;
            return Ok(None);
        }
        self.position = range.end;
        if let Run::Bytes(range) = &run {
            piece.set_length((range.end - range.start) as usize);
        }
        Ok(Some(run))
    }
}

/// The next hole or the next bytes of a file of `size` bytes.
fn next_sparse(file: &File, at: u64, size: u64, piece: &mut Piece) -> io::Result<Run> {
    let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        // A border within a block belongs to the bytes.
        Ok(data) => (data - data % BLOCK).max(at),
        Err(Errno::NXIO) => size.max(at),
        // The file system knows no holes.
        Err(Errno::INVAL) => at,
        Err(error) => return Err(error.into()),
    };
    if data > at {
        return Ok(Run::Zeros(at..data));
    }
    let hole = rustix::fs::seek(file, SeekFrom::Hole(at)).unwrap_or(size);
    let end = hole.next_multiple_of(BLOCK).min(size).min(at + piece.len() as u64).max(at);
    let wanted = (end - at) as usize;
    let length = read_at(file, at, &mut piece[..wanted])?;
    Ok(Run::Bytes(at..at + length as u64))
}

/// What the first bytes say of the packing; `None` for a raw image.
fn packing(magic: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 7] = [
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        (&[0x1f, 0x8b], "gzip"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (&[b'7', b'z', 0xbc, 0xaf], "7-Zip"),
        (b"QFI\xfb", "QEMU's qcow2"),
    ];
    known.into_iter().find(|(start, _)| magic.starts_with(start)).map(|(_, name)| name)
}

fn failed(has: u64, needs: Option<u64>, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Cut { has, needs },
        io::ErrorKind::InvalidData | io::ErrorKind::Other => Error::Damaged(has, error),
        _ => Error::Read(error),
    }
}

/// Fills `bytes` as far as the stream goes.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match reader.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn read_at(file: &File, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;

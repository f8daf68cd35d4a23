//! Which chunks of a release the node has already: it cuts what its running slot holds as the
//! publisher cut the parts, and looks for the same chunks. No record is needed, so none can be wrong.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use holm_payload::chunk::{digest_of, split};
use holm_payload::{Digest, Index};

/// Something that may hold chunks: the running slot's partition, its kernel, a file of a stick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// A file or a block device.
    pub path: PathBuf,
    /// How much of it is of interest, in bytes; a partition is larger than what it holds.
    pub length: Option<u64>,
}

/// Chunks that were found.
#[derive(Debug, Default)]
pub struct Seeds {
    files: Vec<File>,
    /// By the chunk's number: file, and where in it.
    found: HashMap<u32, (usize, u64)>,
}

impl Seeds {
    /// Looks through `seeds` for the chunks of `index`. A seed that cannot be read is no seed, and
    /// is returned by name: the update costs more then, and nothing else.
    pub fn find(index: &Index, seeds: &[Seed]) -> (Self, Vec<(PathBuf, io::Error)>) {
        let numbers: HashMap<Digest, u32> =
            (0..).zip(&index.chunks).map(|(number, chunk)| (chunk.digest, number)).collect();
        let (mut all, mut failed) = (Self::default(), Vec::new());
        for seed in seeds {
            match all.look_through(&numbers, index, seed) {
                Ok(()) => {}
                Err(error) => failed.push((seed.path.clone(), error)),
            }
        }
        (all, failed)
    }

    /// Whether the chunk is there, as far as the search saw.
    pub fn has(&self, number: u32) -> bool {
        self.found.contains_key(&number)
    }

    /// Reads the chunk into `bytes`, whose length is the chunk's. The caller verifies it: a
    /// partition may change under us, or not read the same twice.
    pub fn read(&self, number: u32, bytes: &mut [u8]) -> Option<io::Result<()>> {
        let (file, offset) = self.found.get(&number)?;
        Some(self.files.get(*file)?.read_exact_at(bytes, *offset))
    }

    fn look_through(
        &mut self,
        numbers: &HashMap<Digest, u32>,
        index: &Index,
        seed: &Seed,
    ) -> io::Result<()> {
        let file = open(&seed.path)?;
        let place = self.files.len();
        let reader = (&file).take(seed.length.unwrap_or(u64::MAX));
        let found = &mut self.found;
        split(reader, index.sizes, |offset, chunk| {
            if let Some(number) = numbers.get(&digest_of(chunk)) {
                found.entry(*number).or_insert((place, offset));
            }
            Ok(())
        })?;
        self.files.push(file);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok(file)
}

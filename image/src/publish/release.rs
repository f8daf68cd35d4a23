//! Adds a release to a repository, or offers one that is there in another channel.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use holm_payload::chunk::Hash;
use holm_payload::{Packer, Part, Release, Rollout, Schedule, Sizes};
use holm_tuf::metadata::{Target, Targets};
use holm_tuf::{file_name, hex};
use jiff::Timestamp;
use semver::Version;
use serde_json::{Map, Value};

use super::repository::Repository;
use super::sign::{Days, Wanted, apply};
use super::sources::Sources;
use super::{Error, UpdateKeys, file};
use crate::digest::Digest;

/// zstd's level for chunks: they are packed once and unpacked by every node.
const LEVEL: i32 = 19;

/// Notes are for a screen, not a book.
const MOST_NOTES: usize = 16 << 10;

/// How a release is offered.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The channel.
    pub channel: String,
    /// When its waves begin.
    pub start: Timestamp,
    /// The waves; by default those of [`holm_payload::waves`].
    pub waves: Option<Schedule>,
    /// Whether it cannot wait.
    pub urgent: bool,
    /// What is new; none keeps what is there.
    pub notes: Option<String>,
    /// The version that nodes need before.
    pub minimum_version: Option<Version>,
    /// The version, where it is not the image's own.
    pub version: Option<Version>,
}

/// What [`publish`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The release is new.
    Added {
        /// Bytes of all parts.
        content: u64,
        /// Bytes of the data: what a full download costs at most.
        data: u64,
    },
    /// It was there; its offer changed.
    Offered,
    /// All of it was there.
    Unchanged,
}

/// Publishes what `sources` bring. Twice is harmless.
pub fn publish(
    repository: &Repository,
    keys: &UpdateKeys,
    sources: &Sources,
    offer: &Offer,
    now: Timestamp,
    days: Days,
) -> Result<Outcome, Error> {
    let waves = waves(offer)?;
    let version = offer.version.clone().unwrap_or_else(|| sources.version.clone());
    let board = &sources.board;
    for name in [board, &offer.channel] {
        if name.is_empty() || name.contains('/') || !file_name::is_safe_path(name) {
            return Err(Error::Name(name.clone()));
        }
    }
    if offer.notes.as_ref().is_some_and(|notes| notes.len() > MOST_NOTES) {
        return Err(Error::Notes(MOST_NOTES));
    }
    let path = format!("{board}/{version}/index");
    let mut targets = repository.state()?.targets;
    let (mut release, added) = match existing(&targets, &path) {
        Some(release) => {
            check_same(sources, &release, board, &version)?;
            (release, None)
        }
        None => {
            let (release, added) = add(repository, &mut targets, sources, &version)?;
            (release, Some(added))
        }
    };
    let before = release.clone();
    // A rollout that goes on keeps its start: publishing twice must not set nodes back.
    let start = release.channels.get(&offer.channel).map_or(offer.start, |old| old.start);
    let rollout = Rollout { start, urgent: offer.urgent, waves };
    release.channels.insert(offer.channel.clone(), rollout);
    if let Some(notes) = &offer.notes {
        release.notes.clone_from(notes);
    }
    if offer.minimum_version.is_some() {
        release.minimum_version.clone_from(&offer.minimum_version);
    }
    if added.is_none() && before == release {
        return Ok(Outcome::Unchanged);
    }
    if let Some(target) = targets.targets.get_mut(&path) {
        target.custom = Some(release.to_custom());
    }
    let wanted = Wanted { root: None, targets: Some(targets), resign: false };
    apply(repository, keys, wanted, now, days)?;
    Ok(added.unwrap_or(Outcome::Offered))
}

/// Takes a release out of the repository; its files go after the metadata no longer name them.
pub fn withdraw(
    repository: &Repository,
    keys: &UpdateKeys,
    board: &str,
    version: &Version,
    now: Timestamp,
    days: Days,
) -> Result<(), Error> {
    let mut targets = repository.state()?.targets;
    let path = format!("{board}/{version}/index");
    let missing = || Error::NoVersion { board: board.to_owned(), version: version.clone() };
    let release = existing(&targets, &path).ok_or_else(missing)?;
    let gone: Vec<_> = [path, release.data]
        .into_iter()
        .filter_map(|path| targets.targets.remove(&path).map(|target| (path, target)))
        .collect();
    let wanted = Wanted { root: None, targets: Some(targets), resign: false };
    apply(repository, keys, wanted, now, days)?;
    for (path, target) in gone {
        let digest = target.hashes.get("sha256").map(String::as_str);
        let path = repository.targets().join(file_name::target(&path, digest));
        fs::remove_file(&path).map_err(file("remove", &path))?;
    }
    Ok(())
}

fn waves(offer: &Offer) -> Result<Schedule, Error> {
    use holm_payload::waves::{NORMAL, URGENT};
    let usual = if offer.urgent { URGENT.to_vec() } else { NORMAL.to_vec() };
    let waves = offer.waves.clone().unwrap_or(Schedule(usual));
    if waves.is_sane() { Ok(waves) } else { Err(Error::Waves) }
}

fn existing(targets: &Targets, path: &str) -> Option<Release> {
    Release::of_target(path, targets.targets.get(path)?)?.ok()
}

/// A version that is out is that and nothing else.
fn check_same(
    sources: &Sources,
    release: &Release,
    board: &str,
    version: &Version,
) -> Result<(), Error> {
    let mut is_same = sources.root_hash == release.root_hash
        && sources.hash_offset == release.hash_offset
        && sources.parts.len() == release.parts.len();
    for (from, part) in sources.parts.iter().zip(&release.parts) {
        let digest = Digest::of_file(&from.file).map_err(file("read", &from.file))?;
        is_same &= digest.to_string() == part.sha256
            && (from.kind, from.slot, &from.name) == (part.kind, part.slot, &part.name);
    }
    if is_same {
        return Ok(());
    }
    Err(Error::Immutable { board: board.to_owned(), version: version.clone() })
}

fn add(
    repository: &Repository,
    targets: &mut Targets,
    sources: &Sources,
    version: &Version,
) -> Result<(Release, Outcome), Error> {
    let board = &sources.board;
    let (data_path, scratch) = repository.scratch("chunks")?;
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).map_err(file("pack", &data_path))?;
    let data = Hashed { inner: BufWriter::new(scratch), hash: Hash::default(), length: 0 };
    let mut packer = Packer::new(Sizes::PUBLISHED, data, |chunk: &[u8]| compressor.compress(chunk));
    let mut parts = Vec::new();
    for PartFile { kind, slot, name, file: from } in sources.parts.iter().map(PartFile::from) {
        let opened = File::open(from).map_err(file("read", from))?;
        let packed = packer.add(opened).map_err(file("pack", from))?;
        let (size, sha256) = (packed.size, hex::encode(&packed.sha256));
        parts.push(Part { kind, slot, name: name.to_owned(), size, sha256 });
    }
    let (index, data) = packer.finish();
    let (data_length, data_digest) = data.finish().map_err(file("pack", &data_path))?;
    let release = Release {
        board: board.clone(),
        version: version.clone(),
        root_hash: sources.root_hash.clone(),
        hash_offset: sources.hash_offset,
        minimum_version: None,
        notes: String::new(),
        channels: BTreeMap::new(),
        data: format!("{board}/{version}/chunks"),
        parts,
    };
    let name = file_name::target(&release.data, Some(&data_digest));
    repository.add_target(&data_path, &name)?;
    insert(targets, &release.data, data_length, data_digest, None);
    let bytes = index.to_bytes();
    let digest = Digest::of(&bytes).to_string();
    let path = format!("{board}/{version}/index");
    let (index_path, mut scratch) = repository.scratch("index")?;
    let written = scratch.write_all(&bytes).and_then(|()| scratch.sync_all());
    written.map_err(file("write", &index_path))?;
    repository.add_target(&index_path, &file_name::target(&path, Some(&digest)))?;
    insert(targets, &path, bytes.len() as u64, digest, Some(release.to_custom()));
    let content = release.parts.iter().map(|part| part.size).sum();
    Ok((release, Outcome::Added { content, data: data_length }))
}

/// A part with its names borrowed.
struct PartFile<'a> {
    kind: holm_payload::PartKind,
    slot: Option<char>,
    name: &'a str,
    file: &'a Path,
}

impl<'a> From<&'a super::sources::PartFile> for PartFile<'a> {
    fn from(part: &'a super::sources::PartFile) -> Self {
        Self { kind: part.kind, slot: part.slot, name: &part.name, file: &part.file }
    }
}

fn insert(targets: &mut Targets, path: &str, length: u64, digest: String, custom: Option<Value>) {
    let hashes = BTreeMap::from([("sha256".to_owned(), digest)]);
    let target = Target { length, hashes, custom, extra: Map::new() };
    targets.targets.insert(path.to_owned(), target);
}

/// A file that is hashed while it is written.
struct Hashed {
    inner: BufWriter<File>,
    hash: Hash,
    length: u64,
}

impl Hashed {
    fn finish(mut self) -> io::Result<(u64, String)> {
        self.inner.flush()?;
        self.inner.get_ref().sync_all()?;
        Ok((self.length, hex::encode(&self.hash.finish())))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

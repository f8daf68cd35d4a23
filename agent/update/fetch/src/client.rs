//! A client of an update repository, and a download as the installer's source of payloads.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use holm_payload::{Index, IndexError, Release};
use holm_update::payload::{self, Payload, Source};
use holm_update::slot::Slot;
use jiff::Timestamp;

use crate::part::{PartReader, Sources};
use crate::place::{FetchError, Place};
use crate::refresh::{self, RefreshError, TARGETS, Trusted};
use crate::seeds::{Seed, Seeds};
use crate::settings::{Settings, SettingsError, Traffic};
use crate::store::Store;

/// An index of 44 bytes for each chunk; more is no index for a node.
const MOST_INDEX: u64 = 4 << 20;

/// Where servers take reports, below a place.
const REPORT: &str = "report";

/// Why a release cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Something is set wrongly.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No place gave good metadata.
    #[error("no place has metadata to trust")]
    NoPlace(#[source] RefreshError),
    /// A file could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The index is signed, but it is none.
    #[error("the index of version {version} cannot be used")]
    Index {
        /// The version.
        version: String,
        /// Why.
        source: IndexError,
    },
    /// The index is of another release.
    #[error("the index of version {0} does not fit its parts")]
    Parts(String),
}

/// A client.
pub struct Client {
    settings: Settings,
    traffic: Traffic,
    places: Vec<Place>,
    store: Store,
    first_root: Vec<u8>,
}

impl Client {
    /// A client that trusts `first_root`, which came with the system, and keeps what it learns in
    /// `folder`.
    pub fn new(
        settings: Settings,
        first_root: Vec<u8>,
        folder: &Path,
    ) -> Result<Self, SettingsError> {
        let traffic = Traffic::default();
        let places = Place::all(&settings, &traffic)?;
        Ok(Self { settings, traffic, places, store: Store::in_folder(folder), first_root })
    }

    /// What crossed the network so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// New metadata, from the first place that has some to trust. `complain` is told why others
    /// were passed over.
    pub fn refresh(
        &self,
        clock: Timestamp,
        mut complain: impl FnMut(&RefreshError),
    ) -> Result<Trusted, ClientError> {
        let mut first_error = None;
        for place in &self.places {
            match refresh::refresh(place, &self.store, &self.first_root, clock) {
                Ok(trusted) => return Ok(trusted),
                Err(error) => {
                    complain(&error);
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.map_or(SettingsError::NoPlace.into(), ClientError::NoPlace))
    }

    /// Tells the first server that takes it what the node runs, wants, and why it went back: the
    /// JSON of `holm update status`, with the node's name, board and channel. A plain web server
    /// takes no reports, which is no failure of an update.
    pub fn report(&self, report: &serde_json::Value) -> Result<(), ClientError> {
        let body = report.to_string();
        let mut last = FetchError::Missing(REPORT.to_owned());
        for place in &self.places {
            let Place::Web(http) = place else { continue };
            match http.post(REPORT, body.as_bytes()) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    /// Prepares the download of the release whose index is at `path`: gets the index and looks
    /// through `seeds`. Returned beside it are seeds that could not be read.
    pub fn download(
        &self,
        trusted: &Trusted,
        path: &str,
        seeds: &[Seed],
    ) -> Result<(Download<'_>, Vec<(PathBuf, io::Error)>), ClientError> {
        let missing = |what: &str| ClientError::from(FetchError::Missing(what.to_owned()));
        let release = trusted.releases.get(path).ok_or_else(|| missing(path))?.clone();
        let version = || release.version.to_string();
        let bytes = trusted.get(&self.places, path, MOST_INDEX)?;
        let wrong = |source| ClientError::Index { version: version(), source };
        let index = Index::parse(&bytes).map_err(wrong)?;
        let sizes = release.parts.iter().map(|part| part.size);
        let fits = release.parts.len() == index.parts.len()
            && sizes.enumerate().all(|(n, size)| index.part_length(n) == size);
        if !fits {
            return Err(ClientError::Parts(version()));
        }
        let (_, data) = trusted.target(&release.data).ok_or_else(|| missing(&release.data))?;
        debug_assert!(data.starts_with(TARGETS));
        let (seeds, unreadable) = Seeds::find(&index, seeds);
        Ok((Download { client: self, release, index, seeds, data }, unreadable))
    }
}

/// The download of one release. Nothing of its data is fetched before a part is read.
pub struct Download<'a> {
    client: &'a Client,
    release: Release,
    index: Index,
    seeds: Seeds,
    data: String,
}

impl Download<'_> {
    /// The release.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Bytes of a full download for `slot`, packed: what a delta is measured by.
    pub fn full_length(&self, slot: Slot) -> u64 {
        let numbers = self.release.parts_of(letter(slot)).flat_map(|(n, _)| &self.index.parts[n]);
        let mut seen = std::collections::BTreeSet::new();
        let fresh = numbers.filter(|number| seen.insert(**number));
        fresh.filter_map(|n| self.index.chunks.get(*n as usize)).map(|c| u64::from(c.stored)).sum()
    }

    /// Bytes that lack on the node, packed.
    pub fn lacking(&self, slot: Slot) -> u64 {
        let parts = self.release.parts_of(letter(slot)).map(|(n, _)| n);
        let runs = parts.flat_map(|part| {
            holm_payload::plan::runs(&self.index, part, 0, |number| self.seeds.has(number))
        });
        runs.map(|run| run.end - run.begin).sum()
    }

    fn read(&self, part: usize, offset: u64) -> PartReader<'_> {
        let sources = Sources {
            index: &self.index,
            seeds: &self.seeds,
            places: &self.client.places,
            data: &self.data,
            settings: &self.client.settings,
            traffic: &self.client.traffic,
        };
        PartReader::new(sources, part, offset)
    }
}

impl Source for Download<'_> {
    fn payload(&self, slot: Slot) -> io::Result<Payload> {
        let mut parts = Vec::new();
        for (_, part) in self.release.parts_of(letter(slot)) {
            parts.push(payload::Part {
                kind: match part.kind {
                    holm_payload::PartKind::Root => payload::PartKind::Root,
                    holm_payload::PartKind::Kernel => payload::PartKind::Kernel,
                },
                name: part.name.clone(),
                size: part.size,
                sha256: digest(&part.sha256)?,
            });
        }
        // The root comes first, whatever order it was published in.
        parts.sort_by_key(|part| part.kind != payload::PartKind::Root);
        Ok(Payload {
            version: self.release.version.to_string(),
            board: self.release.board.clone(),
            root_hash: self.release.root_hash.clone(),
            hash_offset: self.release.hash_offset,
            parts,
        })
    }

    fn open<'a>(&'a self, part: &payload::Part, offset: u64) -> io::Result<Box<dyn Read + 'a>> {
        let digest = holm_tuf::hex::encode(&part.sha256);
        let place = self.release.parts.iter().position(|one| {
            one.name == part.name
                && one.size == part.size
                && one.sha256.eq_ignore_ascii_case(&digest)
        });
        let place = place.ok_or_else(|| io::Error::other("not a part of this release"))?;
        Ok(Box::new(self.read(place, offset)))
    }
}

fn letter(slot: Slot) -> char {
    match slot {
        Slot::A => 'a',
        Slot::B => 'b',
    }
}

fn digest(hex: &str) -> io::Result<[u8; 32]> {
    let bytes = holm_tuf::hex::decode(hex).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| io::Error::other("not a SHA-256"))
}

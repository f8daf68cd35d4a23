//! Runs the workflow of The Update Framework over a place, and gets small targets.
//! Must never go on with metadata that the workflow refused.

use holm_payload::{Release, ReleaseError, releases};
use holm_tuf::metadata::Target;
use holm_tuf::workflow::hashes_match;
use holm_tuf::{Answer, Limits, Workflow, WorkflowError, file_name};
use jiff::Timestamp;

use std::collections::BTreeMap;

use crate::place::{FetchError, Place};
use crate::store::{Store, StoreError};

/// Where metadata lie below a place.
pub const METADATA: &str = "metadata";
/// Where targets lie below a place.
pub const TARGETS: &str = "targets";

/// The field of the timestamp that says when it was signed. It bounds clocks from below.
pub const SIGNED_AT: &str = "holm-signed-at";

/// Why there is no new metadata.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// A file could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What came is not to be trusted.
    #[error("{place} is not to be trusted")]
    Untrusted {
        /// The place.
        place: String,
        /// Why.
        source: WorkflowError,
    },
    /// What came could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system's own root cannot be used.
    #[error("the root of trust that came with the system cannot be used")]
    Root(#[source] WorkflowError),
}

/// Metadata that were verified, and what they say.
#[derive(Debug)]
pub struct Trusted {
    /// The finished run.
    pub run: Workflow,
    /// Releases by the path of their index.
    pub releases: BTreeMap<String, Release>,
    /// Releases that could not be read.
    pub unreadable: Vec<ReleaseError>,
}

/// Gets new metadata from `place` and keeps them in `store`. `first` is the root that came with the
/// system. `clock` is lifted to the time at which the newest trusted timestamp was signed: a clock
/// that starts in 1970 must not make old metadata good.
pub fn refresh(
    place: &Place,
    store: &Store,
    first: &[u8],
    clock: Timestamp,
) -> Result<Trusted, RefreshError> {
    let stored = store.load(first);
    let signed = stored.timestamp.as_deref().and_then(signed_at);
    let now = signed.map_or(clock, |signed| signed.max(clock));
    let mut run = Workflow::begin(stored, now, Limits::default()).map_err(RefreshError::Root)?;
    while let Some(request) = run.request() {
        let file = format!("{METADATA}/{}", request.name);
        let bytes = match place.get(&file, None) {
            // One byte more than allowed is enough to be refused for its length.
            Ok(body) => Some(body.collect(request.limit)?),
            Err(FetchError::Missing(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let answer = bytes.as_deref().map_or(Answer::Missing, Answer::File);
        let untrusted = |source| RefreshError::Untrusted { place: place.name(), source };
        for change in run.answer(answer).map_err(untrusted)? {
            store.apply(&change)?;
        }
    }
    let (releases, unreadable) = run.targets().map(releases).unwrap_or_default();
    Ok(Trusted { run, releases, unreadable })
}

/// When a stored timestamp was signed, by its own word: it was verified when it was stored.
pub fn signed_at(timestamp: &[u8]) -> Option<Timestamp> {
    let value: serde_json::Value = serde_json::from_slice(timestamp).ok()?;
    value.get("signed")?.get(SIGNED_AT)?.as_str()?.parse().ok()
}

impl Trusted {
    /// The target at `path` and the name of its file below a place.
    pub fn target(&self, path: &str) -> Option<(&Target, String)> {
        let target = self.run.targets()?.targets.get(path)?;
        let is_consistent = self.run.root().consistent_snapshot;
        let digest = target.hashes.get("sha256").or_else(|| target.hashes.values().next());
        let name = file_name::target(path, digest.filter(|_| is_consistent).map(String::as_str));
        let is_safe = file_name::is_safe_path(&name);
        is_safe.then(|| (target, format!("{TARGETS}/{name}")))
    }

    /// A target that fits into memory, from the first place that gives it as signed.
    pub fn get(&self, places: &[Place], path: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let missing = || FetchError::Missing(path.to_owned());
        let (target, file) = self.target(path).ok_or_else(missing)?;
        if target.length > limit {
            return Err(FetchError::TooLong { url: path.to_owned(), limit });
        }
        let mut last = missing();
        for place in places {
            let got = place.get(&file, None).and_then(|body| body.collect(target.length));
            last = match got {
                Ok(bytes)
                    if bytes.len() as u64 == target.length
                        && hashes_match(&target.hashes, &bytes) =>
                {
                    return Ok(bytes);
                }
                Ok(_) => FetchError::Digest(format!("{}/{file}", place.name())),
                Err(error) => error,
            };
        }
        Err(last)
    }
}

//! Update repositories: static files that any web server carries, signed by The Update Framework.
//!
//! | file | duty |
//! |---|---|
//! | `keys` | the owner's keys for updates, and the first root of trust |
//! | `signer` | signs with a key in a file, or by a command that reaches one |
//! | `sources` | what a built image brings to an update |
//! | `repository` | the files: read, changed as a whole, swapped in at once |
//! | `sign` | new metadata from what is wanted |
//! | `release` | adds a release, or offers one in another channel |
//! | `rotate` | new keys in place of old ones |
//!
//! Must never change what nodes may be reading: files are added under new names, and the folder of
//! metadata is exchanged as a whole.

pub mod keys;
pub mod release;
pub mod repository;
pub mod rotate;
mod sign;
pub mod signer;
pub mod sources;

use std::io;
use std::path::{Path, PathBuf};

pub use keys::UpdateKeys;
pub use release::{Offer, Outcome, publish, withdraw};
pub use repository::Repository;
pub use rotate::{revoke, rotate};
pub use sign::{Days, refresh};

/// Why a repository could not be changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what each variant is")]
pub enum Error {
    #[error("cannot {what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not what it should be", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{} holds no update keys; make some with `holm-image keys`", .0.display())]
    NoKeys(PathBuf),
    #[error("{} holds update keys already; nodes that trust them would refuse new ones", .0.display())]
    KeysExist(PathBuf),
    #[error("a threshold of {threshold} needs as many root keys, not {count}")]
    Threshold { threshold: u32, count: u32 },
    #[error("cannot sign with {name}: {why}")]
    Sign { name: String, why: String },
    #[error("no random bytes for a key")]
    NoRandomness,
    #[error("metadata cannot be made")]
    Metadata(#[from] holm_tuf::EnvelopeError),
    #[error("a client would refuse the new metadata, so nothing was changed")]
    Refused(#[from] holm_tuf::WorkflowError),
    #[error("{} is no update repository", .0.display())]
    NoRepository(PathBuf),
    #[error("another command is working on {}", .0.display())]
    Busy(PathBuf),
    #[error("{} was not built for updates: its manifest names no {what}", path.display())]
    NotForUpdates { path: PathBuf, what: &'static str },
    #[error("version {version} for {board} is published with other content: a version is for ever")]
    Immutable { board: String, version: semver::Version },
    #[error("there is no version {version} for {board} in the repository")]
    NoVersion { board: String, version: semver::Version },
    #[error("{0:?} cannot be used in the name of a file")]
    Name(String),
    #[error("release notes are longer than {0} bytes")]
    Notes(usize),
    #[error("the waves do not rise to 100%, as 3600:1,86400:15,518400:100 do")]
    Waves,
    #[error("no key {0}; `holm-image repository show` lists them")]
    NoSuchKey(String),
    #[error("{role} would be left with {left} of the {threshold} keys that have to sign")]
    TooFewKeys { role: String, left: usize, threshold: u32 },
}

pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

#[cfg(test)]
mod tests;

//! OCI registries over HTTP(S): where to ask, how to be let in, and transfers that go on after an
//! interruption.
//!
//! Must never hold a blob in memory, send a password to another host, or believe a length.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_config::Registry;

mod blob;
mod cancel;
mod challenge;
mod endpoint;
mod session;
mod tls;
mod transfer;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub(crate) use blob::Blob;
pub use cancel::Cancel;
pub(crate) use session::Session;

/// How to reach registries.
#[derive(Debug, Clone)]
pub struct Registries {
    /// `[registries]` of the node document, by host.
    pub hosts: BTreeMap<String, Registry>,
    /// Folder at which a relative `ca` starts: the document's.
    pub folder: PathBuf,
    /// PEM file of the certification authorities that every registry is checked against.
    pub roots: PathBuf,
    /// `[images] pull-timeout`: a transfer without progress for this long has failed.
    pub timeout: Option<Duration>,
}

impl Default for Registries {
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
            folder: PathBuf::from("/boot"),
            roots: PathBuf::from("/etc/ssl/certs/ca-certificates.crt"),
            timeout: None,
        }
    }
}

impl Registries {
    /// What the node document says; `folder` is where it came from.
    pub fn new(config: &holm_config::NodeConfig, folder: &Path) -> Self {
        Self {
            hosts: config.registries.clone(),
            folder: folder.to_owned(),
            timeout: Some(config.images.pull_timeout),
            ..Self::default()
        }
    }
}

/// A registry that did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No answer: no network, no such host, a refused or broken connection, a bad certificate.
    #[error("get {url}")]
    Transport {
        /// What was asked for.
        url: String,
        /// What went wrong.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The answer is an error.
    #[error("get {url}: status {status}{message}")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// What the registry says about it, after `: `, or nothing.
        message: String,
        /// When to ask again, where the registry says so.
        retry_after: Option<Duration>,
    },
    /// The registry wants a kind of authentication that is not known here, or an unsafe one.
    #[error("authenticate at {url}: {why}")]
    Challenge {
        /// What was asked for.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The transfer broke off.
    #[error("read {url}")]
    Body {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The transfer is too slow to ever end.
    #[error("read {url}: fewer than {bytes} bytes came in {seconds} s")]
    Stalled {
        /// What was asked for.
        url: String,
        /// What would have been enough.
        bytes: u64,
        /// Within this time.
        seconds: u64,
    },
    /// The answer's length is not that of what was asked for, or above the limit.
    #[error("get {url}: {actual} bytes are announced or sent, at most {expected} are right")]
    Length {
        /// What was asked for.
        url: String,
        /// Right length, or the limit.
        expected: u64,
        /// What the registry says or sends.
        actual: u64,
    },
    /// Contents are not what their digest says.
    #[error("get {url}: its digest is {actual}")]
    Digest {
        /// What was asked for.
        url: String,
        /// Digest of what came.
        actual: String,
    },
    /// Certificates cannot be read.
    #[error("read certificates in {path:?}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The caller has cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl RegistryError {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { source, .. } => match &**source {
                ureq::Error::BadUri(_) | ureq::Error::Http(_) => false,
                ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => false,
                // A certificate that is refused, or a server that does not speak TLS.
                ureq::Error::Rustls(_) | ureq::Error::Tls(_) => false,
                ureq::Error::Io(e) => e.kind() != io::ErrorKind::InvalidData,
                _ => true,
            },
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Body { .. } | Self::Stalled { .. } => true,
            _ => false,
        }
    }

    /// Whether nobody answered.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Transport { .. } | Self::Body { .. } | Self::Stalled { .. })
            || matches!(self, Self::Status { status: 502..=504, .. })
    }
}

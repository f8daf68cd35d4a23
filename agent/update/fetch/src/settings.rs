//! What a person may set about where updates come from and how fast, and what it has cost so far.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Settings of a client.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Places of the same repository, the first preferred: `https://…`, `http://…`, or a folder.
    pub places: Vec<String>,
    /// HTTP proxy, as `http://proxy:3128`.
    pub proxy: Option<String>,
    /// Files of certificates in PEM that servers are checked by.
    pub authorities: Vec<PathBuf>,
    /// Bytes in a second that the content may take; none is no limit.
    pub rate_limit: Option<u64>,
    /// How long a server may be silent.
    pub silence: Duration,
    /// Bytes in a second that a server has to send at least, on average over [`Self::silence`].
    pub least_rate: u64,
    /// Failures in a row, without a chunk between them, that end an attempt.
    pub failures: u32,
    /// The pause after the first failure; it doubles with each.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            proxy: None,
            authorities: Vec::new(),
            rate_limit: None,
            silence: Duration::from_secs(30),
            least_rate: 256,
            failures: 8,
            pause: Duration::from_millis(500),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No place at all.
    #[error("no update server is set")]
    NoPlace,
    /// Neither an HTTP URL nor an absolute folder.
    #[error("{0:?} is no place for updates: set https://…, http://… or an absolute folder")]
    Place(String),
    /// The proxy.
    #[error("{0:?} is no proxy: set http://host:port")]
    Proxy(String),
    /// Certificates.
    #[error("cannot use the certificates in {}: {why}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Counts what crosses the network, for reports and limits. Clones share their numbers.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<[AtomicU64; 3]>);

impl Traffic {
    /// Bytes of content that were received, whether of use or not.
    pub fn received(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// Requests that were made.
    pub fn requests(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    /// Bytes of parts that the node had already.
    pub fn reused(&self) -> u64 {
        self.0[2].load(Ordering::Relaxed)
    }

    pub(crate) fn add_received(&self, bytes: u64) {
        self.0[0].fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_request(&self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_reused(&self, bytes: u64) {
        self.0[2].fetch_add(bytes, Ordering::Relaxed);
    }
}

//! `[pods]`, `[images]` and `[registries]`: what the agent runs, and where it comes from.

use std::fmt;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};

/// `[pods]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pods {
    /// Files or folders of Pod manifests; a relative path starts at the document's folder.
    pub manifests: Vec<String>,
    /// The node's range of pod addresses; no host bits are set.
    pub cidr: Ipv4Net,
    /// The node's range of IPv6 pod addresses. Unset: pods have IPv4 only.
    pub cidr6: Option<Ipv6Net>,
    /// Size in bytes at which a container's log is rotated.
    pub log_max_size: u64,
    /// Number of log files that are kept for each container, the current one included.
    pub log_files: u32,
}

impl Default for Pods {
    fn default() -> Self {
        Self {
            manifests: vec!["manifests".into()],
            cidr: Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 42, 0, 0), 24),
            cidr6: None,
            log_max_size: 10 << 20,
            log_files: 5,
        }
    }
}

/// `[images]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Files or folders of image archives that are imported at start; absolute, or relative to
    /// the document's folder.
    pub preload: Vec<String>,
    /// Percent of the data file system in use above which unused images are collected.
    pub gc_high_percent: u8,
    /// Percent of the data file system in use at which collection stops.
    pub gc_low_percent: u8,
    /// An image that was in use within this time is never collected.
    pub gc_min_age: Duration,
    /// A pull that makes no progress for this long has failed.
    pub pull_timeout: Duration,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            preload: vec!["/data/preload".into()],
            gc_high_percent: 85,
            gc_low_percent: 80,
            gc_min_age: Duration::from_secs(120),
            pull_timeout: Duration::from_secs(60),
        }
    }
}

/// `[registries."<host[:port]>"]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// Base URLs (`https://mirror.example` or `http://…`) that are tried in order before the
    /// registry itself.
    pub mirrors: Vec<String>,
    /// File of PEM certificates that are trusted for this registry and its mirrors beside the
    /// built-in ones; a relative path starts at the document's folder.
    pub ca: Option<String>,
    /// User name; set exactly when `password` is.
    pub username: Option<String>,
    /// Password or token.
    pub password: Option<Secret>,
    /// Accept plain HTTP and certificates that nobody vouches for.
    pub insecure: bool,
}

/// A text that must not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

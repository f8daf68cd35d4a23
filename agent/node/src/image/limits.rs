//! How much an image may cost the node.

use std::time::Duration;

/// Bounds that hold whatever an archive or a registry claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Contents of one layer, unpacked, in bytes.
    pub unpacked_bytes: u64,
    /// A compressed layer, in bytes.
    pub blob_bytes: u64,
    /// Entries of one layer: each may take an inode.
    pub entries: u64,
    /// Layers of one image. overlayfs takes 500, the longest Dockerfiles make 127.
    pub layers: usize,
    /// A manifest, an index or a configuration, in bytes.
    pub document_bytes: u64,
    /// Kept free on the disk, so that logs and containers go on when an image does not fit.
    pub reserve_bytes: u64,
    /// A connection that takes longer to set up, or to answer, is given up.
    pub connect_timeout: Duration,
    /// A transfer that makes no progress for this long is given up.
    pub stall_timeout: Duration,
    /// Slower than this for the whole of `stall_timeout` is no progress.
    pub slowest_bytes_per_second: u64,
    /// First wait before a failed request is made again; doubles until `retry_longest`.
    pub retry_first: Duration,
    /// Longest wait between two attempts.
    pub retry_longest: Duration,
    /// Attempts without any progress until a transfer has failed.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unpacked_bytes: 16 << 30,
            blob_bytes: 16 << 30,
            entries: 1_000_000,
            layers: 127,
            document_bytes: 4 << 20,
            reserve_bytes: 32 << 20,
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            slowest_bytes_per_second: 64,
            retry_first: Duration::from_millis(500),
            retry_longest: Duration::from_secs(20),
            attempts: 6,
        }
    }
}

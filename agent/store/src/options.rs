//! What the store is told when it is opened: bounds, and which keys need not survive a crash.

use std::time::Duration;

/// How a store behaves. The defaults suit a node with 128 MiB of memory and a slow flash disk.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most bytes the database file may take. Past nine tenths of it only deletions are taken.
    pub max_bytes: u64,
    /// Most changes whose history is kept for watches and for lists at a revision.
    pub max_history: usize,
    /// Most bytes of superseded values that are kept for the same.
    pub max_history_bytes: u64,
    /// Memory for values that were read or written lately.
    pub cache_bytes: usize,
    /// Revisions that are reserved with one write; as many are skipped after a crash.
    pub revision_block: u64,
    /// Keys that stay off the durable log.
    pub volatile: VolatilePolicy,
}

/// Which keys stay off the durable log, because they change often and their loss does no harm.
#[derive(Debug, Clone, Default)]
pub struct VolatilePolicy {
    /// Keys that begin with one of these are volatile.
    pub prefixes: Vec<Vec<u8>>,
    /// How often they are written to the disk at most. Zero: only when the store is closed.
    pub checkpoint_every: Duration,
}

impl VolatilePolicy {
    /// Whether `key` stays off the durable log.
    #[must_use]
    pub fn covers(&self, key: &[u8]) -> bool {
        self.prefixes.iter().any(|prefix| key.starts_with(prefix))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            max_history: 20_000,
            max_history_bytes: 16 << 20,
            cache_bytes: 4 << 20,
            revision_block: 10_000,
            volatile: VolatilePolicy::default(),
        }
    }
}

//! What every engine offers: etcd's semantics, without its network. Only the interface.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::event::Event;
use crate::key_range::KeyRange;

/// Number of a change of the store. Grows by one with each transaction that changes something, and
/// is never used twice, whatever crashes.
pub type Revision = u64;

/// A key. Shared, because the index, events and answers all hold it.
pub type Key = Arc<[u8]>;

/// Number of a lease.
pub type LeaseId = u64;

/// An answer that may have to wait for the disk.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A key with its value, at some revision.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Bytes,
    /// Revision of its latest change.
    pub mod_revision: Revision,
    /// Revision that created it.
    pub create_revision: Revision,
    /// Changes since it was created; 1 right after that.
    pub version: u64,
    /// Lease that it ends with.
    pub lease: Option<LeaseId>,
}

/// A transaction: its writes happen together, or none does because a condition does not hold.
#[derive(Debug, Clone, Default)]
pub struct Txn {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// At most [`MAX_WRITES`], each of another key.
    pub writes: Vec<Write>,
}

/// Most writes in one transaction, as in etcd.
pub const MAX_WRITES: usize = 128;
/// Longest key in bytes.
pub const MAX_KEY_BYTES: usize = 2048;
/// Longest value in bytes: a request body's limit, and room for what a server adds.
pub const MAX_VALUE_BYTES: usize = 4 << 20;

/// That a key's latest change has this revision.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The key.
    pub key: Key,
    /// Revision of its latest change; 0 when it must not exist.
    pub mod_revision: Revision,
}

/// One write.
#[derive(Debug, Clone)]
pub enum Write {
    /// Creates or replaces.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Bytes,
        /// Lease that it ends with from now on.
        lease: Option<LeaseId>,
    },
    /// Deletes; no change if there is nothing.
    Delete {
        /// The key.
        key: Key,
    },
}

impl Txn {
    /// Writes `value` if the key does not exist.
    #[must_use]
    pub fn create(key: Key, value: Bytes) -> Self {
        Self::update(key, value, 0)
    }

    /// Writes `value` if the key's latest change has revision `expected`.
    #[must_use]
    pub fn update(key: Key, value: Bytes, expected: Revision) -> Self {
        Self {
            conditions: vec![Condition { key: key.clone(), mod_revision: expected }],
            writes: vec![Write::Put { key, value, lease: None }],
        }
    }

    /// Writes `value` whatever is there.
    #[must_use]
    pub fn put(key: Key, value: Bytes) -> Self {
        Self { conditions: Vec::new(), writes: vec![Write::Put { key, value, lease: None }] }
    }

    /// Deletes the key if its latest change has revision `expected`.
    #[must_use]
    pub fn delete(key: Key, expected: Revision) -> Self {
        Self {
            conditions: vec![Condition { key: key.clone(), mod_revision: expected }],
            writes: vec![Write::Delete { key }],
        }
    }

    /// The same, with every key that it writes ending with `lease`.
    #[must_use]
    pub fn with_lease(mut self, id: LeaseId) -> Self {
        for write in &mut self.writes {
            if let Write::Put { lease, .. } = write {
                *lease = Some(id);
            }
        }
        self
    }
}

impl Write {
    /// The key that it writes.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Its writes are durable (except of volatile keys). With no change to make, the revision is
    /// the one before it.
    Committed {
        /// Its revision.
        revision: Revision,
    },
    /// A condition did not hold; nothing changed.
    Conflict {
        /// Revision at which the conditions were looked at.
        revision: Revision,
        /// Index of the first condition that does not hold.
        condition: usize,
        /// What its key has instead.
        current: Option<Entry>,
    },
}

/// What to list.
#[derive(Debug, Clone)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// As of which revision; `None` is the latest.
    pub revision: Option<Revision>,
    /// Most entries to answer with; `None` is all.
    pub limit: Option<usize>,
}

impl RangeRequest {
    /// All of `range`, as it is now.
    #[must_use]
    pub fn latest(range: KeyRange) -> Self {
        Self { range, revision: None, limit: None }
    }
}

/// A list, in the order of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first of them, up to the limit.
    pub entries: Vec<Entry>,
    /// How many there are beyond the limit.
    pub remaining: usize,
    /// The revision that the list shows.
    pub revision: Revision,
}

/// Where changes arrive, in order and without a gap. Ends after an error.
pub trait WatchStream: Send {
    /// The next change.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<Event>, StoreError>>;

    /// The revision up to which every change has been taken from this watch; `None` while some are
    /// waiting.
    fn progress(&mut self) -> Option<Revision>;
}

/// A watch.
pub struct Watch(Box<dyn WatchStream>);

impl Watch {
    /// Wraps an engine's watch.
    #[must_use]
    pub fn new(stream: impl WatchStream + 'static) -> Self {
        Self(Box::new(stream))
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when the watcher was so slow that history it needs is gone.
    pub async fn next(&mut self) -> Result<Arc<Event>, StoreError> {
        std::future::poll_fn(|cx| self.0.poll_event(cx)).await
    }

    /// The next change, for those who poll. See [`Watch::next`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<Event>, StoreError>> {
        self.0.poll_event(cx)
    }

    /// The revision up to which every change has been taken; `None` while some are waiting.
    pub fn progress(&mut self) -> Option<Revision> {
        self.0.progress()
    }
}

/// What an engine says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Latest revision.
    pub revision: Revision,
    /// Revision up to which history is gone.
    pub compacted: Revision,
    /// Keys that exist.
    pub keys: u64,
    /// Bytes that the database takes on the disk, without what is free in it.
    pub used_bytes: u64,
    /// Commits that reached the disk since it was opened.
    pub commits: u64,
    /// Transactions that made a change since it was opened.
    pub transactions: u64,
    /// Watches that are open.
    pub watchers: u64,
}

/// Values under keys, with etcd's semantics.
pub trait Store: Send + Sync {
    /// Latest revision that reads see.
    fn revision(&self) -> Revision;

    /// What `key` has now.
    fn get<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Entry>>;

    /// Lists keys, as of a revision.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] or [`StoreError::Future`] for a revision that cannot be shown.
    fn range(&self, request: RangeRequest) -> Answer<'_, Range>;

    /// How many keys of `range` exist now.
    fn count(&self, range: &KeyRange) -> Answer<'_, usize>;

    /// Runs a transaction. When it answers, what it changed is durable.
    ///
    /// # Errors
    /// [`StoreError::Invalid`], [`StoreError::NoSpace`], [`StoreError::LeaseNotFound`].
    fn txn(&self, txn: Txn) -> Answer<'_, TxnOutcome>;

    /// Watches `range` for changes after revision `after`.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] or [`StoreError::Future`].
    fn watch(&self, range: KeyRange, after: Revision) -> Answer<'_, Watch>;

    /// Drops history up to `revision`: versions that a later one superseded by then.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if that was done before, [`StoreError::Future`].
    fn compact(&self, revision: Revision) -> Answer<'_, ()>;

    /// Makes a lease that ends `ttl` after it was last kept alive. After a restart the time begins
    /// anew: the store trusts no clock.
    fn grant_lease(&self, ttl: Duration) -> Answer<'_, LeaseId>;

    /// Lets a lease's time begin anew.
    ///
    /// # Errors
    /// [`StoreError::LeaseNotFound`].
    fn keep_lease_alive(&self, id: LeaseId) -> Answer<'_, ()>;

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// [`StoreError::LeaseNotFound`].
    fn revoke_lease(&self, id: LeaseId) -> Answer<'_, ()>;

    /// What the engine says about itself.
    fn stats(&self) -> Stats;
}

/// Why the store cannot answer.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum StoreError {
    /// History up to `compacted` is gone, and this needs revision `requested`.
    #[error("revision {requested} is no longer kept: history begins after {compacted}")]
    Compacted {
        /// What was asked for.
        requested: Revision,
        /// Where history begins.
        compacted: Revision,
    },
    /// The revision has not happened yet.
    #[error("revision {requested} has not happened yet: the latest is {current}")]
    Future {
        /// What was asked for.
        requested: Revision,
        /// The latest.
        current: Revision,
    },
    /// No such lease.
    #[error("there is no lease {0}")]
    LeaseNotFound(LeaseId),
    /// The transaction is not one.
    #[error("transaction is not valid: {0}")]
    Invalid(&'static str),
    /// The database has reached its bound; only deletions are taken.
    #[error("database has reached its bound of {max_bytes} bytes: only deletions are taken")]
    NoSpace {
        /// The bound.
        max_bytes: u64,
    },
    /// What the disk holds is not what was written.
    #[error("value of {key:?} at revision {revision} is damaged on the disk")]
    Damaged {
        /// Whose value.
        key: String,
        /// Of which change.
        revision: Revision,
    },
    /// The disk, or SQLite, said no.
    #[error("database cannot {operation}: {reason}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// SQLite's words.
        reason: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}@{} (since {}, version {}, {} bytes)",
            String::from_utf8_lossy(&self.key),
            self.mod_revision,
            self.create_revision,
            self.version,
            self.value.len()
        )
    }
}

//! The engine of a single server: SQLite with a write-ahead log and full synchronisation.
//!
//! The index is in memory, values are on the disk under their rows, and one thread writes. It takes
//! all transactions that wait, decides them against the index, commits them together, and only then
//! shows them to readers and watchers. Readers never wait for it: a row never changes.
//!
//! After a crash every revision that may have been used counts as compacted, so that a watch or
//! list from before it is told to begin anew; keys off the durable log are as they were written
//! last.

mod backup;
mod open;
mod readers;
mod repartition;
mod row;
mod salvage;
mod schema;
mod shared;
mod watch;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

pub use backup::restore;
pub use open::{OpenError, Opened, Recovery};

use crate::key_range::KeyRange;
use crate::options::Options;
use crate::store::{
    Answer, Entry, LeaseId, Range, RangeRequest, Revision, Stats, Store, StoreError, Txn,
    TxnOutcome, Watch,
};
use shared::Shared;
use writer::Request;

/// Requests that may wait for the writer: more wait outside of its queue.
const MAX_WAITING: usize = 1024;

/// Lists longer than this are read away from the threads that serve requests.
const LONG_LIST: usize = 64;

/// A store in a folder. Dropping it without [`Sqlite::close`] is like a crash, except that what
/// was acknowledged is on the disk in both cases.
pub struct Sqlite {
    shared: Arc<Shared>,
    /// `None` once the store is being dropped.
    requests: Option<mpsc::Sender<Request>>,
    waiting: Semaphore,
    writer: Mutex<Option<JoinHandle<()>>>,
    folder: PathBuf,
}

impl Sqlite {
    /// Opens the store in `folder`, which is made if it is missing. Checks what it finds, brings
    /// its schema up to date, and saves what can be read if it is damaged.
    ///
    /// # Errors
    /// When another process has it open, when a newer version of Holm wrote it, or when the disk
    /// fails.
    pub fn open(folder: &Path, options: Options) -> Result<(Self, Opened), OpenError> {
        let ready = open::open(folder, &options)?;
        let opened = ready.report.clone();
        let shared = Arc::new(Shared::new(&ready.database, ready.index, options));
        let (requests, queue) = mpsc::channel();
        let writer = writer::Writer::new(
            ready.connection,
            ready.lock,
            shared.clone(),
            ready.leases,
            ready.reserved,
            ready.garbage,
        );
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(|source| OpenError::File { path: folder.to_owned(), source })?;
        let store = Self {
            shared,
            requests: Some(requests),
            waiting: Semaphore::new(MAX_WAITING),
            writer: Mutex::new(Some(thread)),
            folder: folder.to_owned(),
        };
        Ok((store, opened))
    }

    /// Writes what is not on the disk yet and closes the store. Later writes and watches get
    /// [`StoreError::Closed`].
    ///
    /// # Errors
    /// When the disk fails; the store is closed nevertheless.
    pub async fn close(&self) -> Result<(), StoreError> {
        let result = self.request(Request::Close).await;
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has answered: what is left of it takes no time.
            let _ = thread.join();
        }
        result
    }

    /// Writes the volatile keys to the disk now.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        self.request(Request::Checkpoint).await
    }

    /// Writes a copy of the store, as it is now, to `path`, while it goes on working.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.checkpoint().await?;
        let (from, to) = (self.folder.join(open::DATABASE), path.to_owned());
        on_blocking_thread(move || backup::write(&from, &to)).await
    }

    /// Sends a request to the writer and waits for its answer.
    async fn request<T, F>(&self, make: F) -> Result<T, StoreError>
    where
        F: FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    {
        let _permit = self.waiting.acquire().await.map_err(|_| StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send(make(answer)).map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Sqlite {
    /// Lets the writer end, so that the store can be opened again at once.
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Store for Sqlite {
    fn revision(&self) -> Revision {
        self.shared.index().revision()
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Entry>> {
        Box::pin(async move { self.shared.get(key) })
    }

    fn range(&self, request: RangeRequest) -> Answer<'_, Range> {
        Box::pin(async move {
            let plan = self.shared.plan_range(&request)?;
            if plan.len() <= LONG_LIST {
                return self.shared.read_range(&request, plan);
            }
            let shared = self.shared.clone();
            on_blocking_thread(move || shared.read_range(&request, plan)).await
        })
    }

    fn count(&self, range: &KeyRange) -> Answer<'_, usize> {
        let count = self.shared.count(range);
        Box::pin(async move { Ok(count) })
    }

    fn txn(&self, txn: Txn) -> Answer<'_, TxnOutcome> {
        Box::pin(self.request(|answer| Request::Txn(txn, answer)))
    }

    fn watch(&self, range: KeyRange, after: Revision) -> Answer<'_, Watch> {
        Box::pin(async move {
            watch::SqliteWatch::begin(self.shared.clone(), range, after).map(Watch::new)
        })
    }

    fn compact(&self, revision: Revision) -> Answer<'_, ()> {
        Box::pin(self.request(move |answer| Request::Compact(revision, answer)))
    }

    fn grant_lease(&self, ttl: Duration) -> Answer<'_, LeaseId> {
        Box::pin(self.request(move |answer| Request::Grant(ttl, answer)))
    }

    fn keep_lease_alive(&self, id: LeaseId) -> Answer<'_, ()> {
        Box::pin(self.request(move |answer| Request::KeepAlive(id, answer)))
    }

    fn revoke_lease(&self, id: LeaseId) -> Answer<'_, ()> {
        Box::pin(self.request(move |answer| Request::Revoke(id, answer)))
    }

    fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

/// Runs what reads much from the disk where it holds up nobody; right here without a runtime.
async fn on_blocking_thread<T, F>(work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await.map_err(|_| StoreError::Closed)?,
        Err(_) => work(),
    }
}

/// Says what was tried when SQLite refused.
fn refused(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |error| StoreError::Disk { operation, reason: error.to_string() }
}

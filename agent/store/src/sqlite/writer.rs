//! The thread that writes: takes what waits, decides it together, commits it once, then shows it.
//! Between requests it ends leases, drops what compaction left, and writes volatile keys rarely.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::open::PAGE_BYTES;
use super::refused;
use super::row::{delete, insert, upsert_volatile};
use super::schema::Fact;
use super::shared::{Shared, entry};
use crate::batch::{Batch, Change, Current, Planned};
use crate::event::Event;
use crate::index::Version;
use crate::leases::Leases;
use crate::store::{Key, LeaseId, MAX_WRITES, Revision, StoreError, Txn, TxnOutcome, Write};

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer can be asked for.
pub(super) enum Request {
    Txn(Txn, Answer<TxnOutcome>),
    Compact(Revision, Answer<()>),
    Grant(Duration, Answer<LeaseId>),
    KeepAlive(LeaseId, Answer<()>),
    Revoke(LeaseId, Answer<()>),
    Checkpoint(Answer<()>),
    Close(Answer<()>),
}

/// Transactions in one commit, at most.
const MAX_BATCH: usize = 512;
/// Bytes of their values, at most, so that a commit takes bounded memory and time.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// Rows that are dropped with one commit.
const GARBAGE_SLICE: usize = 256;
/// How long the writer is idle before it drops rows for their own sake.
const GARBAGE_IDLE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    connection: Connection,
    /// Held as long as the database is in use.
    _lock: File,
    shared: Arc<Shared>,
    leases: Leases,
    /// Leases that the disk knows.
    stored_leases: HashSet<LeaseId>,
    reserved: Revision,
    garbage: Vec<u64>,
    /// Volatile keys that changed since the last checkpoint, and since when.
    dirty: HashSet<Key>,
    dirty_since: Duration,
    started: Instant,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        lock: File,
        shared: Arc<Shared>,
        leases: Leases,
        reserved: Revision,
        garbage: Vec<u64>,
    ) -> Self {
        let mut writer = Self {
            connection,
            _lock: lock,
            shared,
            leases,
            stored_leases: HashSet::new(),
            reserved,
            garbage,
            dirty: HashSet::new(),
            dirty_since: Duration::ZERO,
            started: Instant::now(),
        };
        writer.measure();
        writer
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Serves until the store is closed or dropped.
    pub(super) fn run(mut self, queue: &Receiver<Request>) {
        loop {
            let request = match self.timeout() {
                Some(timeout) => queue.recv_timeout(timeout),
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(first) => {
                    if let Some(answer) = self.serve(first, queue) {
                        let result = self.close();
                        self.shared.hub.close();
                        // The asker joins this thread after the answer, so nothing waits on it.
                        drop(self.connection);
                        let _ = answer.send(result);
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.tend(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.shared.hub.close();
                    return;
                }
            }
        }
    }

    /// When something is due without a request.
    fn timeout(&self) -> Option<Duration> {
        let now = self.now();
        let garbage = (!self.garbage.is_empty()).then_some(GARBAGE_IDLE);
        let lease = self.leases.next_deadline().map(|it| it.saturating_sub(now));
        let checkpoint = self.checkpoint_due_at().map(|it| it.saturating_sub(now));
        [garbage, lease, checkpoint].into_iter().flatten().min()
    }

    fn checkpoint_due_at(&self) -> Option<Duration> {
        let every = self.shared.options.volatile.checkpoint_every;
        (!self.dirty.is_empty() && !every.is_zero()).then(|| self.dirty_since + every)
    }

    /// Does what is due. An error is told, and it is tried again with the next that is due.
    fn tend(&mut self) {
        let now = self.now();
        for lease in self.leases.expired(now) {
            if let Err(error) = self.end_lease(lease) {
                tracing::error!("cannot end lease {lease}: {error}");
                self.leases.keep_alive(lease, now);
            }
        }
        if self.checkpoint_due_at().is_some_and(|due| due <= now)
            && let Err(error) = self.checkpoint()
        {
            tracing::error!("volatile keys are not on the disk: {error}");
            self.dirty_since = now;
        }
        if !self.garbage.is_empty() {
            let dropped = self.in_transaction("drop compacted rows", |_, _| Ok(()));
            if let Err(error) = dropped {
                tracing::error!("compacted rows stay: {error}");
            }
        }
    }

    /// Serves a request and those that wait behind it. Returns who asked to close.
    fn serve(&mut self, first: Request, queue: &Receiver<Request>) -> Option<Answer<()>> {
        let mut txns = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Txn(txn, answer) => {
                    bytes += value_bytes(&txn);
                    txns.push((txn, answer));
                    if txns.len() >= MAX_BATCH || bytes >= MAX_BATCH_BYTES {
                        self.commit(std::mem::take(&mut txns));
                        bytes = 0;
                    }
                }
                Request::Close(answer) => {
                    self.commit(std::mem::take(&mut txns));
                    return Some(answer);
                }
                other => {
                    self.commit(std::mem::take(&mut txns));
                    bytes = 0;
                    self.serve_other(other);
                }
            }
            next = queue.try_recv().ok();
            // What is due must not wait for a queue that never empties.
            if txns.is_empty() && self.timeout().is_some_and(|it| it.is_zero()) {
                self.tend();
            }
        }
        self.commit(txns);
        None
    }

    fn serve_other(&mut self, request: Request) {
        match request {
            Request::Txn(..) | Request::Close(_) => {}
            Request::Compact(revision, answer) => {
                let _ = answer.send(self.compact(revision));
            }
            Request::Grant(ttl, answer) => {
                let _ = answer.send(Ok(self.leases.grant(ttl, self.now())));
            }
            Request::KeepAlive(lease, answer) => {
                let known = self.leases.keep_alive(lease, self.now());
                let _ = answer.send(known.then_some(()).ok_or(StoreError::LeaseNotFound(lease)));
            }
            Request::Revoke(lease, answer) => {
                let _ = answer.send(self.end_lease(lease));
            }
            Request::Checkpoint(answer) => {
                let _ = answer.send(self.checkpoint());
            }
        }
    }

    /// Commits transactions together and answers each.
    fn commit(&mut self, mut txns: Vec<(Txn, Answer<TxnOutcome>)>) {
        if txns.is_empty() {
            return;
        }
        if !self.has_space() {
            let max_bytes = self.shared.options.max_bytes;
            let puts = |txn: &Txn| txn.writes.iter().any(|it| matches!(it, Write::Put { .. }));
            let (refused, taken) = txns.into_iter().partition(|(txn, _)| puts(txn));
            answer_all(refused, &StoreError::NoSpace { max_bytes });
            txns = taken;
        }
        let (batch, planned) = self.plan(txns.iter().map(|(txn, _)| txn.clone()));
        match self.persist(&batch) {
            Ok(()) => {
                let before = self.show(&batch);
                for ((_, answer), planned) in txns.into_iter().zip(planned) {
                    let _ = answer.send(self.outcome(planned));
                }
                self.tell_watchers(&batch, &before);
                self.compact_if_due();
            }
            Err(StoreError::NoSpace { .. }) if txns.len() > 1 => {
                // One of them is too big: it must not fail the others.
                for txn in txns {
                    self.commit(vec![txn]);
                }
            }
            Err(error) => answer_all(txns, &error),
        }
    }

    fn plan(&self, txns: impl Iterator<Item = Txn>) -> (Batch, Vec<Planned>) {
        let index = self.shared.index();
        let mut batch = Batch::new(&index);
        let policy = &self.shared.options.volatile;
        let planned = txns
            .map(|txn| batch.add(&index, policy, |lease| self.leases.contains(lease), txn))
            .collect();
        (batch, planned)
    }

    /// Makes a batch durable. Volatile changes alone need no write, as long as their revisions are
    /// reserved.
    fn persist(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let durable = batch.changes.iter().any(|change| !change.volatile);
        if !durable && batch.revision <= self.reserved {
            return Ok(());
        }
        let block = self.shared.options.revision_block;
        let reserve = (batch.revision > self.reserved).then_some(batch.revision + block);
        let leases = self.leases_to_store(&batch.changes);
        self.in_transaction("commit", |connection, _| {
            for change in batch.changes.iter().filter(|change| !change.volatile) {
                insert(connection, change)?;
            }
            store_leases(connection, &leases)?;
            reserve.map_or(Ok(()), |reserve| Fact::Reserved.write(connection, reserve))
        })?;
        self.stored_leases.extend(leases.iter().map(|(id, _)| *id));
        self.reserved = reserve.unwrap_or(self.reserved);
        Ok(())
    }

    /// Leases of durable changes that the disk does not know yet.
    fn leases_to_store(&self, changes: &[Change]) -> Vec<(LeaseId, Duration)> {
        changes
            .iter()
            .filter(|change| !change.volatile)
            .filter_map(|change| change.lease)
            .filter(|lease| !self.stored_leases.contains(lease))
            .filter_map(|lease| Some((lease, self.leases.ttl(lease)?)))
            .collect()
    }

    /// Runs `work` in one commit, together with a slice of the rows that are to be dropped.
    fn in_transaction(
        &mut self,
        operation: &'static str,
        work: impl FnOnce(&Connection, &Shared) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let keep = self.garbage.len().saturating_sub(GARBAGE_SLICE);
        let run = || {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            work(&self.connection, &self.shared)?;
            delete(&self.connection, self.garbage.get(keep..).unwrap_or_default())?;
            self.connection.execute_batch("COMMIT")
        };
        if let Err(error) = run() {
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
            return Err(if full {
                StoreError::NoSpace { max_bytes: self.shared.options.max_bytes }
            } else {
                refused(operation)(error)
            });
        }
        self.garbage.truncate(keep);
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.measure();
        Ok(())
    }

    /// Shows a batch to readers. Returns what each key had before.
    fn show(&mut self, batch: &Batch) -> Vec<Option<Version>> {
        let mut before = Vec::with_capacity(batch.changes.len());
        {
            let mut index = self.shared.index_mut();
            for change in &batch.changes {
                before.push(index.latest(&change.key).cloned());
                index.apply(change.key.clone(), change.as_version());
            }
        }
        for change in &batch.changes {
            match &change.value {
                Some(value) if !change.volatile => self.shared.remember(change.row, value),
                _ => {}
            }
            self.leases.attach(&change.key, change.lease);
            if change.volatile {
                if self.dirty.is_empty() {
                    self.dirty_since = self.now();
                }
                self.dirty.insert(change.key.clone());
            }
        }
        let revisions: HashSet<u64> =
            batch.changes.iter().map(|it| crate::index::revision_of(it.row)).collect();
        self.shared.transactions.fetch_add(revisions.len() as u64, Ordering::Relaxed);
        before
    }

    fn tell_watchers(&self, batch: &Batch, before: &[Option<Version>]) {
        let keys = batch.changes.iter().enumerate().map(|(place, change)| (&change.key, place));
        self.shared.hub.dispatch(batch.revision, keys, |place| {
            let change = batch.changes.get(place)?;
            let previous = before.get(place)?.as_ref().and_then(|version| {
                let value = self.shared.values(&[version]).ok()?.pop()??;
                Some(entry(change.key.clone(), version, value))
            });
            Some(Event::new(change.row, change.key.clone(), change.as_entry(), previous))
        });
    }

    fn outcome(&self, planned: Planned) -> Result<TxnOutcome, StoreError> {
        let (condition, revision, current) = match planned {
            Planned::Done(revision) => return Ok(TxnOutcome::Committed { revision }),
            Planned::Invalid(reason) => return Err(StoreError::Invalid(reason)),
            Planned::NoLease(lease) => return Err(StoreError::LeaseNotFound(lease)),
            Planned::Conflict(condition, revision, current) => (condition, revision, current),
        };
        let current = match current {
            Current::Nothing => None,
            Current::New(entry) => Some(*entry),
            Current::Known(key, version) => {
                let value = self.shared.values(&[&version])?.pop().flatten();
                value.map(|value| entry(key, &version, value))
            }
        };
        Ok(TxnOutcome::Conflict { revision, condition, current })
    }

    fn compact(&mut self, revision: Revision) -> Result<(), StoreError> {
        let mut index = self.shared.index_mut();
        index.check(revision)?;
        self.garbage.extend(index.compact(revision));
        Ok(())
    }

    fn compact_if_due(&mut self) {
        let mut index = self.shared.index_mut();
        if let Some(revision) = index.compaction_due(&self.shared.options) {
            self.garbage.extend(index.compact(revision));
        }
    }

    /// Whether values may still be added. Gives up history before it says no.
    fn has_space(&mut self) -> bool {
        let soft_limit = self.shared.options.max_bytes / 10 * 9;
        if self.used_bytes() < soft_limit {
            return true;
        }
        let revision = self.shared.index().revision();
        if let Err(error) = self.compact(revision) {
            tracing::debug!("no history to give up: {error}");
        }
        while !self.garbage.is_empty() {
            if let Err(error) = self.in_transaction("drop compacted rows", |_, _| Ok(())) {
                tracing::error!("compacted rows stay: {error}");
                break;
            }
        }
        self.used_bytes() < soft_limit
    }

    fn used_bytes(&self) -> u64 {
        self.shared.used_bytes.load(Ordering::Relaxed)
    }

    fn measure(&mut self) {
        let pragma = |name| {
            self.connection
                .prepare_cached(name)
                .and_then(|mut it| it.query_row([], |row| row.get::<_, i64>(0)))
        };
        if let (Ok(pages), Ok(free)) =
            (pragma("PRAGMA page_count"), pragma("PRAGMA freelist_count"))
        {
            let used = (pages - free).max(0).cast_unsigned() * PAGE_BYTES;
            self.shared.used_bytes.store(used, Ordering::Relaxed);
        }
    }

    /// Deletes a lease's keys, then the lease.
    fn end_lease(&mut self, lease: LeaseId) -> Result<(), StoreError> {
        let keys = self.leases.keys(lease).ok_or(StoreError::LeaseNotFound(lease))?;
        for keys in keys.chunks(MAX_WRITES) {
            let writes = keys.iter().map(|key| Write::Delete { key: key.clone() }).collect();
            let txn = Txn { conditions: Vec::new(), writes };
            let (batch, _) = self.plan(std::iter::once(txn));
            self.persist(&batch)?;
            let before = self.show(&batch);
            self.tell_watchers(&batch, &before);
        }
        if self.stored_leases.contains(&lease) {
            self.in_transaction("forget a lease", |connection, _| {
                connection.execute("DELETE FROM lease WHERE id = ?1", [lease.cast_signed()])?;
                Ok(())
            })?;
            self.stored_leases.remove(&lease);
        }
        self.leases.remove(lease);
        self.compact_if_due();
        Ok(())
    }

    /// Writes volatile keys to the disk.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        if self.dirty.is_empty() {
            return Ok(());
        }
        let changes: Vec<Change> = {
            let index = self.shared.index();
            self.dirty.iter().map(|key| as_change(key, index.latest(key))).collect()
        };
        let leases: Vec<_> = changes
            .iter()
            .filter_map(|change| change.lease)
            .filter(|lease| !self.stored_leases.contains(lease))
            .filter_map(|lease| Some((lease, self.leases.ttl(lease)?)))
            .collect();
        self.in_transaction("write volatile keys", |connection, _| {
            changes.iter().try_for_each(|change| upsert_volatile(connection, change))?;
            store_leases(connection, &leases)
        })?;
        self.stored_leases.extend(leases.iter().map(|(id, _)| *id));
        self.dirty.clear();
        Ok(())
    }

    /// Leaves the database so that the next opening goes on where this one ends.
    fn close(&mut self) -> Result<(), StoreError> {
        self.checkpoint()?;
        while self.garbage.len() > GARBAGE_SLICE {
            self.in_transaction("drop compacted rows", |_, _| Ok(()))?;
        }
        self.in_transaction("close", |connection, shared| {
            let index = shared.index();
            Fact::Compacted.write(connection, index.compacted())?;
            Fact::Reserved.write(connection, index.revision())?;
            Fact::ClosedAt.write(connection, index.revision())
        })?;
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(refused("close"))
    }
}

fn value_bytes(txn: &Txn) -> usize {
    let length = |write: &Write| match write {
        Write::Put { value, .. } => value.len(),
        Write::Delete { .. } => 0,
    };
    txn.writes.iter().map(length).sum()
}

fn answer_all(txns: Vec<(Txn, Answer<TxnOutcome>)>, error: &StoreError) {
    for (_, answer) in txns {
        let _ = answer.send(Err(error.clone()));
    }
}

fn store_leases(connection: &Connection, leases: &[(LeaseId, Duration)]) -> rusqlite::Result<()> {
    for (id, ttl) in leases {
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        connection
            .prepare_cached("INSERT OR IGNORE INTO lease (id, ttl_milliseconds) VALUES (?1, ?2)")?
            .execute([id.cast_signed(), ttl])?;
    }
    Ok(())
}

/// What a checkpoint writes of a volatile key.
fn as_change(key: &Key, version: Option<&Version>) -> Change {
    let value = version.and_then(|version| match &version.body {
        crate::index::Body::Held(value) => Some(value.clone()),
        _ => None,
    });
    Change {
        row: version.map_or(0, |it| it.row),
        key: key.clone(),
        value,
        create_revision: version.map_or(0, |it| it.create_revision),
        version: version.map_or(0, |it| it.version),
        lease: version.and_then(|it| it.lease),
        volatile: true,
    }
}

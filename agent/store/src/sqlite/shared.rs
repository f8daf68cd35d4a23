//! What readers and the writer share: the index, values that were used lately, and who watches.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::readers::Readers;
use crate::cache::Cache;
use crate::event::Event;
use crate::hub::Hub;
use crate::index::{Body, Index, PastChange, Version, revision_of};
use crate::key_range::KeyRange;
use crate::options::Options;
use crate::store::{Entry, Key, Range, RangeRequest, Revision, Stats, StoreError};

pub(super) struct Shared {
    index: RwLock<Index>,
    cache: Mutex<Cache>,
    readers: Readers,
    pub(super) hub: Hub,
    pub(super) options: Options,
    /// Volatile keys have no history before it.
    opened_at: Revision,
    pub(super) commits: AtomicU64,
    pub(super) transactions: AtomicU64,
    pub(super) used_bytes: AtomicU64,
}

/// What a list will have, before its values are read.
pub(super) struct RangePlan {
    found: Vec<(Key, Version)>,
    remaining: usize,
    revision: Revision,
}

impl RangePlan {
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }
}

impl Shared {
    pub(super) fn new(database: &Path, index: Index, options: Options) -> Self {
        Self {
            hub: Hub::new(index.revision()),
            opened_at: index.revision(),
            index: RwLock::new(index),
            cache: Mutex::new(Cache::new(options.cache_bytes)),
            readers: Readers::new(database),
            options,
            commits: AtomicU64::new(0),
            transactions: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember(&self, row: u64, value: &Bytes) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(row, value.clone());
    }

    /// The value of a version, where that needs no disk.
    fn value_at_hand(&self, version: &Version) -> Option<Bytes> {
        match &version.body {
            Body::Held(value) => Some(value.clone()),
            Body::Deleted { .. } => None,
            Body::Stored(0) => Some(Bytes::new()),
            Body::Stored(_) => {
                let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
                cache.get(version.row)
            }
        }
    }

    /// The values of versions that exist, in their order; `None` where compaction was faster.
    pub(super) fn values(&self, versions: &[&Version]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let mut values: Vec<_> = versions.iter().map(|it| self.value_at_hand(it)).collect();
        let missing: Vec<usize> =
            (0..values.len()).filter(|&place| values.get(place) == Some(&None)).collect();
        if missing.is_empty() {
            return Ok(values);
        }
        let rows = missing.iter().filter_map(|&place| versions.get(place).map(|it| it.row));
        let read = self.readers.values(rows)?;
        // Single reads are likely to come again; a long list would push out everything else.
        let keep = missing.len() <= 4;
        for (place, value) in missing.into_iter().zip(read) {
            if let (true, Some(value), Some(version)) = (keep, &value, versions.get(place)) {
                self.remember(version.row, value);
            }
            if let Some(slot) = values.get_mut(place) {
                *slot = value;
            }
        }
        Ok(values)
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        loop {
            let (version, key) = {
                let index = self.index();
                let Some(version) = index.latest(key) else { return Ok(None) };
                (version.clone(), Key::from(key))
            };
            if let Some(value) = self.values(&[&version])?.pop().flatten() {
                return Ok(Some(entry(key, &version, value)));
            }
            // It was superseded and compacted meanwhile: there is a later one, or none.
            self.must_be_superseded(&key, &version)?;
        }
    }

    /// That a version whose value is gone is not the latest; else the disk lost it.
    fn must_be_superseded(&self, key: &Key, version: &Version) -> Result<(), StoreError> {
        match self.index().latest(key) {
            Some(latest) if latest.row == version.row => Err(StoreError::Damaged {
                key: String::from_utf8_lossy(key).into_owned(),
                revision: revision_of(version.row),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn count(&self, range: &KeyRange) -> usize {
        let index = self.index();
        index.range(range, index.revision()).count()
    }

    /// Whether volatile keys of `range` have history from `revision` on.
    fn check_volatile(&self, range: &KeyRange, revision: Revision) -> Result<(), StoreError> {
        let volatile = self.options.volatile.prefixes.iter();
        if revision < self.opened_at && volatile.into_iter().any(|it| range.meets_prefix(it)) {
            let compacted = self.opened_at;
            return Err(StoreError::Compacted { requested: revision, compacted });
        }
        Ok(())
    }

    pub(super) fn plan_range(&self, request: &RangeRequest) -> Result<RangePlan, StoreError> {
        let index = self.index();
        let revision = request.revision.unwrap_or_else(|| index.revision());
        index.check(revision)?;
        self.check_volatile(&request.range, revision)?;
        let mut versions = index.range(&request.range, revision);
        let found = versions
            .by_ref()
            .take(request.limit.unwrap_or(usize::MAX))
            .map(|(key, version)| (key.clone(), version.clone()))
            .collect();
        Ok(RangePlan { found, remaining: versions.count(), revision })
    }

    pub(super) fn read_range(
        &self,
        request: &RangeRequest,
        mut plan: RangePlan,
    ) -> Result<Range, StoreError> {
        loop {
            let versions: Vec<_> = plan.found.iter().map(|(_, version)| version).collect();
            let values = self.values(&versions)?;
            if let Some(place) = values.iter().position(Option::is_none) {
                // Compaction was faster.
                match (request.revision, plan.found.get(place)) {
                    (None, Some((key, version))) => self.must_be_superseded(key, version)?,
                    _ => self.index().check(plan.revision)?,
                }
                plan = self.plan_range(request)?;
                continue;
            }
            let entries = plan.found.into_iter().zip(values);
            let entries = entries
                .filter_map(|((key, version), value)| Some(entry(key, &version, value?)))
                .collect();
            return Ok(Range { entries, remaining: plan.remaining, revision: plan.revision });
        }
    }

    /// Whether a watch of `range` can begin after `revision`.
    pub(super) fn check_watch(&self, range: &KeyRange, after: Revision) -> Result<(), StoreError> {
        self.index().check(after)?;
        self.check_volatile(range, after)
    }

    /// Past changes as events. See [`Index::changes`].
    pub(super) fn history(
        &self,
        range: &KeyRange,
        after: u64,
        last: u64,
        limit: usize,
    ) -> Result<(Vec<Event>, u64), StoreError> {
        let (changes, upto) = self.index().changes(range, after, last, limit)?;
        let events = changes
            .into_iter()
            .map(|it| self.past_event(it, after))
            .collect::<Result<Vec<Event>, StoreError>>()?;
        Ok((events, upto))
    }

    fn past_event(&self, change: PastChange, after: u64) -> Result<Event, StoreError> {
        let PastChange { key, version, previous } = change;
        let compacted = || StoreError::Compacted {
            requested: revision_of(after),
            compacted: self.index().compacted(),
        };
        let load = |version: &Version| -> Result<Entry, StoreError> {
            let value = self.values(&[version])?.pop().flatten().ok_or_else(compacted)?;
            Ok(entry(key.clone(), version, value))
        };
        let now = if version.is_live() { Some(load(&version)?) } else { None };
        let before = previous.as_ref().map(load).transpose()?;
        Ok(Event::new(version.row, key.clone(), now, before))
    }

    pub(super) fn stats(&self) -> Stats {
        let index = self.index();
        Stats {
            revision: index.revision(),
            compacted: index.compacted(),
            keys: index.live_keys(),
            used_bytes: self.used_bytes.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            transactions: self.transactions.load(Ordering::Relaxed),
            watchers: self.hub.watchers() as u64,
        }
    }
}

/// What readers get of a version and its value.
pub(super) fn entry(key: Key, version: &Version, value: Bytes) -> Entry {
    let &Version { create_revision, version: number, lease, .. } = version;
    let mod_revision = revision_of(version.row);
    Entry { key, value, mod_revision, create_revision, version: number, lease }
}

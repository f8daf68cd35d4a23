//! Which versions of which keys there are, and in which order they came. Pure: values of durable
//! keys are not here, only where to find them.
//!
//! A change's *row* is its revision and its place in the transaction: one number that orders all
//! changes, and under which the disk has the value.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use crate::key_range::KeyRange;
use crate::options::Options;
use crate::store::{Key, LeaseId, MAX_WRITES, Revision, StoreError};

const PLACE_BITS: u32 = MAX_WRITES.trailing_zeros();

/// The row of a transaction's change number `place`.
pub(crate) fn row_of(revision: Revision, place: u64) -> u64 {
    (revision << PLACE_BITS) | place
}

/// The last row that `revision` can have.
pub(crate) fn last_row_of(revision: Revision) -> u64 {
    row_of(revision, MAX_WRITES as u64 - 1)
}

/// The revision of a row.
pub(crate) fn revision_of(row: u64) -> Revision {
    row >> PLACE_BITS
}

/// One version of a key.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub row: u64,
    pub create_revision: Revision,
    pub version: u64,
    pub lease: Option<LeaseId>,
    pub body: Body,
}

/// Where a version's value is.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// On the disk; so many bytes.
    Stored(u32),
    /// Here, because its key is volatile.
    Held(Bytes),
    /// There is none: the key was deleted. Says whether the disk has a row that tells so.
    Deleted { stored: bool },
}

impl Version {
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.body, Body::Deleted { .. })
    }

    fn is_stored(&self) -> bool {
        matches!(self.body, Body::Stored(_) | Body::Deleted { stored: true })
    }

    fn bytes(&self) -> u64 {
        match &self.body {
            Body::Stored(length) => u64::from(*length),
            Body::Held(value) => value.len() as u64,
            Body::Deleted { .. } => 0,
        }
    }
}

#[derive(Debug)]
struct Versions {
    latest: Version,
    /// Superseded ones that history still needs, oldest first.
    older: Vec<Version>,
}

/// One change in a watch's history.
#[derive(Debug, Clone)]
pub(crate) struct PastChange {
    pub key: Key,
    pub version: Version,
    pub previous: Option<Version>,
}

/// The index. See the module.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Key, Versions>,
    /// Every change after `compacted`, in order.
    log: VecDeque<(u64, Key)>,
    compacted: Revision,
    revision: Revision,
    live: u64,
    superseded_bytes: u64,
}

impl Index {
    /// An index without keys, to be filled with what the disk has. History begins after
    /// `compacted`.
    pub(crate) fn new(compacted: Revision) -> Self {
        Self { compacted, revision: compacted, ..Self::default() }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    pub(crate) fn live_keys(&self) -> u64 {
        self.live
    }

    /// Moves on to `revision` without a change.
    pub(crate) fn advance(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    /// Adds a version; rows must come in order. Returns the row that it supersedes on the disk when
    /// no history needs that one: only while the index is filled.
    pub(crate) fn apply(&mut self, key: Key, version: Version) -> Option<u64> {
        self.advance(revision_of(version.row));
        let needed = revision_of(version.row) > self.compacted;
        if needed {
            self.log.push_back((version.row, key.clone()));
        }
        if version.is_live() {
            self.live += 1;
        }
        let Some(versions) = self.keys.get_mut(&key) else {
            self.keys.insert(key, Versions { latest: version, older: Vec::new() });
            return None;
        };
        let superseded = std::mem::replace(&mut versions.latest, version);
        if superseded.is_live() {
            self.live -= 1;
        }
        if needed {
            self.superseded_bytes += superseded.bytes();
            versions.older.push(superseded);
            return None;
        }
        superseded.is_stored().then_some(superseded.row)
    }

    /// Adds the only version of a key that has no history, whatever its row.
    pub(crate) fn load_latest(&mut self, key: Key, version: Version) {
        self.advance(revision_of(version.row));
        self.live += 1;
        self.keys.insert(key, Versions { latest: version, older: Vec::new() });
    }

    /// The latest version of `key`, if it exists.
    pub(crate) fn latest(&self, key: &[u8]) -> Option<&Version> {
        self.keys.get(key).map(|versions| &versions.latest).filter(|version| version.is_live())
    }

    /// The keys of `range` that exist at `revision`, in order.
    pub(crate) fn range<'a>(
        &'a self,
        range: &'a KeyRange,
        revision: Revision,
    ) -> impl Iterator<Item = (&'a Key, &'a Version)> {
        let bounds =
            (Bound::Included(range.start()), range.end().map_or(Bound::Unbounded, Bound::Excluded));
        // A range that ends before it begins would make the map panic.
        let keys = (!range.is_empty()).then(|| self.keys.range::<[u8], _>(bounds));
        keys.into_iter().flatten().filter_map(move |(key, versions)| {
            versions.at(revision).filter(|version| version.is_live()).map(|version| (key, version))
        })
    }

    /// Whether lists and watches can begin at `revision`.
    pub(crate) fn check(&self, revision: Revision) -> Result<(), StoreError> {
        if revision < self.compacted {
            return Err(StoreError::Compacted { requested: revision, compacted: self.compacted });
        }
        if revision > self.revision {
            return Err(StoreError::Future { requested: revision, current: self.revision });
        }
        Ok(())
    }

    /// Changes of `range` in rows after `after` up to `last`: at most `limit`, and the row up to
    /// which that is all of them.
    pub(crate) fn changes(
        &self,
        range: &KeyRange,
        after: u64,
        last: u64,
        limit: usize,
    ) -> Result<(Vec<PastChange>, u64), StoreError> {
        if revision_of(after) < self.compacted {
            let requested = revision_of(after);
            return Err(StoreError::Compacted { requested, compacted: self.compacted });
        }
        let mut changes = Vec::new();
        let begin = self.log.partition_point(|(row, _)| *row <= after);
        for (row, key) in self.log.range(begin..) {
            if *row > last {
                break;
            }
            if !range.contains(key) {
                continue;
            }
            if changes.len() == limit {
                // The row before this one may belong to the same revision: it has been seen.
                return Ok((changes, row - 1));
            }
            if let Some((version, previous)) =
                self.keys.get(key).and_then(|versions| versions.with_previous(*row))
            {
                let (version, previous) = (version.clone(), previous.cloned());
                changes.push(PastChange { key: key.clone(), version, previous });
            }
        }
        Ok((changes, last))
    }

    /// Drops what no revision from `revision` on shows. Returns the rows to drop from the disk.
    pub(crate) fn compact(&mut self, revision: Revision) -> Vec<u64> {
        let mut rows = Vec::new();
        while let Some((row, _)) = self.log.front() {
            if revision_of(*row) > revision {
                break;
            }
            let Some((_, key)) = self.log.pop_front() else { break };
            let Some(versions) = self.keys.get_mut(&key) else { continue };
            // Superseded at or before the revision: its successor is no later.
            let keep_from = versions
                .older
                .iter()
                .skip(1)
                .chain(std::iter::once(&versions.latest))
                .take_while(|successor| revision_of(successor.row) <= revision)
                .count()
                .min(versions.older.len());
            for version in versions.older.drain(..keep_from) {
                self.superseded_bytes -= version.bytes();
                if version.is_stored() {
                    rows.push(version.row);
                }
            }
            versions.older.shrink_to_fit();
            let latest = &versions.latest;
            if !latest.is_live() && versions.older.is_empty() && revision_of(latest.row) <= revision
            {
                if latest.is_stored() {
                    rows.push(latest.row);
                }
                self.keys.remove(&key);
            }
        }
        self.compacted = self.compacted.max(revision);
        rows
    }

    /// Forgets deletions that no history needs, after the index was filled. Returns their rows.
    pub(crate) fn drop_old_deletions(&mut self) -> Vec<u64> {
        let compacted = self.compacted;
        let mut rows = Vec::new();
        self.keys.retain(|_, versions| {
            let latest = &versions.latest;
            let old = !latest.is_live() && revision_of(latest.row) <= compacted;
            if old && latest.is_stored() {
                rows.push(latest.row);
            }
            !old
        });
        rows
    }

    /// The revision to compact at so that history is within its bounds again, if it is not. Goes a
    /// quarter below them, so that it is not needed after each change.
    pub(crate) fn compaction_due(&self, options: &Options) -> Option<Revision> {
        if self.log.len() > options.max_history {
            let keep = options.max_history - options.max_history / 4;
            let (row, _) = self.log.get(self.log.len() - keep.max(1))?;
            return Some(revision_of(*row));
        }
        if self.superseded_bytes > options.max_history_bytes {
            // Bytes of single changes are not counted: the older half of the changes goes.
            let (row, _) = self.log.get(self.log.len() / 2)?;
            return Some(revision_of(*row));
        }
        None
    }

    /// All latest versions of keys for which `wanted` holds.
    pub(crate) fn live_where<'a>(
        &'a self,
        wanted: impl Fn(&[u8]) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a Key, &'a Version)> {
        self.keys
            .iter()
            .filter(move |(key, versions)| versions.latest.is_live() && wanted(key))
            .map(|(key, versions)| (key, &versions.latest))
    }
}

impl Versions {
    fn at(&self, revision: Revision) -> Option<&Version> {
        if revision_of(self.latest.row) <= revision {
            return Some(&self.latest);
        }
        self.older.iter().rev().find(|version| revision_of(version.row) <= revision)
    }

    /// The version of `row`, and the one before it if that existed.
    fn with_previous(&self, row: u64) -> Option<(&Version, Option<&Version>)> {
        if self.latest.row == row {
            return Some((&self.latest, self.older.last().filter(|before| before.is_live())));
        }
        let place = self.older.iter().position(|version| version.row == row)?;
        let before = place.checked_sub(1).and_then(|before| self.older.get(before));
        Some((self.older.get(place)?, before.filter(|before| before.is_live())))
    }
}

#[cfg(test)]
mod tests;

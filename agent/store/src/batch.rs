//! What a batch of transactions changes: (index, transactions in order) → (changes, answers). Pure.
//! Each transaction sees what those before it in the batch will have done.

use std::collections::HashMap;

use bytes::Bytes;

use crate::index::{Body, Index, Version, row_of};
use crate::options::VolatilePolicy;
use crate::store::{
    Entry, Key, LeaseId, MAX_KEY_BYTES, MAX_VALUE_BYTES, MAX_WRITES, Revision, Txn, Write,
};

/// One change that the batch makes.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub row: u64,
    pub key: Key,
    /// `None` deletes.
    pub value: Option<Bytes>,
    pub create_revision: Revision,
    pub version: u64,
    pub lease: Option<LeaseId>,
    /// It stays off the durable log.
    pub volatile: bool,
}

impl Change {
    /// What the index keeps of it.
    pub(crate) fn as_version(&self) -> Version {
        let body = match &self.value {
            None => Body::Deleted { stored: !self.volatile },
            Some(value) if self.volatile => Body::Held(value.clone()),
            // A value has at most `MAX_VALUE_BYTES`.
            Some(value) => Body::Stored(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        };
        let &Self { row, create_revision, version, lease, .. } = self;
        Version { row, create_revision, version, lease, body }
    }

    /// What readers get of it.
    pub(crate) fn as_entry(&self) -> Option<Entry> {
        Some(Entry {
            key: self.key.clone(),
            value: self.value.clone()?,
            mod_revision: crate::index::revision_of(self.row),
            create_revision: self.create_revision,
            version: self.version,
            lease: self.lease,
        })
    }
}

/// What a transaction will be answered once the batch is committed.
#[derive(Debug)]
pub(crate) enum Planned {
    /// It is at this revision.
    Done(Revision),
    /// Condition number `.0` does not hold; its key has this.
    Conflict(usize, Revision, Current),
    /// It is not a transaction.
    Invalid(&'static str),
    /// It names a lease that there is not.
    NoLease(LeaseId),
}

/// What a key has, where a condition did not hold.
#[derive(Debug)]
pub(crate) enum Current {
    Nothing,
    /// A version of the index, whose value has to be looked up.
    Known(Key, Version),
    /// Something that this batch writes.
    New(Box<Entry>),
}

/// A batch that grows.
#[derive(Debug)]
pub(crate) struct Batch {
    pub changes: Vec<Change>,
    pub revision: Revision,
    latest: HashMap<Key, usize>,
}

impl Batch {
    /// An empty batch upon `index`.
    pub(crate) fn new(index: &Index) -> Self {
        Self { changes: Vec::new(), revision: index.revision(), latest: HashMap::new() }
    }

    /// Adds a transaction.
    pub(crate) fn add(
        &mut self,
        index: &Index,
        policy: &VolatilePolicy,
        has_lease: impl Fn(LeaseId) -> bool,
        txn: Txn,
    ) -> Planned {
        if let Some(reason) = why_invalid(&txn) {
            return Planned::Invalid(reason);
        }
        for (place, condition) in txn.conditions.iter().enumerate() {
            let current = self.current(index, &condition.key);
            let found = match &current {
                Current::Nothing => 0,
                Current::Known(_, version) => crate::index::revision_of(version.row),
                Current::New(entry) => entry.mod_revision,
            };
            if found != condition.mod_revision {
                return Planned::Conflict(place, self.revision, current);
            }
        }
        for write in &txn.writes {
            if let Write::Put { lease: Some(lease), .. } = write
                && !has_lease(*lease)
            {
                return Planned::NoLease(*lease);
            }
        }
        self.write(index, policy, txn.writes)
    }

    fn write(&mut self, index: &Index, policy: &VolatilePolicy, writes: Vec<Write>) -> Planned {
        let revision = self.revision + 1;
        let first = self.changes.len();
        for write in writes {
            let before = self.meta(index, write.key());
            let row = row_of(revision, (self.changes.len() - first) as u64);
            let volatile = policy.covers(write.key());
            let change = match write {
                Write::Put { key, value, lease } => {
                    let (create_revision, version) = before.unwrap_or((revision, 0));
                    let (value, version) = (Some(value), version + 1);
                    Change { row, key, value, create_revision, version, lease, volatile }
                }
                Write::Delete { key } => {
                    let Some((create_revision, version)) = before else { continue };
                    let (value, lease) = (None, None);
                    Change { row, key, value, create_revision, version, lease, volatile }
                }
            };
            self.latest.insert(change.key.clone(), self.changes.len());
            self.changes.push(change);
        }
        if self.changes.len() > first {
            self.revision = revision;
        }
        Planned::Done(self.revision)
    }

    /// Revision of creation and version number of what `key` has.
    fn meta(&self, index: &Index, key: &Key) -> Option<(Revision, u64)> {
        if let Some(change) = self.latest.get(key).and_then(|place| self.changes.get(*place)) {
            return change.value.as_ref().map(|_| (change.create_revision, change.version));
        }
        index.latest(key).map(|version| (version.create_revision, version.version))
    }

    fn current(&self, index: &Index, key: &Key) -> Current {
        if let Some(change) = self.latest.get(key).and_then(|place| self.changes.get(*place)) {
            return change.as_entry().map_or(Current::Nothing, |it| Current::New(Box::new(it)));
        }
        index
            .latest(key)
            .map_or(Current::Nothing, |version| Current::Known(key.clone(), version.clone()))
    }
}

fn why_invalid(txn: &Txn) -> Option<&'static str> {
    if txn.writes.len() > MAX_WRITES {
        return Some("more than 128 writes");
    }
    for (place, write) in txn.writes.iter().enumerate() {
        if write.key().is_empty() {
            return Some("a key is empty");
        }
        if write.key().len() > MAX_KEY_BYTES {
            return Some("a key is longer than 2048 bytes");
        }
        if let Write::Put { value, .. } = write
            && value.len() > MAX_VALUE_BYTES
        {
            return Some("a value is longer than 4 MiB");
        }
        if txn.writes.iter().take(place).any(|earlier| earlier.key() == write.key()) {
            return Some("a key is written twice");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::Condition;

    fn key(name: &str) -> Key {
        Arc::from(name.as_bytes())
    }

    fn add(batch: &mut Batch, index: &Index, txn: Txn) -> Planned {
        let policy = VolatilePolicy { prefixes: vec![b"v/".to_vec()], ..VolatilePolicy::default() };
        batch.add(index, &policy, |lease| lease == 7, txn)
    }

    #[test]
    fn the_second_of_two_creations_in_a_batch_loses() {
        let index = Index::new(4);
        let mut batch = Batch::new(&index);
        let first = add(&mut batch, &index, Txn::create(key("a"), Bytes::from_static(b"1")));
        assert!(matches!(first, Planned::Done(5)));
        let second = add(&mut batch, &index, Txn::create(key("a"), Bytes::from_static(b"2")));
        let Planned::Conflict(0, 5, Current::New(entry)) = second else { panic!("{second:?}") };
        assert_eq!((&entry.value[..], entry.mod_revision), (b"1".as_slice(), 5));
        assert_eq!(batch.changes.len(), 1);
    }

    #[test]
    fn versions_count_from_one_and_begin_anew_after_a_deletion() {
        let index = Index::new(0);
        let mut batch = Batch::new(&index);
        let value = Bytes::from_static(b"x");
        add(&mut batch, &index, Txn::put(key("a"), value.clone()));
        add(&mut batch, &index, Txn::put(key("a"), value.clone()));
        add(&mut batch, &index, Txn::delete(key("a"), 2));
        add(&mut batch, &index, Txn::put(key("a"), value));
        let seen: Vec<_> =
            batch.changes.iter().map(|it| (it.create_revision, it.version)).collect();
        assert_eq!(seen, [(1, 1), (1, 2), (1, 2), (4, 1)]);
    }

    #[test]
    fn deleting_nothing_uses_no_revision() {
        let index = Index::new(9);
        let mut batch = Batch::new(&index);
        let planned = add(&mut batch, &index, Txn::delete(key("a"), 0));
        assert!(matches!(planned, Planned::Done(9)));
        assert!(batch.changes.is_empty());
    }

    #[test]
    fn a_transaction_whose_condition_fails_changes_nothing() {
        let index = Index::new(0);
        let mut batch = Batch::new(&index);
        let mut txn = Txn::put(key("a"), Bytes::new());
        txn.conditions.push(Condition { key: key("b"), mod_revision: 3 });
        let planned = add(&mut batch, &index, txn);
        assert!(matches!(planned, Planned::Conflict(0, 0, Current::Nothing)));
        assert!(batch.changes.is_empty());
    }

    #[test]
    fn writes_of_one_transaction_share_its_revision() {
        let index = Index::new(0);
        let mut batch = Batch::new(&index);
        let mut txn = Txn::put(key("a"), Bytes::new());
        txn.writes.extend(Txn::put(key("v/b"), Bytes::new()).writes);
        assert!(matches!(add(&mut batch, &index, txn), Planned::Done(1)));
        let seen: Vec<_> = batch.changes.iter().map(|it| (it.row, it.volatile)).collect();
        assert_eq!(seen, [(row_of(1, 0), false), (row_of(1, 1), true)]);
    }

    #[test]
    fn what_is_no_transaction_is_refused_with_its_reason() {
        let index = Index::new(0);
        let mut batch = Batch::new(&index);
        let mut twice = Txn::put(key("a"), Bytes::new());
        twice.writes.extend(Txn::put(key("a"), Bytes::new()).writes);
        let long = Txn::put(Arc::from(vec![b'k'; MAX_KEY_BYTES + 1]), Bytes::new());
        let big = Txn::put(key("a"), Bytes::from(vec![0; MAX_VALUE_BYTES + 1]));
        let many = Txn {
            writes: (0..=MAX_WRITES).map(|n| Write::Delete { key: key(&n.to_string()) }).collect(),
            ..Txn::default()
        };
        for txn in [twice, long, big, many, Txn::put(key(""), Bytes::new())] {
            assert!(matches!(add(&mut batch, &index, txn), Planned::Invalid(_)));
        }
        let leased = Txn::put(key("a"), Bytes::new()).with_lease(8);
        assert!(matches!(add(&mut batch, &index, leased), Planned::NoLease(8)));
        assert!(batch.changes.is_empty());
    }
}

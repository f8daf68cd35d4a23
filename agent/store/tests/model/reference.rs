//! A store as simple as can be: the list of all changes. Everything else is a walk over it.

use std::collections::BTreeMap;

use bytes::Bytes;
use holm_store::{Entry, Key, KeyRange, Revision, Txn, Write};

#[derive(Debug, Clone)]
struct Change {
    revision: Revision,
    key: Key,
    /// `None` when it was deleted.
    entry: Option<Entry>,
}

/// A change of a key: its revision, the key, what is there now and what was before.
pub type Seen = (Revision, Key, Option<Entry>, Option<Entry>);

#[derive(Debug, Clone)]
pub struct Reference {
    changes: Vec<Change>,
    /// What a crash leaves of the volatile keys.
    on_disk: BTreeMap<Key, Entry>,
    revision: Revision,
    highest: Revision,
    opened_at: Revision,
}

fn is_volatile(key: &[u8]) -> bool {
    key.starts_with(b"/v/")
}

impl Reference {
    pub fn new(revision: Revision) -> Self {
        let (changes, on_disk) = (Vec::new(), BTreeMap::new());
        Self { changes, on_disk, revision, highest: 0, opened_at: revision }
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The highest revision that anyone was told of.
    pub fn highest_seen(&self) -> Revision {
        self.highest
    }

    pub fn opened_at(&self) -> Revision {
        self.opened_at
    }

    fn state(&self, revision: Revision) -> BTreeMap<Key, Entry> {
        let mut state = BTreeMap::new();
        for change in self.changes.iter().filter(|it| it.revision <= revision) {
            match &change.entry {
                Some(entry) => state.insert(change.key.clone(), entry.clone()),
                None => state.remove(&change.key),
            };
        }
        state
    }

    pub fn latest(&self) -> Vec<Entry> {
        self.state(Revision::MAX).into_values().collect()
    }

    pub fn mod_revision(&self, key: &[u8]) -> Revision {
        self.state(Revision::MAX).get(key).map_or(0, |it| it.mod_revision)
    }

    pub fn range(&self, range: &KeyRange, revision: Revision) -> Vec<Entry> {
        self.state(revision).into_values().filter(|it| range.contains(&it.key)).collect()
    }

    pub fn changes(&self, range: &KeyRange, after: Revision) -> Vec<Seen> {
        let mut state: BTreeMap<Key, Entry> = BTreeMap::new();
        let mut seen = Vec::new();
        for Change { revision, key, entry } in &self.changes {
            let before = match entry {
                Some(entry) => state.insert(key.clone(), entry.clone()),
                None => state.remove(key),
            };
            if *revision > after && range.contains(key) {
                seen.push((*revision, key.clone(), entry.clone(), before));
            }
        }
        seen
    }

    /// The revision that it leads to; `None` when its condition does not hold.
    pub fn txn(&mut self, txn: &Txn) -> Option<Revision> {
        if txn.conditions.iter().any(|it| self.mod_revision(&it.key) != it.mod_revision) {
            return None;
        }
        let state = self.state(Revision::MAX);
        let revision = self.revision + 1;
        for write in &txn.writes {
            let key = write.key().clone();
            let before = state.get(&key);
            let entry = match write {
                Write::Put { value, .. } => Some(entry(&key, value, revision, before)),
                Write::Delete { .. } if before.is_none() => continue,
                Write::Delete { .. } => None,
            };
            self.changes.push(Change { revision, key, entry });
            self.revision = revision;
        }
        self.highest = self.highest.max(self.revision);
        Some(self.revision)
    }

    pub fn checkpoint(&mut self) {
        self.on_disk = self.state(Revision::MAX);
        self.on_disk.retain(|key, _| is_volatile(key));
    }

    pub fn opened_cleanly(&mut self) {
        self.opened_at = self.revision;
    }

    pub fn opened_at_revision(&mut self, revision: Revision) {
        self.revision = revision;
        self.opened_at = revision;
        self.highest = self.highest.max(revision);
    }

    /// What a crash makes of it: durable keys as they are, volatile ones as they were written last.
    pub fn after_crash(&self, revision: Revision) -> Self {
        let mut state = self.state(Revision::MAX);
        state.retain(|key, _| !is_volatile(key));
        state.extend(self.on_disk.clone());
        let mut changes: Vec<Change> = state
            .into_iter()
            .map(|(key, it)| Change { revision: it.mod_revision, key, entry: Some(it) })
            .collect();
        changes.sort_by_key(|it| it.revision);
        Self { changes, revision, ..self.clone() }
    }
}

fn entry(key: &Key, value: &Bytes, revision: Revision, before: Option<&Entry>) -> Entry {
    Entry {
        key: key.clone(),
        value: value.clone(),
        mod_revision: revision,
        create_revision: before.map_or(revision, |it| it.create_revision),
        version: before.map_or(1, |it| it.version + 1),
        lease: None,
    }
}

//! Leases: keys that end together when nobody keeps them alive. Pure: time is an argument, counted
//! from any fixed point.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::store::{Key, LeaseId};

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    deadline: Duration,
    keys: BTreeSet<Key>,
}

/// Every lease that there is.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    by_key: HashMap<Key, LeaseId>,
    next: LeaseId,
}

impl Leases {
    /// No leases; the first gets a number above `highest`.
    pub(crate) fn new(highest: LeaseId) -> Self {
        Self { next: highest + 1, ..Self::default() }
    }

    pub(crate) fn grant(&mut self, ttl: Duration, now: Duration) -> LeaseId {
        let id = self.next;
        self.add(id, ttl, now);
        id
    }

    /// Adds a lease that the disk remembers. Its time begins anew.
    pub(crate) fn add(&mut self, id: LeaseId, ttl: Duration, now: Duration) {
        self.next = self.next.max(id + 1);
        self.leases.insert(id, Lease { ttl, deadline: now + ttl, keys: BTreeSet::new() });
    }

    /// Whether there was such a lease.
    pub(crate) fn keep_alive(&mut self, id: LeaseId, now: Duration) -> bool {
        let Some(lease) = self.leases.get_mut(&id) else { return false };
        lease.deadline = now + lease.ttl;
        true
    }

    pub(crate) fn contains(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    /// How long a lease lasts without being kept alive.
    pub(crate) fn ttl(&self, id: LeaseId) -> Option<Duration> {
        self.leases.get(&id).map(|lease| lease.ttl)
    }

    /// `key` now ends with `lease`, and with no other.
    pub(crate) fn attach(&mut self, key: &Key, lease: Option<LeaseId>) {
        if let Some(before) = self.by_key.remove(key)
            && let Some(lease) = self.leases.get_mut(&before)
        {
            lease.keys.remove(key);
        }
        if let Some(id) = lease
            && let Some(lease) = self.leases.get_mut(&id)
        {
            lease.keys.insert(key.clone());
            self.by_key.insert(key.clone(), id);
        }
    }

    /// The keys that end with `id`.
    pub(crate) fn keys(&self, id: LeaseId) -> Option<Vec<Key>> {
        self.leases.get(&id).map(|lease| lease.keys.iter().cloned().collect())
    }

    /// Forgets a lease; its keys belong to none.
    pub(crate) fn remove(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.remove(&id) {
            for key in lease.keys {
                self.by_key.remove(&key);
            }
        }
    }

    /// Leases whose time is over.
    pub(crate) fn expired(&self, now: Duration) -> Vec<LeaseId> {
        self.leases.iter().filter(|(_, lease)| lease.deadline <= now).map(|(id, _)| *id).collect()
    }

    /// When the next one ends.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.leases.values().map(|lease| lease.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: &str) -> Key {
        Arc::from(name.as_bytes())
    }

    #[test]
    fn a_lease_that_is_kept_alive_outlasts_one_that_is_not() {
        let mut leases = Leases::new(0);
        let kept = leases.grant(2 * SECOND, Duration::ZERO);
        let left = leases.grant(2 * SECOND, Duration::ZERO);
        assert!(leases.keep_alive(kept, SECOND));
        assert_eq!(leases.next_deadline(), Some(2 * SECOND));
        assert_eq!(leases.expired(2 * SECOND), [left]);
        leases.remove(left);
        assert!(!leases.keep_alive(left, 2 * SECOND));
        assert_eq!(leases.expired(3 * SECOND), [kept]);
    }

    #[test]
    fn a_key_ends_with_the_lease_that_it_had_last() {
        let mut leases = Leases::new(0);
        let first = leases.grant(SECOND, Duration::ZERO);
        let second = leases.grant(SECOND, Duration::ZERO);
        leases.attach(&key("a"), Some(first));
        leases.attach(&key("a"), Some(second));
        leases.attach(&key("b"), Some(second));
        leases.attach(&key("b"), None);
        assert_eq!(leases.keys(first), Some(vec![]));
        assert_eq!(leases.keys(second), Some(vec![key("a")]));
    }

    #[test]
    fn numbers_are_never_those_of_leases_before() {
        let mut leases = Leases::new(40);
        leases.add(50, SECOND, Duration::ZERO);
        assert_eq!(leases.grant(SECOND, Duration::ZERO), 51);
        leases.remove(51);
        assert_eq!(leases.grant(SECOND, Duration::ZERO), 52);
    }
}

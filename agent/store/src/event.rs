//! One change of one key, built once and shared by everyone who watches it.

use std::any::Any;
use std::fmt;
use std::sync::OnceLock;

use crate::store::{Entry, Key, Revision};

/// One change of one key.
pub struct Event {
    /// The revision that made it. Changes of one transaction have the same.
    pub revision: Revision,
    /// What changed.
    pub key: Key,
    /// What is there now; `None` when it was deleted.
    pub entry: Option<Entry>,
    /// What was there before; `None` when it was created.
    pub previous: Option<Entry>,
    /// Which of the transaction's changes, in its lowest bits: gives all changes one order.
    pub(crate) row: u64,
    derived: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Event {
    pub(crate) fn new(row: u64, key: Key, entry: Option<Entry>, previous: Option<Entry>) -> Self {
        let revision = crate::index::revision_of(row);
        Self { revision, key, entry, previous, row, derived: OnceLock::new() }
    }

    /// An event of an engine of your own, or for a test.
    #[must_use]
    pub fn of(revision: Revision, key: Key, now: Option<Entry>, before: Option<Entry>) -> Self {
        Self::new(crate::index::row_of(revision, 0), key, now, before)
    }

    /// What `make` makes of this event, made by the first who asks: a thousand watchers decode and
    /// encode it once. `None` if another type was asked for before; one process has one such type.
    pub fn derived<T, F>(&self, make: F) -> Option<&T>
    where
        T: Any + Send + Sync,
        F: FnOnce(&Self) -> T,
    {
        self.derived.get_or_init(|| Box::new(make(self))).downcast_ref()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("revision", &self.revision)
            .field("key", &String::from_utf8_lossy(&self.key))
            .field("entry", &self.entry)
            .field("previous", &self.previous)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn what_is_derived_is_made_once() {
        let event = Arc::new(Event::of(3, Arc::from(b"a".as_slice()), None, None));
        let made = AtomicU32::new(0);
        let derive = |event: &Event| {
            made.fetch_add(1, Ordering::Relaxed);
            event.revision.to_string()
        };
        assert_eq!(event.derived(derive), Some(&"3".to_owned()));
        assert_eq!(event.derived(derive), Some(&"3".to_owned()));
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert_eq!(event.derived(|_| 1_u8), None);
    }
}

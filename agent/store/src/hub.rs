//! Who watches what: hands each change to those whose range it is in. Never waits for a watcher:
//! one whose queue is full is let go, and reads on from history.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::event::Event;
use crate::key_range::KeyRange;
use crate::store::{Key, Revision};

/// Changes that wait for one watcher before it counts as slow.
const QUEUE: usize = 256;

type Slot = mpsc::Sender<Arc<Event>>;

#[derive(Debug, Default)]
struct Inner {
    /// Watchers of one key: there may be thousands, so they are found by it.
    by_key: HashMap<Key, Vec<Slot>>,
    /// Watchers of other ranges: few different ones.
    by_range: Vec<(KeyRange, Vec<Slot>)>,
    dispatched: Revision,
    closed: bool,
    /// Watchers that the last sweep left, and how many came since.
    swept: usize,
    registered_since_sweep: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<Inner>);

impl Hub {
    pub(crate) fn new(revision: Revision) -> Self {
        Self(Mutex::new(Inner { dispatched: revision, ..Inner::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes of `range` after the returned revision will arrive in the queue. `None` when the
    /// store is closed.
    pub(crate) fn register(
        &self,
        range: &KeyRange,
    ) -> Option<(mpsc::Receiver<Arc<Event>>, Revision)> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut inner = self.lock();
        if inner.closed {
            return None;
        }
        inner.registered_since_sweep += 1;
        if inner.registered_since_sweep > 64.max(inner.swept) {
            inner.sweep();
        }
        if let Some(key) = range.only_key() {
            inner.by_key.entry(Key::from(key)).or_default().push(sender);
        } else if let Some((_, slots)) = inner.by_range.iter_mut().find(|(it, _)| it == range) {
            slots.push(sender);
        } else {
            inner.by_range.push((range.clone(), vec![sender]));
        }
        Some((receiver, inner.dispatched))
    }

    /// Hands out the changes up to `revision`. `make` builds the event of a key, and is called only
    /// for keys that someone watches.
    pub(crate) fn dispatch<'a>(
        &self,
        revision: Revision,
        changes: impl Iterator<Item = (&'a Key, usize)>,
        make: impl Fn(usize) -> Option<Event>,
    ) {
        let mut inner = self.lock();
        for (key, place) in changes {
            if !inner.is_watched(key) {
                continue;
            }
            if let Some(event) = make(place) {
                inner.send(key, &Arc::new(event));
            }
        }
        inner.dispatched = revision;
    }

    /// The revision up to which every change is in the queues.
    pub(crate) fn dispatched(&self) -> Revision {
        self.lock().dispatched
    }

    pub(crate) fn watchers(&self) -> usize {
        let inner = self.lock();
        let ranges = inner.by_range.iter().map(|(_, slots)| slots);
        ranges.chain(inner.by_key.values()).flatten().filter(|slot| !slot.is_closed()).count()
    }

    /// Ends every watch.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.by_key.clear();
        inner.by_range.clear();
    }
}

impl Inner {
    fn is_watched(&self, key: &Key) -> bool {
        self.by_key.contains_key(key) || self.by_range.iter().any(|(range, _)| range.contains(key))
    }

    fn send(&mut self, key: &Key, event: &Arc<Event>) {
        // A full queue and a watcher that left are alike here: the slot goes.
        let keep = |slot: &Slot| slot.try_send(event.clone()).is_ok();
        if let Some(slots) = self.by_key.get_mut(key) {
            slots.retain(keep);
            if slots.is_empty() {
                self.by_key.remove(key);
            }
        }
        for (range, slots) in &mut self.by_range {
            if range.contains(key) {
                slots.retain(keep);
            }
        }
        self.by_range.retain(|(_, slots)| !slots.is_empty());
    }

    /// Forgets watchers that left without a change having told so.
    fn sweep(&mut self) {
        let mut left = 0;
        self.by_key.retain(|_, slots| {
            slots.retain(|slot| !slot.is_closed());
            left += slots.len();
            !slots.is_empty()
        });
        self.by_range.retain_mut(|(_, slots)| {
            slots.retain(|slot| !slot.is_closed());
            left += slots.len();
            !slots.is_empty()
        });
        self.swept = left;
        self.registered_since_sweep = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Arc::from(name.as_bytes())
    }

    fn change(hub: &Hub, name: &str, revision: Revision) {
        let key = key(name);
        hub.dispatch(revision, [(&key, 0)].into_iter(), |_| {
            Some(Event::of(revision, key.clone(), None, None))
        });
    }

    #[test]
    fn a_change_reaches_those_who_watch_its_key_or_a_range_around_it() {
        let hub = Hub::new(0);
        let (mut one, _) = hub.register(&KeyRange::key(b"a/1")).unwrap();
        let (mut all, _) = hub.register(&KeyRange::prefix(b"a/")).unwrap();
        let (mut other, _) = hub.register(&KeyRange::prefix(b"b/")).unwrap();
        change(&hub, "a/1", 1);
        change(&hub, "a/2", 2);
        assert_eq!(one.try_recv().unwrap().revision, 1);
        assert!(one.try_recv().is_err());
        assert_eq!(all.try_recv().unwrap().revision, 1);
        assert_eq!(all.try_recv().unwrap().revision, 2);
        assert!(other.try_recv().is_err());
        assert_eq!(hub.dispatched(), 2);
    }

    #[test]
    fn a_change_that_nobody_watches_is_not_built() {
        let hub = Hub::new(0);
        let _watch = hub.register(&KeyRange::prefix(b"b/")).unwrap();
        let a = key("a");
        hub.dispatch(1, [(&a, 0)].into_iter(), |_| panic!("nobody watches it"));
    }

    #[test]
    fn a_slow_watcher_is_let_go_and_its_queue_stays_readable() {
        let hub = Hub::new(0);
        let (mut slow, _) = hub.register(&KeyRange::prefix(b"a")).unwrap();
        for revision in 1..=QUEUE as u64 + 1 {
            change(&hub, "a", revision);
        }
        assert_eq!(hub.watchers(), 0);
        for revision in 1..=QUEUE as u64 {
            assert_eq!(slow.try_recv().unwrap().revision, revision);
        }
        assert!(slow.try_recv().is_err());
    }

    #[test]
    fn watchers_that_left_a_quiet_range_are_forgotten() {
        let hub = Hub::new(0);
        for _ in 0..1000 {
            hub.register(&KeyRange::prefix(b"quiet")).unwrap();
            hub.register(&KeyRange::key(b"quiet")).unwrap();
        }
        let inner = hub.lock();
        let slots: usize = inner.by_range.iter().map(|(_, slots)| slots.len()).sum();
        assert!(slots < 200 && inner.by_key.values().map(Vec::len).sum::<usize>() < 200);
    }

    #[test]
    fn closing_ends_every_watch() {
        let hub = Hub::new(0);
        let (mut watch, _) = hub.register(&KeyRange::all()).unwrap();
        hub.close();
        assert!(watch.try_recv().is_err() && watch.is_closed());
        assert!(hub.register(&KeyRange::all()).is_none());
    }
}

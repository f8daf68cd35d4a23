//! Values that were read or written lately, by row, within a bound of bytes.
//!
//! Two generations: what is used moves to the young one, and when that is half of the bound, the
//! old one goes. No list to keep in order, so that a hit costs one look-up.

use std::collections::HashMap;

use bytes::Bytes;

/// What an entry costs beside its value's bytes.
const OVERHEAD_BYTES: usize = 96;

#[derive(Debug)]
pub(crate) struct Cache {
    young: HashMap<u64, Bytes>,
    old: HashMap<u64, Bytes>,
    young_bytes: usize,
    max_bytes: usize,
}

impl Cache {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, max_bytes }
    }

    pub(crate) fn get(&mut self, row: u64) -> Option<Bytes> {
        if let Some(value) = self.young.get(&row) {
            return Some(value.clone());
        }
        let value = self.old.remove(&row)?;
        self.insert(row, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&mut self, row: u64, value: Bytes) {
        let bytes = value.len() + OVERHEAD_BYTES;
        let half = self.max_bytes / 2;
        if bytes > half / 4 {
            return;
        }
        if self.young_bytes + bytes > half {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(row, value).is_none() {
            self.young_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(cache: &Cache) -> usize {
        cache.young.values().chain(cache.old.values()).map(|it| it.len() + OVERHEAD_BYTES).sum()
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = Cache::new(100_000);
        cache.insert(0, Bytes::from(vec![0; 900]));
        for row in 1..1000 {
            cache.insert(row, Bytes::from(vec![1; 900]));
            assert!(cache.get(0).is_some());
            assert!(held(&cache) <= 100_000);
        }
        assert!(cache.get(1).is_none() && cache.get(999).is_some());
    }

    #[test]
    fn a_value_that_would_push_out_the_rest_is_not_kept() {
        let mut cache = Cache::new(100_000);
        cache.insert(1, Bytes::from(vec![0; 50_000]));
        assert!(cache.get(1).is_none());
    }
}

//! Sets of byte or block ranges: sorted, disjoint, never touching. Pure arithmetic.

use std::ops::Range;

/// A set of numbers, kept as the ranges that it is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// The set without anything in it.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds `range`; what touches or overlaps becomes one.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|known| known.end < range.start);
        let after = self.0.partition_point(|known| known.start <= range.end);
        let touched = &self.0[first..after];
        let start = touched.first().map_or(range.start, |known| known.start.min(range.start));
        let end = touched.last().map_or(range.end, |known| known.end.max(range.end));
        self.0.splice(first..after, std::iter::once(start..end));
    }

    /// The parts of `range` that are in the set, in order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let first = self.0.partition_point(|known| known.end <= range.start);
        self.0[first..]
            .iter()
            .take_while(move |known| known.start < range.end)
            .map(move |known| known.start.max(range.start)..known.end.min(range.end))
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().cloned()
    }

    /// How many numbers there are in the set.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// The set in units of `unit`, each unit that is touched counted whole, none at `count` or
    /// beyond.
    pub fn in_units(&self, unit: u64, count: u64) -> Self {
        let mut units = Self::new();
        for range in &self.0 {
            units.insert((range.start / unit).min(count)..range.end.div_ceil(unit).min(count));
        }
        units
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        let range = (0_u64..200, 0_u64..20).prop_map(|(start, length)| start..start + length);
        proptest::collection::vec(range, 0..20)
    }

    proptest! {
        #[test]
        fn set_holds_exactly_what_was_inserted(parts in ranges(), window in ranges()) {
            let mut set = Ranges::new();
            let mut model = BTreeSet::new();
            for part in parts {
                model.extend(part.clone());
                set.insert(part);
            }
            let found: Vec<u64> = set.iter().flatten().collect();
            prop_assert_eq!(found, model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.total(), model.len() as u64);
            for (one, next) in set.iter().zip(set.iter().skip(1)) {
                prop_assert!(one.end < next.start, "ranges neither overlap nor touch");
            }
            for window in window {
                let found: Vec<u64> = set.within(window.clone()).flatten().collect();
                let wanted: Vec<u64> = model.iter().copied().filter(|n| window.contains(n)).collect();
                prop_assert_eq!(found, wanted);
            }
            let units: BTreeSet<u64> = model.iter().map(|n| n / 7).filter(|n| *n < 25).collect();
            let found: Vec<u64> = set.in_units(7, 25).iter().flatten().collect();
            prop_assert_eq!(found, units.into_iter().collect::<Vec<_>>());
        }
    }
}

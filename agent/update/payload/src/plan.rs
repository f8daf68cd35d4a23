//! From the chunks that are missing to ranges of the data. Pure.
//!
//! Ranges that lie close together become one, since a request costs more than a few bytes; when
//! all of them cost as much as the rest of the part, the rest of the part is one range.

use std::ops::Range;

use crate::index::Index;

/// What a request costs beside its body, in bytes: its headers and the answer's.
const REQUEST: u64 = 400;

/// Bytes that are rather fetched again than stepped over by a second request.
const GAP: u64 = 2 << 10;

/// A range of the data, and what is read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Which of the part's chunks come out of it, by their place in the part. All of them do, even
    /// those that would be found elsewhere.
    pub places: Range<usize>,
    /// First byte in the data.
    pub begin: u64,
    /// The byte after the last.
    pub end: u64,
}

/// The runs for a part from its chunk `first` on, of which `has` says what need not be fetched.
pub fn runs(index: &Index, part: usize, first: usize, has: impl Fn(u32) -> bool) -> Vec<Run> {
    let uses = index.parts.get(part).map_or(&[][..], Vec::as_slice);
    let mut runs: Vec<Run> = Vec::new();
    for (place, number) in uses.iter().enumerate().skip(first) {
        let Some(chunk) = index.chunks.get(*number as usize).filter(|_| !has(*number)) else {
            continue;
        };
        let end = chunk.offset + u64::from(chunk.stored);
        match runs.last_mut() {
            Some(run) if joins(index, uses, run, place, chunk.offset, GAP) => {
                run.places.end = place + 1;
                run.end = end;
            }
            _ => runs.push(Run { places: place..place + 1, begin: chunk.offset, end }),
        }
    }
    let whole = whole(index, uses, first);
    let cost = |runs: &[Run]| runs.iter().map(|run| run.end - run.begin + REQUEST).sum::<u64>();
    if cost(&whole) <= cost(&runs) { whole } else { runs }
}

/// Runs over everything from `first` on: one, but where a chunk was used before.
fn whole(index: &Index, uses: &[u32], first: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (place, number) in uses.iter().enumerate().skip(first) {
        let Some(chunk) = index.chunks.get(*number as usize) else { continue };
        let end = chunk.offset + u64::from(chunk.stored);
        match runs.last_mut() {
            Some(run) if run.end == chunk.offset => {
                run.places.end = place + 1;
                run.end = end;
            }
            _ => runs.push(Run { places: place..place + 1, begin: chunk.offset, end }),
        }
    }
    runs
}

/// Whether the chunks between the run and `place` follow each other in the data, with no more than
/// `gap` bytes of them.
fn joins(index: &Index, uses: &[u32], run: &Run, place: usize, offset: u64, gap: u64) -> bool {
    if offset < run.end || offset - run.end > gap {
        return false;
    }
    let mut at = run.end;
    for number in &uses[run.places.end..place] {
        match index.chunks.get(*number as usize) {
            Some(chunk) if chunk.offset == at => at += u64::from(chunk.stored),
            _ => return false,
        }
    }
    at == offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Sizes;
    use crate::index::Chunk;

    /// Chunks of the given stored lengths, all in one part, in the given order.
    fn index(stored: &[u32], uses: &[u32]) -> Index {
        let mut offset = 0;
        let mut chunks = Vec::new();
        for length in stored {
            chunks.push(Chunk { digest: [0; 32], length: *length, stored: *length, offset });
            offset += u64::from(*length);
        }
        Index { sizes: Sizes::PUBLISHED, chunks, parts: vec![uses.to_vec()] }
    }

    fn ranges(index: &Index, first: usize, has: &[u32]) -> Vec<(u64, u64)> {
        let runs = runs(index, 0, first, |number| has.contains(&number));
        runs.into_iter().map(|run| (run.begin, run.end)).collect()
    }

    #[test]
    fn only_what_is_missing_is_fetched() {
        let index = index(&[10_000; 6], &[0, 1, 2, 3, 4, 5]);
        assert_eq!(ranges(&index, 0, &[0, 2, 3, 5]), [(10_000, 20_000), (40_000, 50_000)]);
        assert_eq!(ranges(&index, 0, &[0, 1, 2, 3, 4, 5]), []);
        assert_eq!(ranges(&index, 5, &[]), [(50_000, 60_000)]);
        assert_eq!(ranges(&index, 6, &[]), []);
    }

    #[test]
    fn small_gap_is_fetched_with_its_neighbours() {
        let small = index(&[10_000, 1_000, 10_000, 10_000], &[0, 1, 2, 3]);
        let runs = runs(&small, 0, 0, |number| number == 1 || number == 3);
        assert_eq!(runs, [Run { places: 0..3, begin: 0, end: 21_000 }]);
    }

    #[test]
    fn whole_part_is_one_range_when_that_costs_no_more() {
        let index = index(&[3_000; 100], &(0..100).collect::<Vec<_>>());
        // Nothing is there: 100 neighbours are one range anyway.
        assert_eq!(ranges(&index, 0, &[]), [(0, 300_000)]);
        // Every 20th is there, but a request for each gap would cost 400 bytes to save 3,000.
        let some: Vec<u32> = (0..100).filter(|n| n % 20 == 19).collect();
        assert_eq!(ranges(&index, 0, &some).len(), 5);
    }

    #[test]
    fn chunk_that_was_used_before_is_a_range_of_its_own() {
        let index = index(&[10_000, 10_000], &[0, 1, 0]);
        assert_eq!(ranges(&index, 0, &[]), [(0, 20_000), (0, 10_000)]);
        assert_eq!(ranges(&index, 0, &[0]), [(10_000, 20_000)]);
    }

    #[test]
    fn every_missing_chunk_is_in_exactly_one_run() {
        let index = index(&[500, 9_000, 100, 7_000, 30, 6_000], &[0, 1, 2, 3, 0, 4, 5, 2]);
        for mask in 0..64u32 {
            let has = |number: u32| mask & (1 << number) != 0;
            let runs = runs(&index, 0, 0, has);
            for (place, number) in index.parts[0].iter().enumerate() {
                let covering = runs.iter().filter(|run| run.places.contains(&place)).count();
                assert!(covering == 1 || (covering == 0 && has(*number)), "{mask} {place}");
            }
            for run in runs {
                let bytes: u64 = index.parts[0][run.places.clone()]
                    .iter()
                    .map(|number| u64::from(index.chunks[*number as usize].stored))
                    .sum();
                assert_eq!(bytes, run.end - run.begin);
            }
        }
    }
}

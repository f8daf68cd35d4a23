//! From bytes of the image to what is done with them on the target. Pure.
//! Must never leave out a byte that is wanted, nor call something zero that is not.

use std::ops::Range;

use super::piece::is_zero;
use super::ranges::Ranges;

/// Zeros are looked for in blocks of this size.
pub const BLOCK: u64 = 4096;

/// Part of the image, and what its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Where, in bytes from the start of the image.
    pub range: Range<u64>,
    /// Whether there is nothing but zeros.
    pub is_zero: bool,
}

/// Splits `bytes`, which stand at `offset` of the image, into runs of zeros and of other bytes.
/// A run of zeros shorter than `least` counts among the bytes around it. Where `wanted` is given,
/// nothing else is listed.
pub fn split(offset: u64, bytes: &[u8], wanted: Option<&Ranges>, least: u64) -> Vec<Extent> {
    let all = offset..offset + bytes.len() as u64;
    let mut extents = Vec::new();
    match wanted {
        None => split_range(offset, bytes, all, least, &mut extents),
        Some(wanted) => wanted
            .within(all)
            .for_each(|part| split_range(offset, bytes, part, least, &mut extents)),
    }
    extents
}

/// The parts of a run of zeros that are wanted.
pub fn split_zeros(range: Range<u64>, wanted: Option<&Ranges>) -> Vec<Extent> {
    let zeros = |range| Extent { range, is_zero: true };
    match wanted {
        None => vec![zeros(range)],
        Some(wanted) => wanted.within(range).map(zeros).collect(),
    }
}

fn split_range(offset: u64, bytes: &[u8], part: Range<u64>, least: u64, to: &mut Vec<Extent>) {
    let first = to.len();
    let mut at = part.start;
    while at < part.end {
        // Blocks count from the start of the image, so that they are those of the target.
        let end = (at - at % BLOCK + BLOCK).min(part.end);
        let is_zero = is_zero(&bytes[(at - offset) as usize..(end - offset) as usize]);
        match to[first..].last_mut() {
            Some(last) if last.is_zero == is_zero => last.range.end = end,
            _ => to.push(Extent { range: at..end, is_zero }),
        }
        at = end;
    }
    let runs = to.split_off(first);
    for mut run in runs {
        run.is_zero &= run.range.end - run.range.start >= least;
        match to[first..].last_mut() {
            Some(last) if last.is_zero == run.is_zero => last.range.end = run.range.end,
            _ => to.push(run),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image() -> impl Strategy<Value = Vec<u8>> {
        let block = prop_oneof![
            (1..9_000_usize).prop_map(|length| vec![0; length]),
            (1..9_000_usize).prop_map(|length| vec![5; length]),
        ];
        proptest::collection::vec(block, 0..12).prop_map(|blocks| blocks.concat())
    }

    fn wanted() -> impl Strategy<Value = Option<Ranges>> {
        let range =
            (0_u64..20, 0_u64..9).prop_map(|(start, length)| start * 4096..(start + length) * 4096);
        proptest::option::of(proptest::collection::vec(range, 0..6).prop_map(|parts| {
            let mut ranges = Ranges::new();
            parts.into_iter().for_each(|part| ranges.insert(part));
            ranges
        }))
    }

    proptest! {
        #[test]
        fn extents_are_what_is_wanted_and_zero_only_where_the_image_is(
            image in image(), wanted in wanted(), skipped in 0_u64..3, least in 0_u64..20_000,
        ) {
            let offset = skipped * 512;
            let extents = split(offset, &image, wanted.as_ref(), least);
            let all = offset..offset + image.len() as u64;
            let mut covered = Ranges::new();
            for extent in &extents {
                let bytes = &image[(extent.range.start - offset) as usize..][..(extent.range.end - extent.range.start) as usize];
                prop_assert!(!bytes.is_empty());
                prop_assert!(!extent.is_zero || is_zero(bytes));
                prop_assert!(!extent.is_zero || bytes.len() as u64 >= least);
                covered.insert(extent.range.clone());
            }
            let mut expected = Ranges::new();
            match &wanted {
                None => expected.insert(all),
                Some(wanted) => wanted.within(all).for_each(|part| expected.insert(part)),
            }
            prop_assert_eq!(&covered, &expected);
            let total: u64 = extents.iter().map(|extent| extent.range.end - extent.range.start).sum();
            prop_assert_eq!(total, expected.total(), "nothing is listed twice");
        }
    }

    #[test]
    fn long_runs_of_zeros_are_told_apart_and_short_ones_are_not() {
        let mut image = vec![0; 10 * 4096];
        image[5 * 4096] = 1;
        let found = split(0, &image, None, 4096);
        let borders: Vec<_> = found.iter().map(|e| (e.range.end / 4096, e.is_zero)).collect();
        assert_eq!(borders, [(5, true), (6, false), (10, true)]);
        let found = split(0, &image, None, 5 * 4096);
        let borders: Vec<_> = found.iter().map(|e| (e.range.end / 4096, e.is_zero)).collect();
        assert_eq!(borders, [(5, true), (10, false)]);
    }

    #[test]
    fn hole_is_cut_to_what_is_wanted() {
        let mut wanted = Ranges::new();
        wanted.insert(0..4096);
        wanted.insert(8192..1 << 20);
        let found = split_zeros(4096..16384, Some(&wanted));
        assert_eq!(found, [Extent { range: 8192..16384, is_zero: true }]);
        assert_eq!(split_zeros(1..5, None), [Extent { range: 1..5, is_zero: true }]);
    }
}

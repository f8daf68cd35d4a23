//! Which servers to believe: those whose claims can all be true at once, when they are the
//! majority (Marzullo's intersection); of these the median. Pure.

/// What one exchange with a server tells; nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// What must be added to this clock to show the server's time.
    pub(crate) offset: i64,
    /// The true offset is within this of `offset`, if the server is right about itself.
    pub(crate) error: i64,
}

impl Sample {
    /// From the four times of an exchange: sent and returned by this clock, received and
    /// answered by the server's.
    pub(crate) fn new(
        sent: i64,
        received: i64,
        answered: i64,
        returned: i64,
        root_distance: i64,
    ) -> Self {
        let wide = i128::from;
        let offset = (wide(received) - wide(sent) + wide(answered) - wide(returned)) / 2;
        let delay = (wide(returned) - wide(sent)) - (wide(answered) - wide(received));
        let error = delay.max(0) / 2 + wide(root_distance);
        let clamp = |value: i128| value.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        Self { offset: clamp(offset), error: clamp(error) }
    }
}

/// The outcome of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Most servers agree.
    Agreed {
        /// The median of those that agree.
        offset: i64,
        /// How many agree.
        agreeing: usize,
    },
    /// No majority agrees on any time.
    Split,
    /// There are no samples.
    Empty,
}

/// Servers are seldom as exact as they say: links are not symmetric.
const SLACK: i64 = 20_000_000;

pub(crate) fn vote(samples: &[Sample]) -> Vote {
    if samples.is_empty() {
        return Vote::Empty;
    }
    let low = |sample: &Sample| sample.offset.saturating_sub(sample.error).saturating_sub(SLACK);
    let high = |sample: &Sample| sample.offset.saturating_add(sample.error).saturating_add(SLACK);
    // The point that most intervals share is the lower end of one of them.
    let believing = |point: i64| {
        samples.iter().filter(move |sample| low(sample) <= point && point <= high(sample))
    };
    let best = samples.iter().map(low).max_by_key(|point| believing(*point).count());
    let mut offsets: Vec<i64> =
        best.into_iter().flat_map(believing).map(|sample| sample.offset).collect();
    if offsets.len() * 2 <= samples.len() {
        return Vote::Split;
    }
    offsets.sort_unstable();
    Vote::Agreed { offset: median(&offsets), agreeing: offsets.len() }
}

fn median(sorted: &[i64]) -> i64 {
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let lower = sorted.get((sorted.len().max(1) - 1) / 2).copied().unwrap_or_default();
    ((i128::from(lower) + i128::from(upper)) / 2) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;
    const HOUR: i64 = 3_600_000 * MS;

    fn samples(offsets: &[i64]) -> Vec<Sample> {
        offsets.iter().map(|&offset| Sample { offset, error: 5 * MS }).collect()
    }

    #[test]
    fn offset_and_error_come_from_the_four_times() {
        // The server is 100 ms ahead, each way takes 10 ms, and it works for 4 ms.
        let sample = Sample::new(0, 110 * MS, 114 * MS, 24 * MS, 3 * MS);
        assert_eq!(sample, Sample { offset: 100 * MS, error: 13 * MS });
    }

    #[test]
    fn one_server_is_believed() {
        assert_eq!(vote(&samples(&[7])), Vote::Agreed { offset: 7, agreeing: 1 });
        assert_eq!(vote(&[]), Vote::Empty);
    }

    #[test]
    fn one_wrong_server_of_three_is_outvoted() {
        for wrong in [HOUR, -HOUR, -60 * 365 * 24 * HOUR / 2] {
            let voted = vote(&samples(&[10 * MS, wrong, 12 * MS]));
            assert_eq!(voted, Vote::Agreed { offset: 11 * MS, agreeing: 2 });
        }
    }

    #[test]
    fn two_that_disagree_are_a_split() {
        assert_eq!(vote(&samples(&[0, HOUR])), Vote::Split);
        assert_eq!(vote(&samples(&[0, MS, HOUR, HOUR + MS])), Vote::Split);
    }

    #[test]
    fn the_median_ignores_how_far_the_edge_is() {
        let voted = vote(&samples(&[0, MS, 2 * MS, 20 * MS, HOUR]));
        assert_eq!(voted, Vote::Agreed { offset: 3 * MS / 2, agreeing: 4 });
    }

    #[test]
    fn a_vague_server_does_not_widen_the_others() {
        let mut all = samples(&[0, HOUR]);
        all.push(Sample { offset: HOUR / 2, error: HOUR });
        // The vague one agrees with either; which of the two is right stays open, but a
        // majority with the vague one exists, and the answer is within its claim.
        assert!(matches!(vote(&all), Vote::Agreed { agreeing: 2, .. }));
    }

    proptest! {
        #[test]
        fn a_majority_of_right_servers_always_wins(
            truth in -HOUR..HOUR,
            right in proptest::collection::vec(-5 * MS..5 * MS, 3..6),
            wrong in proptest::collection::vec(any::<i64>(), 0..3),
        ) {
            let right: Vec<i64> = right.iter().map(|noise| truth + noise).collect();
            let all: Vec<i64> = right.iter().copied().chain(wrong).collect();
            let Vote::Agreed { offset, .. } = vote(&samples(&all)) else {
                return Err(TestCaseError::fail("no majority"));
            };
            prop_assert!((offset - truth).abs() <= 60 * MS, "{} {}", offset, truth);
        }

        #[test]
        fn any_times_are_answered(times: [i64; 4], distance in 0..i64::MAX, more: [i64; 3]) {
            let mut all = vec![Sample::new(times[0], times[1], times[2], times[3], distance)];
            all.extend(more.iter().map(|&offset| Sample { offset, error: distance }));
            vote(&all);
        }
    }
}

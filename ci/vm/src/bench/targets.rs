//! What Holm promises of its figures, and which of these promises the measured ones keep. Pure.

use super::metric::Metrics;

/// A promise about one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The metric.
    pub metric: &'static str,
    /// What it may be.
    pub bound: Bound,
}

/// What a metric may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At most that, in the metric's unit.
    AtMost(f64),
    /// At most what another metric of the same run is.
    NoMoreThan(&'static str),
    /// At least this share of what another metric of the same run is.
    AtLeastShareOf(f64, &'static str),
    /// A count that is as high as there were runs.
    EveryRun,
}

/// All promises.
pub const TARGETS: [Target; 11] = [
    at_most("image.compressed", 64.0),
    Target { metric: "image.root", bound: Bound::NoMoreThan("image.root_budget") },
    Target { metric: "image.uki", bound: Bound::NoMoreThan("image.uki_budget") },
    Target { metric: "flash.rate", bound: Bound::AtLeastShareOf(0.9, "flash.rate.dd") },
    at_most("memory.pid1_rss", 2.0),
    at_most("memory.agent_rss", 12.0),
    at_most("memory.smallest_ram_that_serves", 128.0),
    at_most("boot.ready_minus_bare", 5.0),
    at_most("boot.again.ready_minus_bare", 5.0),
    Target {
        metric: "container.create_start",
        bound: Bound::NoMoreThan("container.create_start.runc"),
    },
    Target { metric: "boot.power_cuts_survived", bound: Bound::EveryRun },
];

const fn at_most(metric: &'static str, most: f64) -> Target {
    Target { metric, bound: Bound::AtMost(most) }
}

/// A line for each target whose metric was measured: kept or missed, with the numbers.
pub fn verdicts(metrics: &Metrics) -> Vec<Verdict> {
    TARGETS.iter().filter_map(|target| verdict(target, metrics)).collect()
}

/// Whether a promise is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// True if it is not.
    pub missed: bool,
    /// For people.
    pub text: String,
}

fn verdict(target: &Target, metrics: &Metrics) -> Option<Verdict> {
    let metric = metrics.get(target.metric)?;
    let (missed, wanted) = match target.bound {
        Bound::AtMost(most) => (metric.value > most, format!("at most {most}")),
        Bound::NoMoreThan(other) => {
            // Without the other there is nothing to hold it against, which is no success.
            let most = metrics.get(other).map(|other| other.value);
            let missed = most.is_none_or(|most| metric.value > most);
            let most = most.map_or("not measured".to_owned(), |most| most.to_string());
            (missed, format!("no more than {other}, {most}"))
        }
        Bound::AtLeastShareOf(share, other) => {
            let least = metrics.get(other).map(|other| share * other.value);
            let missed = least.is_none_or(|least| metric.value < least);
            let least = least.map_or("not measured".to_owned(), |least| format!("{least:.3}"));
            (missed, format!("at least {share} of {other}, {least}"))
        }
        Bound::EveryRun => (metric.value < metric.runs as f64, format!("all {}", metric.runs)),
    };
    let word = if missed { "MISSED" } else { "kept" };
    let text = format!("{word:6} {}: {} {}, {wanted}", target.metric, metric.value, metric.unit);
    Some(Verdict { missed, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts_of(values: &[(&str, f64)]) -> Vec<String> {
        let mut metrics = Metrics::default();
        for (name, value) in values {
            metrics.add(name, "x", &[*value]);
        }
        verdicts(&metrics).into_iter().map(|verdict| verdict.text).collect()
    }

    #[test]
    fn exactly_the_bound_is_kept_and_more_is_missed() {
        assert_eq!(
            verdicts_of(&[("memory.pid1_rss", 2.0), ("memory.agent_rss", 12.001)]),
            [
                "kept   memory.pid1_rss: 2 x, at most 2",
                "MISSED memory.agent_rss: 12.001 x, at most 12"
            ]
        );
    }

    #[test]
    fn a_peer_is_the_bound_and_its_absence_is_no_success() {
        let (own, peer) = ("container.create_start", "container.create_start.runc");
        assert!(verdicts_of(&[(own, 90.0), (peer, 100.0)])[0].starts_with("kept"));
        assert!(verdicts_of(&[(own, 110.0), (peer, 100.0)])[0].starts_with("MISSED"));
        assert_eq!(
            verdicts_of(&[(own, 90.0)]),
            [format!("MISSED {own}: 90 x, no more than {peer}, not measured")]
        );
    }

    #[test]
    fn a_share_of_a_peer_is_the_least_and_its_absence_is_no_success() {
        let (own, peer) = ("flash.rate", "flash.rate.dd");
        assert!(verdicts_of(&[(own, 90.0), (peer, 100.0)])[0].starts_with("kept"));
        assert!(verdicts_of(&[(own, 89.9), (peer, 100.0)])[0].starts_with("MISSED"));
        assert!(verdicts_of(&[(own, 90.0)])[0].starts_with("MISSED"));
    }

    #[test]
    fn one_power_cut_not_survived_is_a_miss() {
        for (survived, missed) in [(100, false), (99, true)] {
            let mut metrics = Metrics::default();
            metrics.add_count("boot.power_cuts_survived", "cuts", survived, 100);
            let verdicts = verdicts(&metrics);
            assert_eq!(verdicts.len(), 1);
            assert_eq!(verdicts[0].missed, missed, "{}", verdicts[0].text);
        }
    }

    #[test]
    fn what_was_not_measured_has_no_verdict() {
        assert_eq!(verdicts_of(&[("memory.shim_rss", 9.0)]), [""; 0]);
    }
}

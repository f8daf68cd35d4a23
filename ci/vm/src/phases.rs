//! Reads the phases of a boot from the console: which ran, how long each took, when all was ready.
//!
//! Must never invent a phase: a line that does not parse is not a phase.

use std::time::Duration;

/// One phase of a boot, as the node announced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it took, or ran until it failed.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// A boot that was announced on the console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The phases in the order they ended.
    pub phases: Vec<Phase>,
    /// From the kernel's start to that of the first phase, which is init's; where lines carry the
    /// kernel's time stamps.
    pub begun: Option<Duration>,
    /// From the kernel's start to ready.
    pub ready: Option<Duration>,
}

/// Reads the last boot in the console's lines.
pub fn last_boot<'a>(lines: impl IntoIterator<Item = &'a str>) -> Boot {
    let mut boot = Boot::default();
    for line in lines {
        if let Some(phase) = parse_phase(line) {
            // A first phase that comes again is a new boot on the same console.
            if boot.phases.first().is_some_and(|first| first.name == phase.name) {
                boot = Boot::default();
            }
            if boot.phases.is_empty() {
                boot.begun = parse_stamp(line).and_then(|ended| ended.checked_sub(phase.took));
            }
            boot.phases.push(phase);
        } else if let Some(ready) = parse_ready(line) {
            boot.ready = Some(ready);
        }
    }
    boot
}

/// Parses the kernel's time stamp, `[    2.113042] …`.
fn parse_stamp(line: &str) -> Option<Duration> {
    let (stamp, _) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    Duration::try_from_secs_f64(stamp.trim().parse().ok()?).ok()
}

/// Parses `holm: ready <n> ms after kernel start`, with or without the kernel's time stamp.
pub fn parse_ready(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once("holm: ready ")?;
    let number = rest.strip_suffix(" ms after kernel start")?;
    Some(Duration::from_millis(number.parse().ok()?))
}

/// Parses `holm: phase <name> took <n> ms` and `holm: phase <name> failed after <n> ms: <why>`.
pub fn parse_phase(line: &str) -> Option<Phase> {
    let (_, rest) = line.split_once("holm: phase ")?;
    let (name, outcome) = rest.split_once(' ')?;
    let (milliseconds, failure) = match outcome.strip_prefix("failed after ") {
        Some(failed) => {
            let (number, why) = failed.split_once(" ms: ")?;
            (number, Some(why.to_owned()))
        }
        None => (outcome.strip_prefix("took ")?.strip_suffix(" ms")?, None),
    };
    let took = Duration::from_millis(milliseconds.parse().ok()?);
    Some(Phase { name: name.to_owned(), took, failure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_its_phases_and_its_ready_line() {
        let boot = last_boot([
            "BdsDxe: starting Boot0001",
            "[    2.113] holm: phase initramfs took 113 ms",
            "holm: phase root took 40 ms",
            "holm: phase storage failed after 7 ms: no partition is named data",
            "holm: ready 4321 ms after kernel start",
        ]);
        let names: Vec<_> = boot.phases.iter().map(|phase| phase.name.as_str()).collect();
        assert_eq!(names, ["initramfs", "root", "storage"]);
        assert_eq!(boot.phases[0].took, Duration::from_millis(113));
        assert_eq!(boot.begun, Some(Duration::from_secs(2)));
        assert_eq!(boot.phases[2].failure.as_deref(), Some("no partition is named data"));
        assert_eq!(boot.ready, Some(Duration::from_millis(4321)));
    }

    #[test]
    fn only_the_last_boot_of_a_console_counts() {
        let boot = last_boot([
            "holm: phase initramfs took 1 ms",
            "holm: ready 10 ms after kernel start",
            "holm: phase initramfs took 2 ms",
        ]);
        assert_eq!(boot.phases[0].took, Duration::from_millis(2));
        assert_eq!((boot.ready, boot.begun), (None, None));
    }

    #[test]
    fn other_lines_are_no_phases() {
        for line in
            ["holm: phase", "holm: phase x took y ms", "holm: phase x took 3 s", "took 3 ms"]
        {
            assert_eq!(parse_phase(line), None, "{line}");
        }
    }
}

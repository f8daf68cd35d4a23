//! Cuts a node's power at random moments, again and again, and checks what it is afterwards.
//!
//! A cut counts as survived when the next boot reaches ready with every acknowledged write in
//! place. Half of the cuts hit a boot, half hit a node that writes. Must never forgive: the first
//! boot that fails ends the run with its console.

use std::time::Duration;

use crate::deadline::Deadline;
use crate::scenario::{BOOT_WAIT, Scenario, ScenarioError};
use crate::shell::Shell;
use crate::vm::Vm;

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How often the power was cut.
    pub cuts: u32,
    /// After how many of them the node was ready and whole.
    pub survived: u32,
}

/// Where acknowledged numbers are kept: one on each partition that a node writes.
const LEDGERS: [&str; 2] = ["/host/data/ledger", "/host/state/ledger"];

/// Cuts the power `cuts` times: within `span` after power-on, or while the node writes. The
/// moments follow from `seed`; `tell` hears of each.
pub fn survive(
    cuts: u32,
    seed: u64,
    span: Duration,
    tell: impl FnMut(&str),
) -> Result<Outcome, ScenarioError> {
    survive_in(&Scenario::with_shell_and_page("power-cut")?, cuts, seed, span, tell)
}

/// The same in a given scenario, which has the shell's pod.
pub fn survive_in(
    scenario: &Scenario,
    cuts: u32,
    seed: u64,
    span: Duration,
    mut tell: impl FnMut(&str),
) -> Result<Outcome, ScenarioError> {
    let mut random = Random::from(seed);
    let mut acknowledged = 0;
    let mut outcome = Outcome { cuts: 0, survived: 0 };
    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    while outcome.cuts < cuts {
        if random.below(2) == 0 {
            let moment = random.moment_within(Duration::from_secs(3));
            acknowledged = write_until(&mut shell, acknowledged, Deadline::after(moment));
            vm.cut_power();
            tell(&format!("cut while writing, {} numbers acknowledged", acknowledged));
        } else {
            vm.cut_power();
            let moment = random.moment_within(span);
            let starting = scenario.start()?;
            wait_until(&starting, Deadline::after(moment));
            starting.cut_power();
            tell(&format!("cut {} ms after power-on", moment.as_millis()));
        }
        outcome.cuts += 1;
        vm = scenario.boot()?;
        shell = vm.shell(BOOT_WAIT)?;
        for ledger in LEDGERS {
            let kept = shell.succeed(&format!("touch {ledger}; cat {ledger}"))?;
            if let Some(lost) = first_lost(&kept, acknowledged) {
                tell(&format!("{ledger} has lost the acknowledged {lost}"));
                return Ok(outcome);
            }
        }
        outcome.survived += 1;
    }
    Ok(outcome)
}

/// Writes and flushes numbers until the deadline; returns the last one that was acknowledged.
fn write_until(shell: &mut Shell, mut acknowledged: u64, deadline: Deadline) -> u64 {
    while !deadline.has_passed() {
        let number = acknowledged + 1;
        let write = LEDGERS.map(|ledger| format!("echo {number} >>{ledger} && sync -f {ledger}"));
        match shell.succeed(&write.join(" && ")) {
            Ok(_) => acknowledged = number,
            Err(_) => return acknowledged,
        }
    }
    acknowledged
}

/// Lets a machine run until the deadline. A console line that never comes is what ends it.
fn wait_until(vm: &Vm, deadline: Deadline) {
    let _ = vm.console.expect_any("the cut", deadline.remaining(), |_| None::<()>);
}

/// The first number up to `acknowledged` that a ledger does not hold. A number may come twice:
/// one that was written but not acknowledged is written again after the cut.
fn first_lost(ledger: &str, acknowledged: u64) -> Option<u64> {
    let kept: std::collections::BTreeSet<u64> =
        ledger.lines().filter_map(|line| line.parse().ok()).collect();
    (1..=acknowledged).find(|number| !kept.contains(number))
}

/// Xorshift64: moments need to be spread, not unpredictable.
struct Random(u64);

impl Random {
    fn from(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }

    fn moment_within(&mut self, span: Duration) -> Duration {
        Duration::from_millis(self.below(span.as_millis().max(1) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_acknowledged_number_is_named() {
        assert_eq!(first_lost("1\n2\n3\n", 3), None);
        assert_eq!(first_lost("1\n3\n", 3), Some(2));
        assert_eq!(first_lost("", 1), Some(1));
    }

    #[test]
    fn an_unacknowledged_or_repeated_or_torn_end_is_forgiven() {
        assert_eq!(first_lost("1\n2\n", 1), None);
        assert_eq!(first_lost("1\n2\n2\n3\n", 3), None);
        assert_eq!(first_lost("1\n2\n\0\0", 2), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_moments_and_they_are_spread() {
        let moments = |seed| {
            let mut random = Random::from(seed);
            (0..100).map(|_| random.moment_within(Duration::from_secs(10))).collect::<Vec<_>>()
        };
        assert_eq!(moments(7), moments(7));
        let early = moments(7).into_iter().filter(|m| *m < Duration::from_secs(5)).count();
        assert!((25..75).contains(&early), "{early} of 100 in the first half");
    }
}

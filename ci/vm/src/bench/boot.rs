//! How long a boot takes, phase by phase, and what of that the kernel alone would take.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::BenchError;
use super::metric::Metrics;
use crate::bare::BareKernel;
use crate::http;
use crate::phases::{self, Boot};
use crate::scenario::{BOOT_WAIT, Scenario, ScenarioError};

const POWER_OFF_WAIT: Duration = Duration::from_secs(60);

/// Boots the fresh image `runs` times, then its disk once more, then its kernel with an init that
/// does nothing: in turns, so that a machine that grows slower does so for all of them.
pub fn measure(image: &Path, runs: usize) -> Result<Metrics, BenchError> {
    let kernel = BareKernel::from_image(image)?;
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let scenario = Scenario::with_image("bench-boot", image)?;
        scenario.add_page()?;
        let boots = (boot(&scenario)?, boot(&scenario)?);
        let bare = kernel.boot()?;
        first.push((boots.0, bare));
        again.push((boots.1, bare));
    }
    let mut metrics = summary("boot", &first);
    metrics.merge(summary("boot.again", &again));
    metrics.add(
        "boot.bare_kernel",
        "s",
        &Vec::from_iter(first.iter().map(|(_, bare)| bare.as_secs_f64())),
    );
    Ok(metrics)
}

/// One boot, ended in order.
fn boot(scenario: &Scenario) -> Result<Boot, ScenarioError> {
    let mut vm = scenario.boot()?;
    let lines = vm.console.lines();
    let boot = phases::last_boot(lines.iter().map(|line| line.text.as_str()));
    // Whatever a boot puts off is done when its pod answers: the next one starts from rest.
    http::fetch(vm.forwarded(8080)?, "/", BOOT_WAIT)?;
    vm.press_power_button()?;
    vm.wait_power_off(POWER_OFF_WAIT)?;
    Ok(boot)
}

/// The figures of boots, each with its bare kernel's time to init.
fn summary(area: &str, boots: &[(Boot, Duration)]) -> Metrics {
    let mut ready = Vec::new();
    let mut init = Vec::new();
    let mut own = Vec::new();
    let mut by_phase: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (boot, kernel) in boots {
        init.extend(boot.begun.map(|time| time.as_secs_f64()));
        if let Some(time) = boot.ready {
            ready.push(time.as_secs_f64());
            own.push(time.as_secs_f64() - kernel.as_secs_f64());
        }
        for phase in boot.phases.iter().filter(|phase| phase.failure.is_none()) {
            by_phase.entry(&phase.name).or_default().push(phase.took.as_secs_f64() * 1000.0);
        }
    }
    let mut metrics = Metrics::default();
    let mut add =
        |name: &str, unit, runs: &[f64]| metrics.add(&format!("{area}.{name}"), unit, runs);
    add("kernel_to_init", "s", &init);
    add("kernel_to_ready", "s", &ready);
    add("ready_minus_bare", "s", &own);
    for (phase, times) in by_phase {
        add(&format!("phase.{phase}"), "ms", &times);
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_boot_is_held_against_the_bare_kernel_of_its_turn() {
        let boot = |ready, phases: &[&str]| {
            let lines = [&[ready], phases].concat();
            phases::last_boot(lines)
        };
        let boots = [
            (
                boot(
                    "holm: ready 5000 ms after kernel start",
                    &["[  3.04] holm: phase root took 40 ms"],
                ),
                Duration::from_secs(2),
            ),
            // A slower machine: both take longer.
            (
                boot(
                    "holm: ready 9000 ms after kernel start",
                    &["holm: phase root failed after 3 ms: no disk"],
                ),
                Duration::from_secs(4),
            ),
        ];
        let metrics = summary("boot", &boots);
        let of = |name: &str| metrics.get(name).map(|m| (m.value, m.min, m.max, m.runs));
        assert_eq!(of("boot.kernel_to_ready"), Some((7.0, 5.0, 9.0, 2)));
        assert_eq!(of("boot.ready_minus_bare"), Some((4.0, 3.0, 5.0, 2)));
        assert_eq!(of("boot.kernel_to_init"), Some((3.0, 3.0, 3.0, 1)));
        assert_eq!(of("boot.phase.root"), Some((40.0, 40.0, 40.0, 1)), "a failure is no time");
    }
}

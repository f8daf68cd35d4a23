//! How long a boot takes, phase by phase, and what of that the kernel alone would take.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::BenchError;
use super::metric::Metrics;
use crate::bare::BareKernel;
use crate::phases::{self, Boot};
use crate::scenario::Scenario;

/// Boots the image `runs` times, and as often its kernel with an init that does nothing, in turns,
/// so that a machine that grows slower does so for both.
pub fn measure(image: &Path, runs: usize) -> Result<Metrics, BenchError> {
    let kernel = BareKernel::from_image(image)?;
    let mut boots = Vec::new();
    for _ in 0..runs {
        let scenario = Scenario::with_image("bench-boot", image)?;
        scenario.add_page()?;
        let vm = scenario.boot()?;
        let lines = vm.console.lines();
        let boot = phases::last_boot(lines.iter().map(|line| line.text.as_str()));
        drop(vm);
        boots.push((boot, kernel.boot()?));
    }
    Ok(summary(&boots))
}

/// The figures of boots, each with its bare kernel's time to init.
fn summary(boots: &[(Boot, Duration)]) -> Metrics {
    let mut ready = Vec::new();
    let mut bare = Vec::new();
    let mut init = Vec::new();
    let mut own = Vec::new();
    let mut by_phase: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (boot, kernel) in boots {
        bare.push(kernel.as_secs_f64());
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
    metrics.add("boot.kernel_to_ready", "s", &ready);
    metrics.add("boot.kernel_to_init", "s", &init);
    metrics.add("boot.bare_kernel", "s", &bare);
    metrics.add("boot.ready_minus_bare", "s", &own);
    for (phase, times) in by_phase {
        metrics.add(&format!("boot.phase.{phase}"), "ms", &times);
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
        let metrics = summary(&boots);
        let of = |name: &str| metrics.get(name).map(|m| (m.value, m.min, m.max, m.runs));
        assert_eq!(of("boot.kernel_to_ready"), Some((7.0, 5.0, 9.0, 2)));
        assert_eq!(of("boot.bare_kernel"), Some((3.0, 2.0, 4.0, 2)));
        assert_eq!(of("boot.ready_minus_bare"), Some((4.0, 3.0, 5.0, 2)));
        assert_eq!(of("boot.kernel_to_init"), Some((3.0, 3.0, 3.0, 1)));
        assert_eq!(of("boot.phase.root"), Some((40.0, 40.0, 40.0, 1)), "a failure is no time");
    }
}

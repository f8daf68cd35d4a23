//! How long a boot takes, phase by phase, and what of that the kernel alone would take.

use std::collections::BTreeMap;
use std::path::Path;

use super::metric::Metrics;
use crate::bare::BareKernel;
use crate::phases;
use crate::scenario::{Scenario, ScenarioError};

/// Boots the image `runs` times, and as often its kernel with an init that does nothing, in turns,
/// so that a machine that grows slower does so for both.
pub fn measure(image: &Path, runs: usize) -> Result<Metrics, ScenarioError> {
    let mut ready = Vec::new();
    let mut bare = Vec::new();
    let mut by_phase: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let kernel = BareKernel::from_image(image)?;
    for _ in 0..runs {
        let scenario = Scenario::with_image("bench-boot", image)?;
        scenario.add_page()?;
        let vm = scenario.boot()?;
        let lines = vm.console.lines();
        let boot = phases::last_boot(lines.iter().map(|line| line.text.as_str()));
        ready.extend(boot.ready.map(|time| time.as_secs_f64()));
        for phase in boot.phases {
            by_phase.entry(phase.name).or_default().push(phase.took.as_secs_f64() * 1000.0);
        }
        bare.push(kernel.boot()?.as_secs_f64());
    }
    let mut metrics = Metrics::default();
    metrics.add("boot.kernel_to_ready", "s", &ready);
    metrics.add("boot.bare_kernel", "s", &bare);
    let own: Vec<_> = ready.iter().zip(&bare).map(|(ready, bare)| ready - bare).collect();
    metrics.add("boot.ready_minus_bare", "s", &own);
    for (phase, times) in by_phase {
        metrics.add(&format!("boot.phase.{phase}"), "ms", &times);
    }
    Ok(metrics)
}

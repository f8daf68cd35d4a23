//! How many of the power cuts at random moments a node survives.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::BenchError;
use super::metric::Metrics;
use crate::power_cut;
use crate::scenario::Scenario;

/// A boot is over by then, so that cuts hit all of it.
const SPAN: Duration = Duration::from_secs(40);

/// Cuts the power `cuts` times. A node that does not come back ends the measurement with an error:
/// its console says more than a number.
pub fn measure(image: &Path, cuts: u32) -> Result<Metrics, BenchError> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
    let scenario = Scenario::with_image("bench-power-cut", image)?;
    scenario.add_shell()?;
    scenario.add_page()?;
    eprintln!("bench: {cuts} power cuts, seed {seed}");
    let outcome =
        power_cut::survive_in(&scenario, cuts, seed, SPAN, |line| eprintln!("bench: {line}"))?;
    let mut metrics = Metrics::default();
    let cuts = outcome.cuts as usize;
    metrics.add_count("boot.power_cuts_survived", "cuts", outcome.survived, cuts);
    Ok(metrics)
}

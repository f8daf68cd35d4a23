//! Power cuts at random moments of the boot and of the work after it: five in CI, and as many as
//! `HOLM_POWER_CUTS` says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holm_vm::power_cut::{self, Outcome};
use holm_vm::scenario::ScenarioError;

#[test]
fn node_is_ready_after_every_power_cut_and_has_lost_nothing() -> Result<(), ScenarioError> {
    let cuts = std::env::var("HOLM_POWER_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
    println!("{cuts} cuts, seed {seed}");
    let outcome =
        power_cut::survive(cuts, seed, Duration::from_secs(40), |line| println!("{line}"))?;
    assert_eq!(outcome, Outcome { cuts, survived: cuts });
    Ok(())
}

//! The power is cut at random moments from the arming of a trial to its commit: five times in CI,
//! as often as `HOLM_POWER_CUTS` says otherwise. Every boot is of a complete slot, and in the end the
//! version is committed, or given up with the reason.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};
use holm_vm::update;

use crate::{STATUS, staged};

/// From the command to the commit, on a busy machine.
const SPAN: Duration = Duration::from_secs(60);

#[test]
fn trial_survives_power_cuts_at_any_moment() -> Result<(), ScenarioError> {
    let cuts: u32 = std::env::var("HOLM_POWER_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
    println!("{cuts} cuts, seed {seed}");
    let mut moment = seed | 1;
    let mut done = 0;
    while done < cuts {
        let (scenario, vm, mut shell) = staged("update-cuts", None)?;
        shell.start("chroot /host /usr/bin/holm update apply")?;
        let mut vm = vm;
        // Three at most: then the version is given up, and there is nothing more to cut.
        for _ in 0..3.min(cuts - done) {
            moment ^= moment << 13;
            moment ^= moment >> 7;
            moment ^= moment << 17;
            let wait = Duration::from_millis(moment % SPAN.as_millis() as u64);
            let _ = vm.console.expect("no line has these words", wait);
            println!("cut after {} ms", wait.as_millis());
            vm.cut_power();
            vm = scenario.start()?;
            done += 1;
        }
        let status = end(&scenario, &vm)?;
        println!("{status}");
    }
    Ok(())
}

/// Waits for rest: the version is committed, or was not tried, or is given up.
fn end(_: &Scenario, vm: &holm_vm::vm::Vm) -> Result<String, ScenarioError> {
    let mut last = None;
    for _ in 0..8 {
        vm.console.expect(READY, BOOT_WAIT)?;
        let mut shell = vm.shell(BOOT_WAIT)?;
        let at_rest = |text: &str| {
            text.contains("committed") && !text.contains("trial") && !text.contains("not committed")
        };
        match shell.wait_until(STATUS, Duration::from_secs(60), |seen| at_rest(&seen.text)) {
            Ok(seen) => {
                let text = seen.text;
                let explained = text.contains("slot b, committed")
                    || text.contains("under way: staged")
                    || text.contains(&format!("to {}: no-verdict", update::VERSION));
                assert!(explained, "{text}");
                return Ok(text);
            }
            // It went down under us, into the next trial or out of it.
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or(ScenarioError::Uki, ScenarioError::Shell))
}

//! Scenarios of updates, one file each; they need the image that `ci/test` builds.

mod committed;
mod network;
mod panic;
mod power_cuts;
mod watchdog;

use std::time::Duration;

use holm_vm::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};
use holm_vm::shell::Shell;
use holm_vm::update;
use holm_vm::vm::Vm;

/// How long a trial of [`update::DOCUMENT`] may take from its first sign of life.
const TRIAL_WAIT: Duration = Duration::from_secs(180);

/// A booted node with a version that is staged, and perhaps spoilt.
fn staged(name: &str, spoil: Option<(&str, &str)>) -> Result<(Scenario, Vm, Shell), ScenarioError> {
    let scenario = Scenario::new(name)?;
    scenario.write_document(update::DOCUMENT)?;
    scenario.add_shell()?;
    update::stage(&scenario, spoil)?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    // A fresh disk has proved itself when its first slot is committed.
    vm.console.expect("slot a is good", BOOT_WAIT)?;
    shell.wait_until(STATUS, BOOT_WAIT, |seen| seen.text.contains("slot a, committed"))?;
    Ok((scenario, vm, shell))
}

/// The node's own words about its version.
const STATUS: &str = "chroot /host /usr/bin/holm update status";

/// Begins the trial; the shell does not live to see it.
fn apply(vm: &Vm, shell: &mut Shell) -> Result<(), ScenarioError> {
    shell.start("chroot /host /usr/bin/holm update apply")?;
    vm.console.expect("rebooting", BOOT_WAIT)?;
    Ok(())
}

/// Waits until the committed slot runs again, and gives what it says about itself.
fn fallen_back(vm: &Vm) -> Result<String, ScenarioError> {
    vm.console.expect(READY, TRIAL_WAIT)?;
    let mut shell = vm.shell(BOOT_WAIT)?;
    let ended = |text: &str| text.contains("slot a, committed") && !text.contains("under way");
    let seen = shell.wait_until(STATUS, BOOT_WAIT, |seen| ended(&seen.text))?;
    Ok(seen.text)
}

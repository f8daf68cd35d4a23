//! A node that was shut down in order comes back as the same node.

use std::time::Duration;

use holm_vm::http;
use holm_vm::scenario::{PAGE, Scenario, ScenarioError};

#[test]
fn second_boot_finds_identity_data_and_images_of_the_first() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell_and_page("second-boot")?;
    let (vm, mut shell) = scenario.boot_with_shell()?;
    let identity = shell.succeed("cat /host/etc/machine-id")?;
    let seed = shell.succeed("sha256sum /host/state/random-seed")?;
    shell.succeed("echo kept >/host/data/kept")?;
    shell.start("chroot /host /usr/sbin/holm-init ctl poweroff")?;
    vm.wait_power_off(Duration::from_secs(60))?;

    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    assert_eq!(shell.succeed("cat /host/etc/machine-id")?, identity);
    assert_eq!(shell.succeed("cat /host/data/kept")?, "kept");
    assert_ne!(shell.succeed("sha256sum /host/state/random-seed")?, seed, "a seed was used twice");
    let address = vm.forwarded(8080)?;
    let page = http::fetch(address, "/", Duration::from_secs(60))?;
    assert_eq!(String::from_utf8_lossy(&page), PAGE);
    Ok(())
}

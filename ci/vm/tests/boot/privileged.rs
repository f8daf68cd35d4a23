//! The privileged tests of every crate, as root in a machine of their own: what the host cannot
//! offer (cgroup v2, its own links and packet filter, device-mapper) is there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_vm::payload::Payload;
use holm_vm::scenario::{Scenario, ScenarioError};

/// Crates with tests in a module `vm`.
const CRATES: [&str; 3] = ["holm-init", "holm-network", "holm-node"];
const WAIT: Duration = Duration::from_secs(15 * 60);

#[test]
fn privileged_tests_pass_in_a_machine_of_their_own() -> Result<(), ScenarioError> {
    let image = std::env::var_os("HOLM_PAYLOAD_IMAGE");
    let image = image.expect("HOLM_PAYLOAD_IMAGE is set; 'ci/test boot' builds one and names it");
    let binaries = test_binaries();
    let mut payload = Payload::default();
    for (name, path) in &binaries {
        payload.files.push((path.clone(), format!("tests/{name}")));
        payload.commands.push(format!("tests/{name} --ignored --test-threads 1 vm::"));
    }
    let mut scenario = Scenario::with_image("privileged", Path::new(&image))?;
    scenario.machine.memory_mib = 512;
    let reports = payload.run(&mut scenario, WAIT)?;
    assert_eq!(reports.len(), binaries.len(), "a program did not end");
    let mut passed = 0;
    for report in &reports {
        println!("{}\n{}", report.command, report.text());
        passed += passed_tests(&report.text());
    }
    let failed: Vec<_> = reports.iter().filter(|report| report.status != 0).collect();
    assert!(failed.is_empty(), "{} of {} programs failed", failed.len(), reports.len());
    assert!(passed > 0, "no test ran");
    println!("{passed} privileged tests passed");
    Ok(())
}

/// The test programs of the crates, from the list that nextest makes of what it built.
fn test_binaries() -> Vec<(String, PathBuf)> {
    let list = std::env::var_os("HOLM_TEST_BINARIES");
    let list = list.expect("HOLM_TEST_BINARIES names nextest's list; 'ci/test boot' makes it");
    let text = std::fs::read_to_string(list).expect("nextest's list can be read");
    let list: serde_json::Value = serde_json::from_str(&text).expect("nextest's list is JSON");
    let binaries = list["rust-binaries"].as_object().expect("nextest lists binaries");
    let wanted = binaries.values().filter(|binary| {
        CRATES.iter().any(|name| {
            let package = binary["package-id"].as_str().unwrap_or_default();
            package.contains(&format!("#{name}@")) || package.contains(&format!("/{name}#"))
        })
    });
    wanted
        .filter_map(|binary| {
            let name = binary["binary-id"].as_str()?.replace("::", "-");
            Some((name, PathBuf::from(binary["binary-path"].as_str()?)))
        })
        .collect()
}

/// The number in each `test result: ok. 3 passed; …`.
fn passed_tests(output: &str) -> u32 {
    let results = output.lines().filter_map(|line| line.strip_prefix("test result: "));
    results
        .filter_map(|result| {
            let (_, counts) = result.split_once(". ")?;
            counts.split(' ').next()?.parse::<u32>().ok()
        })
        .sum()
}

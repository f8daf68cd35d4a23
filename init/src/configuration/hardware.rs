//! Settings of the board itself that the node document asks for.

use crate::modules::drivers;
use holm_config::Hardware;
use std::fs;
use std::path::Path;

const POLICIES: &str = "/sys/devices/system/cpu/cpufreq";

/// Applies them all; what the board has not is the error.
pub(crate) fn apply(wanted: &Hardware) -> Result<(), String> {
    let mut failures = Vec::new();
    if let Err(reason) = drivers::load_needed(&wanted.buses) {
        failures.push(reason);
    }
    if let Some(governor) = &wanted.cpu_governor
        && let Err(reason) = set_governor(Path::new(POLICIES), governor)
    {
        failures.push(reason);
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// Sets the governor of every group of processors.
fn set_governor(policies: &Path, governor: &str) -> Result<(), String> {
    let entries = fs::read_dir(policies).into_iter().flatten().flatten();
    let mut policies: Vec<_> = entries.map(|entry| entry.path()).collect();
    policies.retain(|path| path.join("scaling_governor").exists());
    if policies.is_empty() {
        return Err("cpu-governor: these processors have one frequency, or no driver for it".into());
    }
    for policy in policies {
        if let Err(error) = fs::write(policy.join("scaling_governor"), governor) {
            let known = fs::read_to_string(policy.join("scaling_available_governors"));
            let known = known.unwrap_or_default();
            return Err(format!("cpu-governor {governor}: {error}; there are: {}", known.trim()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn governor_is_set_for_every_group_of_processors() {
        let root = tempfile::tempdir().unwrap();
        for policy in ["policy0", "policy4"] {
            fs::create_dir(root.path().join(policy)).unwrap();
            fs::write(root.path().join(policy).join("scaling_governor"), "performance").unwrap();
        }
        fs::create_dir(root.path().join("boost")).unwrap();
        set_governor(root.path(), "schedutil").unwrap();
        for policy in ["policy0", "policy4"] {
            let path = root.path().join(policy).join("scaling_governor");
            assert_eq!(fs::read_to_string(path).unwrap(), "schedutil");
        }
    }

    #[test]
    fn board_without_frequencies_says_so() {
        let root = tempfile::tempdir().unwrap();
        let error = set_governor(root.path(), "schedutil").unwrap_err();
        assert!(error.contains("one frequency"), "{error}");
        assert_eq!(apply(&Hardware::default()), Ok(()));
    }
}

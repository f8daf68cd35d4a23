//! Kernel settings: what every node needs, and over it what the document says.

use std::collections::BTreeMap;
use std::path::Path;

/// What every node needs, by the path below `/proc/sys`.
const DEFAULTS: [(&str, &str); 15] = [
    // A kernel that is not well any more starts again, and says why in pstore.
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    // Pods are routed.
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    // Replies may leave by another link than the one the request came by.
    ("net/ipv4/conf/all/rp_filter", "2"),
    ("net/ipv4/conf/default/rp_filter", "2"),
    // Every container that watches its files takes from these.
    ("fs/inotify/max_user_instances", "8192"),
    ("fs/inotify/max_user_watches", "524288"),
    // What the kubelet demands of a node.
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    // Containers share one kernel: no following of others' links, no peeking.
    ("fs/protected_hardlinks", "1"),
    ("fs/protected_symlinks", "1"),
    ("fs/protected_fifos", "1"),
    ("fs/protected_regular", "2"),
    ("kernel/kptr_restrict", "1"),
];

/// What to write, in order: the document's word beats the default.
fn plan(wanted: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    let defaults = DEFAULTS.iter().copied().filter(|(path, _)| !wanted.contains_key(*path));
    let wanted = wanted.iter().map(|(path, value)| (path.as_str(), value.as_str()));
    defaults.chain(wanted).collect()
}

/// Writes the settings. Goes on after a failure; only those that the document
/// asked for are errors, for a kernel may lack a default's subject.
pub(crate) fn apply(wanted: &BTreeMap<String, String>) -> Result<(), String> {
    let mut failures = Vec::new();
    for (path, value) in plan(wanted) {
        let written = std::fs::write(Path::new("/proc/sys").join(path), format!("{value}\n"));
        if let (Err(error), true) = (written, wanted.contains_key(path)) {
            failures.push(format!("{path} = {value:?}: {error}"));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_word_beats_the_default() {
        let wanted = BTreeMap::from([
            ("kernel/panic".to_owned(), "30".to_owned()),
            ("vm/swappiness".to_owned(), "10".to_owned()),
        ]);
        let plan = plan(&wanted);
        assert_eq!(plan.iter().filter(|(path, _)| *path == "kernel/panic").count(), 1);
        assert!(plan.contains(&("kernel/panic", "30")));
        assert!(plan.contains(&("vm/swappiness", "10")));
        assert!(plan.contains(&("net/ipv4/ip_forward", "1")));
    }

    #[test]
    fn setting_that_does_not_exist_is_named() {
        let wanted = BTreeMap::from([("holm/none".to_owned(), "1".to_owned())]);
        // Without the privilege the defaults fail too, which is no error.
        assert!(apply(&wanted).unwrap_err().starts_with("holm/none = \"1\": "));
    }
}

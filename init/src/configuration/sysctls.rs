//! Kernel settings: what every node needs, and over it what the document says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind::NotFound;
use std::io::Write;
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
/// asked for are errors, for a kernel may lack a default's subject. Gives those
/// that wait for their link: VLANs and the like come only with the network, whose
/// service writes them then.
pub(crate) fn apply(wanted: &BTreeMap<String, String>) -> (Vec<String>, Result<(), String>) {
    apply_below(Path::new("/proc/sys"), wanted)
}

fn apply_below(
    root: &Path,
    wanted: &BTreeMap<String, String>,
) -> (Vec<String>, Result<(), String>) {
    let (mut waiting, mut failures) = (Vec::new(), Vec::new());
    for (path, value) in plan(wanted) {
        // Opened, not made: outside of the kernel's own tree that would differ.
        let file = File::options().write(true).open(root.join(path));
        let written = file.and_then(|mut file| file.write_all(format!("{value}\n").as_bytes()));
        match written {
            Err(_) if !wanted.contains_key(path) => {}
            Err(error) if error.kind() == NotFound && lacks_link(root, path) => {
                waiting.push(path.to_owned());
            }
            Err(error) => failures.push(format!("{path} = {value:?}: {error}")),
            Ok(()) => {}
        }
    }
    (waiting, if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) })
}

/// Whether `path` is the setting of a link that is not there, in a part of the
/// kernel that is.
fn lacks_link(root: &Path, path: &str) -> bool {
    let folder = link_of(path).and_then(|_| root.join(path).parent().map(Path::to_owned));
    folder.is_some_and(|link| !link.exists() && link.parent().is_some_and(Path::is_dir))
}

/// The link that the setting `path` is about; none for one of the whole node.
pub(crate) fn link_of(path: &str) -> Option<&str> {
    let parts: Vec<_> = path.split('/').collect();
    match parts.as_slice() {
        ["net", _, "conf" | "neigh", "all" | "default", _] => None,
        ["net", _, "conf" | "neigh", link, _] => Some(link),
        _ => None,
    }
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
        // The defaults fail too, which is no error.
        let root = tempfile::tempdir().unwrap();
        let (waiting, result) = apply_below(root.path(), &wanted);
        assert!(waiting.is_empty());
        assert!(result.unwrap_err().starts_with("holm/none = \"1\": "));
    }

    #[test]
    fn setting_of_a_link_that_is_not_there_waits() {
        let root = tempfile::tempdir().unwrap();
        let eth0 = root.path().join("net/ipv4/conf/eth0");
        std::fs::create_dir_all(&eth0).unwrap();
        std::fs::write(eth0.join("rp_filter"), "").unwrap();
        let paths = [
            "net/ipv4/conf/eth0/rp_filter",
            "net/ipv4/conf/vlan7/rp_filter",
            // Failures: no such setting, no such part of the kernel.
            "net/ipv4/conf/eth0/rp_filtr",
            "net/ipv6/conf/vlan7/forwarding",
        ];
        let wanted = paths.map(|path| (path.to_owned(), "1".to_owned()));
        let (waiting, result) = apply_below(root.path(), &BTreeMap::from(wanted));
        assert_eq!(waiting, ["net/ipv4/conf/vlan7/rp_filter"]);
        let failures = result.unwrap_err();
        assert_eq!(failures.split("; ").count(), 2, "{failures}");
        assert_eq!(std::fs::read_to_string(eth0.join("rp_filter")).unwrap(), "1\n");
    }

    #[test]
    fn settings_of_single_links_are_told_from_those_of_all() {
        assert_eq!(link_of("net/ipv4/conf/eth0.7/rp_filter"), Some("eth0.7"));
        assert_eq!(link_of("net/ipv6/neigh/eth0/mcast_solicit"), Some("eth0"));
        for path in ["net/ipv4/conf/all/rp_filter", "net/ipv4/ip_forward", "kernel/panic"] {
            assert_eq!(link_of(path), None, "{path}");
        }
    }
}

//! Names of files in a repository. Pure text; a role's name can hold anything, so it is quoted.

/// The name of a role's metadata; with a version where the repository keeps consistent snapshots.
pub fn metadata(role: &str, version: Option<u64>) -> String {
    let role = quote(role);
    match version {
        Some(version) => format!("{version}.{role}.json"),
        None => format!("{role}.json"),
    }
}

/// The path of a target; with its hex digest in front of the file's name where the repository
/// keeps consistent snapshots.
pub fn target(path: &str, digest: Option<&str>) -> String {
    match (digest, path.rsplit_once('/')) {
        (None, _) => path.to_owned(),
        (Some(digest), Some((folder, name))) => format!("{folder}/{digest}.{name}"),
        (Some(digest), None) => format!("{digest}.{path}"),
    }
}

/// Whether a target's path stays below the folder that it is put in.
pub fn is_safe_path(path: &str) -> bool {
    path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && path.bytes().all(|byte| byte > b' ' && byte != 0x7f && byte != b'\\')
}

/// Percent-encodes what is not unreserved in a URL, so that a name is one part of a path.
fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                quoted.push(char::from(byte));
            }
            other => quoted.push_str(&format!("%{other:02X}")),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_consistent_snapshots() {
        assert_eq!(metadata("timestamp", None), "timestamp.json");
        assert_eq!(metadata("root", Some(42)), "42.root.json");
        assert_eq!(target("a/b.bin", Some("c14a")), "a/c14a.b.bin");
        assert_eq!(target("b.bin", Some("c14a")), "c14a.b.bin");
        assert_eq!(target("a/b.bin", None), "a/b.bin");
    }

    #[test]
    fn role_name_cannot_leave_its_folder() {
        assert_eq!(metadata("../delegatedrole", Some(1)), "1...%2Fdelegatedrole.json");
        assert_eq!(metadata("?", None), "%3F.json");
        assert_eq!(metadata("/x#", None), "%2Fx%23.json");
    }

    #[test]
    fn target_path_that_could_leave_its_folder_is_not_safe() {
        for bad in ["", "/a", "a//b", "../a", "a/..", "a/./b", "a\\b", "a b", "a\n", "a/"] {
            assert!(!is_safe_path(bad), "{bad:?}");
        }
        assert!(is_safe_path("x86-64/1.2.3+4/index"));
    }
}

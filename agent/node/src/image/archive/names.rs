//! Which names an archived image gets.
//!
//! Pure.

use std::collections::BTreeMap;
use std::path::Path;

use crate::image::reference::Reference;

const CONTAINERD: &str = "io.containerd.image.name";
const OCI: &str = "org.opencontainers.image.ref.name";

/// Names by the annotations of an OCI layout's index. `ref.name` may be a bare tag: then the
/// archive's file name stands for the repository.
pub(super) fn annotated(annotations: &BTreeMap<String, String>, archive: &Path) -> Vec<Reference> {
    if let Some(name) = annotations.get(CONTAINERD).and_then(|name| Reference::parse(name).ok()) {
        return vec![name];
    }
    let Some(text) = annotations.get(OCI) else { return Vec::new() };
    let named = if text.contains(['/', ':', '@']) {
        Reference::parse(text).ok()
    } else {
        Reference::parse(&format!("{}:{text}", stem(archive))).ok()
    };
    named.into_iter().collect()
}

/// The name of an image that says none: that of its file, `busybox.tar.gz` being `busybox:latest`.
pub(super) fn fallback(archive: &Path) -> Option<Reference> {
    Reference::parse(&stem(archive)).ok()
}

fn stem(archive: &Path) -> String {
    let name = archive.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut stem = name.as_str();
    for ending in [".gz", ".tgz", ".zst", ".zstd", ".tar", ".oci"] {
        stem = stem.strip_suffix(ending).unwrap_or(stem);
    }
    stem.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(annotations: &[(&str, &str)], archive: &str) -> Vec<String> {
        let annotations =
            annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        annotated(&annotations, Path::new(archive)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn annotations_of_the_usual_tools_are_understood() {
        let full = "docker.io/library/busybox:1.37";
        assert_eq!(names(&[(CONTAINERD, full), (OCI, "1.37")], "/x.tar"), [full]);
        assert_eq!(names(&[(OCI, "busybox:1.37")], "/x.tar"), [full]);
        assert_eq!(names(&[(OCI, "1.37")], "/p/busybox.tar.zst"), [full]);
        assert_eq!(names(&[(OCI, "ghcr.io/a/b:c")], "/x.tar"), ["ghcr.io/a/b:c"]);
        assert_eq!(names(&[], "/x.tar"), [""; 0]);
        assert_eq!(names(&[(OCI, "not a name")], "/x.tar"), [""; 0]);
    }

    #[test]
    fn file_name_is_the_last_resort() {
        let name = |path| fallback(Path::new(path)).map(|r| r.to_string());
        assert_eq!(name("/p/App.tar.gz").as_deref(), Some("docker.io/library/app:latest"));
        assert_eq!(name("/p/app.tgz").as_deref(), Some("docker.io/library/app:latest"));
        assert_eq!(name("/p/my app.tar"), None);
    }
}

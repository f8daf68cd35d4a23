//! What the repository says about itself: version, commit, time; and the documents put into images.
//! Must never use the time of day: one commit has one time.

use std::path::Path;
use std::process::Command;

use super::{Error, file};
use crate::process;

/// A time for builds out of no repository: 2026-01-01.
const FALLBACK: u32 = 1_767_225_600;

/// The source that an image is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Holm's version.
    pub version: String,
    /// The commit, with `-dirty` when files differ from it.
    pub commit: Option<String>,
    /// Every time in the image, in seconds since 1970.
    pub epoch: u32,
}

/// Asks git, and `SOURCE_DATE_EPOCH` before it.
pub fn describe(workspace: &Path) -> Source {
    let git = |arguments: &[&str]| {
        let output = process::run(Command::new("git").arg("-C").arg(workspace).args(arguments));
        Some(String::from_utf8_lossy(&output.ok()?.stdout).trim().to_owned())
    };
    let named = std::env::var("SOURCE_DATE_EPOCH").ok();
    let time = named.or_else(|| git(&["log", "-1", "--format=%ct"]));
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    Source {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: commit.map(|id| mark(id, changed.is_some_and(|files| !files.is_empty()))),
        epoch: time.and_then(|text| text.parse().ok()).unwrap_or(FALLBACK),
    }
}

fn mark(commit: String, is_changed: bool) -> String {
    if is_changed { commit + "-dirty" } else { commit }
}

/// Refuses a version that nodes could not compare: three numbers, and what may follow them.
pub fn check_version(version: &str) -> Result<(), Error> {
    let (numbers, more) = version.split_once(['-', '+']).unwrap_or((version, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    let numbers: Vec<&str> = numbers.split('.').collect();
    if numbers.len() == 3 && numbers.into_iter().all(is_number) && more.chars().all(is_word) {
        return Ok(());
    }
    Err(Error::Version(version.to_owned()))
}

/// Refuses a broken node document before a build, instead of on the node.
pub fn check_document(path: Option<&Path>) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    let text = std::fs::read_to_string(path).map_err(file("read", path))?;
    let name = path.display().to_string();
    let problems = match holm_config::parse(&text, &name) {
        Ok(_) => return Ok(()),
        Err(problems) => problems,
    };
    let problems = problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>();
    Err(Error::Document { path: path.to_owned(), problems: problems.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_files_are_told_from_a_clean_commit() {
        assert_eq!(mark("abc".into(), true), "abc-dirty");
        assert_eq!(mark("abc".into(), false), "abc");
    }

    #[test]
    fn broken_document_is_refused_with_line_and_remedy() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), "[node]\nhostnam = \"a\"\n").expect("written");
        let error = check_document(Some(file.path())).expect_err("a misspelt key").to_string();
        assert!(error.contains(":2:") && error.contains("hostname"), "{error}");
        std::fs::write(file.path(), "[node]\nhostname = \"a\"\n").expect("written");
        assert!(check_document(Some(file.path())).is_ok());
        assert!(check_document(None).is_ok());
    }

    #[test]
    fn version_has_three_numbers() {
        for good in ["0.1.0", "1.22.333", "1.3.0-beta.1", "1.3.0+abc"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "1.2", "1.2.x", "v1.2.3", "1.2.3 ", "1.2.3-a b", "1.2.3\n"] {
            assert!(check_version(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn folder_without_a_repository_has_a_fixed_time() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let source = describe(folder.path());
        assert_eq!(source.commit, None);
        assert!(std::env::var("SOURCE_DATE_EPOCH").is_ok() || source.epoch == FALLBACK);
    }
}

//! The signed facts of one version for one board, as the `custom` field of its index's target.
//!
//! Must never take a release for more than what was signed: where a field is missing or odd, it is
//! not a release at all.

use std::collections::BTreeMap;

use holm_tuf::metadata::{Target, Targets};
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::waves::Schedule;

/// The name of our field in a target's `custom`.
const FIELD: &str = "holm-release";

/// Notes are for a screen, not a book.
const MOST_NOTES: usize = 16 << 10;

/// One version for one board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Release {
    /// The board that it was built for.
    pub board: String,
    /// Its version.
    pub version: Version,
    /// The verity root hash in hex, as the kernel's command line has it.
    pub root_hash: String,
    /// Where the verity tree begins in the root part, bytes.
    pub hash_offset: u64,
    /// Nodes with an older version take another release first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_version: Option<Version>,
    /// What is new, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// The channels that offer it.
    #[serde(default)]
    pub channels: BTreeMap<String, Rollout>,
    /// The target that holds the chunks' data.
    pub data: String,
    /// Its parts, in the order of the index.
    pub parts: Vec<Part>,
}

/// How a channel offers a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// When the waves begin.
    pub start: Timestamp,
    /// Whether it cannot wait for a maintenance window.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub urgent: bool,
    /// When whose turn comes.
    pub waves: Schedule,
}

/// What a part is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// The root file system with its verity tree.
    Root,
    /// What starts a slot: a unified kernel image, or a file of the slot's boot folder.
    Kernel,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is for.
    pub kind: PartKind,
    /// The slot that it is for, `a` or `b`; for both where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<char>,
    /// Its file name, relative to where it goes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
}

/// Why a target is no release.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A field is missing or odd.
    #[error("target {path}: its release cannot be read")]
    Malformed {
        /// The target.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A value makes no sense.
    #[error("target {path}: its release has an impossible {what}")]
    Impossible {
        /// The target.
        path: String,
        /// The field.
        what: &'static str,
    },
}

impl Release {
    /// The value for the `custom` field of the index's target.
    pub fn to_custom(&self) -> serde_json::Value {
        json!({ FIELD: self })
    }

    /// The release that `target` carries; `None` for a target of another kind.
    pub fn of_target(path: &str, target: &Target) -> Option<Result<Self, ReleaseError>> {
        let value = target.custom.as_ref()?.get(FIELD)?;
        let malformed = |source| ReleaseError::Malformed { path: path.to_owned(), source };
        let read = Self::deserialize(value).map_err(malformed);
        Some(read.and_then(|release| match release.impossible() {
            None => Ok(release),
            Some(what) => Err(ReleaseError::Impossible { path: path.to_owned(), what }),
        }))
    }

    /// The parts for a slot, with their place in the index.
    pub fn parts_of(&self, slot: char) -> impl Iterator<Item = (usize, &Part)> {
        let fits = move |part: &Part| part.slot.is_none_or(|own| own == slot);
        self.parts.iter().enumerate().filter(move |(_, part)| fits(part))
    }

    fn impossible(&self) -> Option<&'static str> {
        let is_digest = |text: &str| text.len() == 64 && holm_tuf::hex::decode(text).is_some();
        let is_name =
            |part: &Part| part.name.is_empty() || holm_tuf::file_name::is_safe_path(&part.name);
        let roots = || self.parts.iter().filter(|part| part.kind == PartKind::Root);
        if self.board.is_empty() {
            Some("board")
        } else if !is_digest(&self.root_hash) {
            Some("root hash")
        } else if roots().count() != 1 || roots().any(|root| root.size <= self.hash_offset) {
            Some("root part")
        } else if self.parts.iter().any(|part| !is_digest(&part.sha256) || part.size == 0) {
            Some("digest or size of a part")
        } else if self.parts.iter().any(|part| !is_name(part)) {
            Some("name of a part")
        } else if self.parts.iter().any(|part| !matches!(part.slot, None | Some('a' | 'b'))) {
            Some("slot of a part")
        } else if self.notes.len() > MOST_NOTES {
            Some("length of its notes")
        } else {
            None
        }
    }
}

/// All releases among `targets`, by the path of their index; those that cannot be read apart, for
/// one bad release must not keep nodes from another.
pub fn releases(targets: &Targets) -> (BTreeMap<String, Release>, Vec<ReleaseError>) {
    let (mut good, mut bad) = (BTreeMap::new(), Vec::new());
    for (path, target) in &targets.targets {
        match Release::of_target(path, target) {
            Some(Ok(release)) => drop(good.insert(path.clone(), release)),
            Some(Err(error)) => bad.push(error),
            None => {}
        }
    }
    (good, bad)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn release(version: &str) -> Release {
        let part = |kind, slot| Part {
            kind,
            slot,
            name: String::new(),
            size: 8192,
            sha256: "ab".repeat(32),
        };
        Release {
            board: "x86-64".into(),
            version: version.parse().unwrap(),
            root_hash: "cd".repeat(32),
            hash_offset: 4096,
            minimum_version: None,
            notes: "New: everything.".into(),
            channels: BTreeMap::new(),
            data: format!("x86-64/{version}/chunks"),
            parts: vec![
                part(PartKind::Root, None),
                part(PartKind::Kernel, Some('a')),
                part(PartKind::Kernel, Some('b')),
            ],
        }
    }

    fn target(custom: serde_json::Value) -> Target {
        let hashes = BTreeMap::new();
        Target { length: 1, hashes, custom: Some(custom), extra: serde_json::Map::new() }
    }

    #[test]
    fn release_survives_the_way_through_a_target() {
        let mut release = release("1.2.3");
        let waves = Schedule(crate::waves::NORMAL.to_vec());
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        release.channels.insert("stable".into(), Rollout { start, urgent: true, waves });
        let read = Release::of_target("p", &target(release.to_custom())).unwrap().unwrap();
        assert_eq!(read, release);
    }

    #[test]
    fn slot_has_the_root_and_its_own_kernel() {
        let release = release("1.2.3");
        let places = |slot| release.parts_of(slot).map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(places('a'), [0, 1]);
        assert_eq!(places('b'), [0, 2]);
    }

    #[test]
    fn odd_release_is_an_error_and_other_targets_are_none() {
        assert!(Release::of_target("p", &target(json!({"size": 1}))).is_none());
        for (pointer, value) in [
            ("/holm-release/version", json!("one")),
            ("/holm-release/board", json!("")),
            ("/holm-release/root-hash", json!("cd")),
            ("/holm-release/hash-offset", json!(9000)),
            ("/holm-release/parts", json!([])),
            ("/holm-release/parts/0/sha256", json!("x")),
            ("/holm-release/parts/1/name", json!("../x")),
            ("/holm-release/parts/1/slot", json!("c")),
            ("/holm-release/parts/1/size", json!(0)),
            ("/holm-release/notes", json!("x".repeat(MOST_NOTES + 1))),
        ] {
            let mut custom = release("1.2.3").to_custom();
            let field = match custom.pointer_mut(pointer) {
                Some(field) => field,
                None => {
                    let part = custom.pointer_mut("/holm-release/parts/1").unwrap();
                    part.as_object_mut().unwrap().insert("name".into(), json!(null));
                    custom.pointer_mut(pointer).unwrap()
                }
            };
            *field = value;
            let read = Release::of_target("p", &target(custom)).unwrap();
            assert!(read.is_err(), "{pointer}");
        }
    }
}

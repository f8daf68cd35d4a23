//! The four roles of the specification's section 4, as Rust types that keep what they do not know.
//! Must never decide what is trusted.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::key::Key;

/// The version of the specification that is written.
pub const SPEC_VERSION: &str = "1.0.31";

/// Fields that the specification does not know. They are covered by signatures and kept.
pub type Extra = Map<String, Value>;

/// A top-level role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Whose keys sign for which role.
    Root,
    /// Which snapshot is the newest.
    Timestamp,
    /// Which targets metadata belong together.
    Snapshot,
    /// What may be installed.
    Targets,
}

impl Role {
    /// All of them, in the order in which a client loads them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets];

    /// The role's name in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What every role has.
pub trait Metadata: DeserializeOwned + Serialize {
    /// The role that `_type` has to name.
    const ROLE: Role;

    /// The metadata's own version, 1 or more.
    fn version(&self) -> u64;

    /// Until when it counts.
    fn expires(&self) -> Expires;

    /// The specification that it follows.
    fn spec_version(&self) -> &str;
}

macro_rules! metadata {
    ($type:ty, $role:expr) => {
        impl Metadata for $type {
            const ROLE: Role = $role;

            fn version(&self) -> u64 {
                self.version
            }

            fn expires(&self) -> Expires {
                self.expires
            }

            fn spec_version(&self) -> &str {
                &self.spec_version
            }
        }
    };
}

metadata!(Root, Role::Root);
metadata!(Timestamp, Role::Timestamp);
metadata!(Snapshot, Role::Snapshot);
metadata!(Targets, Role::Targets);

/// A date and time in whole seconds, written `YYYY-MM-DDTHH:MM:SSZ` and in no other form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expires(pub jiff::Timestamp);

impl FromStr for Expires {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_exact = text.len() == 20
            && text.bytes().enumerate().all(|(i, byte)| match i {
                4 | 7 => byte == b'-',
                10 => byte == b'T',
                13 | 16 => byte == b':',
                19 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        if is_exact { text.parse().map(Self).map_err(drop) } else { Err(()) }
    }
}

impl fmt::Display for Expires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl Serialize for Expires {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Expires {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |()| D::Error::custom(format!("{text:?} is no YYYY-MM-DDTHH:MM:SSZ"));
        text.parse().map_err(wrong)
    }
}

/// Which keys sign for a role, and how many of them have to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleKeys {
    /// Identifiers of keys.
    pub keyids: Vec<String>,
    /// How many of them have to sign, 1 or more.
    pub threshold: u32,
    /// See [`Extra`].
    #[serde(flatten)]
    pub extra: Extra,
}

/// `root.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the specification's")]
pub struct Root {
    pub spec_version: String,
    pub version: u64,
    pub expires: Expires,
    #[serde(default)]
    pub consistent_snapshot: bool,
    pub keys: BTreeMap<String, Key>,
    pub roles: BTreeMap<String, RoleKeys>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Version, and perhaps length and hashes, of a metadata file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the specification's")]
pub struct Meta {
    pub version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// `timestamp.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the specification's")]
pub struct Timestamp {
    pub spec_version: String,
    pub version: u64,
    pub expires: Expires,
    pub meta: BTreeMap<String, Meta>,
    #[serde(flatten)]
    pub extra: Extra,
}

impl Timestamp {
    /// What it says of the snapshot.
    pub fn snapshot(&self) -> Option<&Meta> {
        self.meta.get("snapshot.json")
    }
}

/// `snapshot.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the specification's")]
pub struct Snapshot {
    pub spec_version: String,
    pub version: u64,
    pub expires: Expires,
    pub meta: BTreeMap<String, Meta>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A file that may be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its length in bytes.
    pub length: u64,
    /// Hex digests by the name of their hash function.
    pub hashes: BTreeMap<String, String>,
    /// What the application wants to know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
    /// See [`Extra`].
    #[serde(flatten)]
    pub extra: Extra,
}

/// `targets.json`, and the metadata of delegated roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the specification's")]
pub struct Targets {
    pub spec_version: String,
    pub version: u64,
    pub expires: Expires,
    pub targets: BTreeMap<String, Target>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whom a targets role trusts with a part of the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegations {
    /// Keys by identifier.
    pub keys: BTreeMap<String, Key>,
    /// Roles, the first of which has the first word.
    #[serde(default)]
    pub roles: Vec<DelegatedRole>,
    /// See [`Extra`].
    #[serde(flatten)]
    pub extra: Extra,
}

/// A role that a targets role delegates to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedRole {
    /// Its name, which its file is named after.
    pub name: String,
    /// Keys and threshold.
    pub keyids: Vec<String>,
    /// How many of them have to sign.
    pub threshold: u32,
    /// Whether what it does not know is not looked for in later roles.
    pub terminating: bool,
    /// Patterns of target paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Beginnings of the hex SHA-256 of target paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hash_prefixes: Option<Vec<String>>,
    /// See [`Extra`].
    #[serde(flatten)]
    pub extra: Extra,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn date_is_taken_in_its_one_form_only() {
        let date: Expires = "2030-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(date.to_string(), "2030-01-02T03:04:05Z");
        for bad in [
            "2030-01-02T03:04:05",
            "2030-01-02T03:04:05+00:00",
            "2030-01-02 03:04:05Z",
            "2030-13-02T03:04:05Z",
            "2030-01-02T03:04:05.5Z",
            "",
        ] {
            assert!(bad.parse::<Expires>().is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_fields_survive_at_every_level() {
        let text = json!({
            "spec_version": "1.0.0", "version": 1, "expires": "2030-01-01T00:00:00Z", "new": [1],
            "meta": {"snapshot.json": {"version": 3, "new": {"a": "b"}}},
        });
        let timestamp: Timestamp = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(timestamp.snapshot().unwrap().version, 3);
        assert_eq!(serde_json::to_value(timestamp).unwrap(), text);
    }

    #[test]
    fn what_is_missing_is_an_error() {
        let text = json!({"spec_version": "1.0.0", "expires": "2030-01-01T00:00:00Z", "meta": {}});
        assert!(serde_json::from_value::<Timestamp>(text).is_err());
    }
}

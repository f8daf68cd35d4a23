//! New metadata from what is wanted: versions, expiry, signatures, and a client's verdict on them.

use std::collections::BTreeMap;

use holm_payload::release::SIGNED_AT;
use holm_tuf::metadata::{Expires, Meta, Metadata, SPEC_VERSION};
use holm_tuf::{Envelope, Role, Signer as _, Snapshot, Targets, Timestamp as TimestampRole};
use holm_tuf::{file_name, hex};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};

use super::repository::{Repository, State};
use super::signer::KeySigner;
use super::{Error, UpdateKeys};

/// How long each role's metadata count, in days.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "each field is the role that it is named after")]
pub struct Days {
    pub root: u32,
    pub timestamp: u32,
    pub snapshot: u32,
    pub targets: u32,
}

impl Default for Days {
    /// The timestamp is short: it bounds how long a thief of the server can hide new releases.
    fn default() -> Self {
        Self { root: 730, timestamp: 30, snapshot: 365, targets: 365 }
    }
}

impl Days {
    /// When metadata of `role` that are signed `now` expire.
    pub fn expires(self, role: Role, now: Timestamp) -> Expires {
        let days = match role {
            Role::Root => self.root,
            Role::Timestamp => self.timestamp,
            Role::Snapshot => self.snapshot,
            Role::Targets => self.targets,
        };
        let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let end = whole.checked_add(SignedDuration::from_hours(24 * i64::from(days)));
        Expires(end.unwrap_or(Timestamp::MAX))
    }
}

/// Metadata with the signatures of all of `signers`.
pub(super) fn sign<M: Metadata>(metadata: &M, signers: &[KeySigner]) -> Result<Envelope, Error> {
    let mut envelope = Envelope::seal(metadata)?;
    for signer in signers {
        envelope.sign(M::ROLE.name(), signer)??;
    }
    Ok(envelope)
}

/// What the new metadata are made of.
pub(super) struct Wanted {
    /// A new root file; the old one stays without.
    pub root: Option<Vec<u8>>,
    /// New targets; without, they are signed anew as they are when `resign` says so.
    pub targets: Option<Targets>,
    /// Whether all metadata are signed anew, because keys changed or time passed.
    pub resign: bool,
}

/// Makes and swaps in what is wanted, and a timestamp in any case.
pub(super) fn apply(
    repository: &Repository,
    keys: &UpdateKeys,
    wanted: Wanted,
    now: Timestamp,
    days: Days,
) -> Result<(), Error> {
    let State { timestamp_version, snapshot, snapshot_version, targets, .. } =
        repository.state()?;
    let mut files = BTreeMap::new();
    let mut targets_meta = snapshot.and_then(|old| old.meta.get("targets.json").cloned());
    if wanted.targets.is_some() || wanted.resign || targets_meta.is_none() {
        let mut fresh = wanted.targets.unwrap_or(targets);
        fresh.version += 1;
        fresh.expires = days.expires(Role::Targets, now);
        let bytes = sign(&fresh, &keys.signers(Role::Targets)?)?.to_bytes()?;
        targets_meta = Some(meta(fresh.version, &bytes));
        files.insert(file_name::metadata("targets", Some(fresh.version)), bytes);
    }
    let spec_version = SPEC_VERSION.to_owned();
    let fresh = Snapshot {
        spec_version: spec_version.clone(),
        version: snapshot_version + 1,
        expires: days.expires(Role::Snapshot, now),
        meta: targets_meta.into_iter().map(|meta| ("targets.json".to_owned(), meta)).collect(),
        extra: Map::new(),
    };
    let bytes = sign(&fresh, &keys.signers(Role::Snapshot)?)?.to_bytes()?;
    let snapshot_meta = meta(fresh.version, &bytes);
    files.insert(file_name::metadata("snapshot", Some(fresh.version)), bytes);
    let expires = days.expires(Role::Timestamp, now);
    let signed_at = Expires(now).to_string();
    let fresh = TimestampRole {
        spec_version,
        version: timestamp_version + 1,
        expires,
        meta: BTreeMap::from([("snapshot.json".to_owned(), snapshot_meta)]),
        extra: Map::from_iter([(SIGNED_AT.to_owned(), json!(signed_at))]),
    };
    let bytes = sign(&fresh, &keys.signers(Role::Timestamp)?)?.to_bytes()?;
    files.insert(file_name::metadata("timestamp", None), bytes);
    repository.swap_in(wanted.root, files, now)
}

/// Signs a new timestamp, and where they come near their end, or where `all` is wanted, snapshot
/// and targets.
pub fn refresh(
    repository: &Repository,
    keys: &UpdateKeys,
    all: bool,
    now: Timestamp,
    days: Days,
) -> Result<(), Error> {
    let state = repository.state()?;
    // Half of its time is left to whoever looks after a calendar.
    let half = SignedDuration::from_hours(12 * i64::from(days.targets));
    let is_near = state.targets.expires.0.duration_since(now) < half;
    apply(repository, keys, Wanted { root: None, targets: None, resign: all || is_near }, now, days)
}

fn meta(version: u64, bytes: &[u8]) -> Meta {
    let digest = hex::encode(&holm_payload::chunk::digest_of(bytes));
    let hashes = Some(BTreeMap::from([("sha256".to_owned(), digest)]));
    Meta { version, length: Some(bytes.len() as u64), hashes, extra: Map::new() }
}

/// The identifier of a signer's key, for people.
pub(super) fn id(signer: &KeySigner) -> String {
    signer.key().id().unwrap_or_default()
}

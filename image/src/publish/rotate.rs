//! New keys in place of old ones, and keys that no longer count. Old and new root keys sign the new
//! root, so that every node can follow; everything else is signed anew at once.

use holm_tuf::{Envelope, Role};
use jiff::Timestamp;

use super::keys::RoleSigners;
use super::repository::Repository;
use super::sign::{Days, Wanted, apply, id, sign};
use super::signer::KeySigner;
use super::{Error, UpdateKeys};

/// Gives `role` a new key in place of `old` (an identifier), or in place of all its keys.
pub fn rotate(
    repository: &Repository,
    keys: &UpdateKeys,
    role: Role,
    old: Option<&str>,
    now: Timestamp,
    days: Days,
) -> Result<UpdateKeys, Error> {
    let mut signers = keys.role(role)?.clone();
    let mut found = false;
    for entry in &mut signers.keys {
        let own = entry.key()?.id();
        if old.is_none() || own.as_deref() == old {
            *entry = keys.create_key(role)?;
            found = true;
        }
    }
    if let Some(old) = old.filter(|_| !found) {
        return Err(Error::NoSuchKey(old.to_owned()));
    }
    replace(repository, keys, role, signers, now, days)
}

/// Takes a key away without a new one. Enough have to be left to reach the threshold.
pub fn revoke(
    repository: &Repository,
    keys: &UpdateKeys,
    role: Role,
    old: &str,
    now: Timestamp,
    days: Days,
) -> Result<UpdateKeys, Error> {
    let RoleSigners { threshold, keys: entries } = keys.role(role)?.clone();
    let count = entries.len();
    let mut left = Vec::new();
    for entry in entries {
        if entry.key()?.id().as_deref() != Some(old) {
            left.push(entry);
        }
    }
    if left.len() == count {
        return Err(Error::NoSuchKey(old.to_owned()));
    }
    if left.len() < threshold as usize {
        let role = role.name().to_owned();
        return Err(Error::TooFewKeys { role, left: left.len(), threshold });
    }
    replace(repository, keys, role, RoleSigners { threshold, keys: left }, now, days)
}

fn replace(
    repository: &Repository,
    keys: &UpdateKeys,
    role: Role,
    signers: RoleSigners,
    now: Timestamp,
    days: Days,
) -> Result<UpdateKeys, Error> {
    let changed = keys.with(role, signers);
    let root = changed.root(repository.state()?.root.version + 1, now, days)?;
    let by: Vec<KeySigner> = union(keys.signers(Role::Root)?, changed.signers(Role::Root)?);
    let envelope: Envelope = sign(&root, &by)?;
    let bytes = envelope.to_bytes()?;
    let wanted = Wanted { root: Some(bytes.clone()), targets: None, resign: true };
    apply(repository, &changed, wanted, now, days)?;
    // Only now: a rotation that failed leaves the keys that nodes still ask for.
    changed.keep(&bytes)?;
    Ok(changed)
}

fn union(mut old: Vec<KeySigner>, new: Vec<KeySigner>) -> Vec<KeySigner> {
    for signer in new {
        if old.iter().all(|one| id(one) != id(&signer)) {
            old.push(signer);
        }
    }
    old
}

//! What is signed, with its signatures: parsing, counting towards a threshold, signing.
//! Must never trust a field of what is signed before its signatures are counted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::canonical::{self, NotCanonical};
use crate::hex;
use crate::key::{Key, Signer};
use crate::metadata::{Metadata, RoleKeys, Root};

/// A metadata file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// One for each key.
    pub signatures: Vec<Signature>,
    /// What they cover, in canonical form.
    pub signed: Value,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The identifier of the key.
    pub keyid: String,
    /// The signature in hex.
    pub sig: String,
    /// What the specification does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Why a metadata file is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It is no signed metadata at all.
    #[error("{role}: not signed metadata")]
    NotSigned {
        /// The role that was expected.
        role: String,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// What is signed lacks a field, or has one of another type.
    #[error("{role}: not metadata of this role")]
    Malformed {
        /// The role that was expected.
        role: String,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// What is signed is of another role.
    #[error("{role}: its type is {found:?}")]
    WrongType {
        /// The role that was expected.
        role: String,
        /// What `_type` says.
        found: String,
    },
    /// It follows a specification that this client does not know.
    #[error("{role}: it follows specification {found:?}, this client knows 1")]
    SpecVersion {
        /// The role.
        role: String,
        /// What `spec_version` says.
        found: String,
    },
    /// Versions begin with 1.
    #[error("{role}: version 0 is no version")]
    VersionZero {
        /// The role.
        role: String,
    },
    /// Two signatures name the same key.
    #[error("{role}: two signatures of key {keyid}")]
    DuplicateSignature {
        /// The role.
        role: String,
        /// The key's identifier.
        keyid: String,
    },
    /// Too few of the role's keys signed.
    #[error("{role}: signed by {found} of the {needed} keys that have to")]
    Threshold {
        /// The role.
        role: String,
        /// Keys whose signature is good.
        found: usize,
        /// Keys that have to sign.
        needed: u32,
    },
    /// A key is listed under an identifier that is not its own.
    #[error("{role}: key {keyid} is listed under an identifier that is not its own")]
    KeyId {
        /// The role whose metadata lists the key.
        role: String,
        /// The identifier.
        keyid: String,
    },
    /// Root does not say who signs for a role.
    #[error("{role}: root names no keys for it, or a threshold of 0")]
    NoKeys {
        /// The role.
        role: String,
    },
    /// What is signed has no canonical form.
    #[error("{role}: cannot be signed")]
    NotCanonical {
        /// The role.
        role: String,
        /// Why.
        source: NotCanonical,
    },
}

impl Envelope {
    /// Parses `bytes`, that are said to be metadata of `role`. Nothing of it can be trusted yet.
    pub fn parse(role: &str, bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let not_signed = |source| EnvelopeError::NotSigned { role: role.to_owned(), source };
        let envelope: Self = serde_json::from_slice(bytes).map_err(not_signed)?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = envelope.signatures.iter().find(|one| !seen.insert(&*one.keyid)) {
            let (role, keyid) = (role.to_owned(), twice.keyid.clone());
            return Err(EnvelopeError::DuplicateSignature { role, keyid });
        }
        Ok(envelope)
    }

    /// Counts the signatures of `keys` that `role_keys` names. A key counts once, whatever
    /// identifiers it is listed under; a bad signature beside enough good ones does no harm.
    pub fn verify(
        &self,
        role: &str,
        keys: &BTreeMap<String, Key>,
        role_keys: &RoleKeys,
    ) -> Result<(), EnvelopeError> {
        if role_keys.threshold == 0 {
            return Err(EnvelopeError::NoKeys { role: role.to_owned() });
        }
        let message = self.message(role)?;
        let allowed: BTreeSet<&str> = role_keys.keyids.iter().map(String::as_str).collect();
        let good: BTreeSet<Vec<u8>> = self
            .signatures
            .iter()
            .filter(|signature| allowed.contains(&*signature.keyid))
            .filter_map(|signature| Some((keys.get(&signature.keyid)?, signature)))
            .filter(|(key, signature)| key.verifies(&message, &signature.sig))
            .filter_map(|(key, _)| key.public())
            .collect();
        if u32::try_from(good.len()).is_ok_and(|found| found >= role_keys.threshold) {
            return Ok(());
        }
        let (found, needed) = (good.len(), role_keys.threshold);
        Err(EnvelopeError::Threshold { role: role.to_owned(), found, needed })
    }

    /// As [`Self::verify`], by the keys that `root` names for the top-level role `role`.
    pub fn verify_by_root(&self, role: &str, root: &Root) -> Result<(), EnvelopeError> {
        let keys = root.roles.get(role);
        let keys = keys.ok_or_else(|| EnvelopeError::NoKeys { role: role.to_owned() })?;
        self.verify(role, &root.keys, keys)
    }

    /// What is signed, as the type of its role. `name` is for errors; delegated roles have names
    /// of their own.
    pub fn open<M: Metadata>(&self, name: &str) -> Result<M, EnvelopeError> {
        let role = || name.to_owned();
        let found = self.signed.get("_type").and_then(Value::as_str).unwrap_or_default();
        if found != M::ROLE.name() {
            return Err(EnvelopeError::WrongType { role: role(), found: found.to_owned() });
        }
        let malformed = |source| EnvelopeError::Malformed { role: role(), source };
        let mut fields = self.signed.clone();
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("_type");
        }
        let metadata: M = serde_json::from_value(fields).map_err(malformed)?;
        if metadata.spec_version().split('.').next() != Some("1") {
            let found = metadata.spec_version().to_owned();
            return Err(EnvelopeError::SpecVersion { role: role(), found });
        }
        if metadata.version() == 0 {
            return Err(EnvelopeError::VersionZero { role: role() });
        }
        Ok(metadata)
    }

    /// An envelope around `metadata`, without signatures.
    pub fn seal<M: Metadata>(metadata: &M) -> Result<Self, EnvelopeError> {
        let role = M::ROLE.name();
        let malformed = |source| EnvelopeError::Malformed { role: role.to_owned(), source };
        let mut signed = serde_json::to_value(metadata).map_err(malformed)?;
        signed["_type"] = json!(role);
        Ok(Self { signatures: Vec::new(), signed })
    }

    /// The bytes that signatures cover.
    pub fn message(&self, role: &str) -> Result<Vec<u8>, EnvelopeError> {
        let wrong = |source| EnvelopeError::NotCanonical { role: role.to_owned(), source };
        canonical::encode(&self.signed).map_err(wrong)
    }

    /// Adds the signature of `signer`, in place of an older one of the same key.
    pub fn sign<S: Signer + ?Sized>(
        &mut self,
        role: &str,
        signer: &S,
    ) -> Result<Result<(), S::Error>, EnvelopeError> {
        let message = self.message(role)?;
        let no_id = || EnvelopeError::KeyId { role: role.to_owned(), keyid: String::new() };
        let keyid = signer.key().id().ok_or_else(no_id)?;
        Ok(signer.sign(&message).map(|signature| {
            self.signatures.retain(|one| one.keyid != keyid);
            let sig = hex::encode(&signature);
            self.signatures.push(Signature { keyid, sig, extra: Map::new() });
        }))
    }

    /// The file: indented, with a newline at the end, for people to read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EnvelopeError> {
        let malformed = |source| EnvelopeError::Malformed { role: String::new(), source };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(malformed)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Refuses keys that are listed under an identifier which is not theirs.
pub fn check_key_ids(role: &str, keys: &BTreeMap<String, Key>) -> Result<(), EnvelopeError> {
    match keys.iter().find(|(keyid, key)| key.id().as_ref() != Some(keyid)) {
        None => Ok(()),
        Some((keyid, _)) => {
            Err(EnvelopeError::KeyId { role: role.to_owned(), keyid: keyid.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyPair;
    use crate::metadata::{SPEC_VERSION, Timestamp};

    fn pair(n: u8) -> KeyPair {
        KeyPair::from_seed(&[n; 32]).unwrap()
    }

    fn listed(pairs: &[u8]) -> BTreeMap<String, Key> {
        let keys = pairs.iter().map(|n| pair(*n).key().clone());
        keys.map(|key| (key.id().unwrap(), key)).collect()
    }

    fn role(keys: &BTreeMap<String, Key>, threshold: u32) -> RoleKeys {
        RoleKeys { keyids: keys.keys().cloned().collect(), threshold, extra: Map::new() }
    }

    fn signed_by(pairs: &[u8]) -> Envelope {
        let timestamp = Timestamp {
            spec_version: SPEC_VERSION.to_owned(),
            version: 1,
            expires: "2030-01-01T00:00:00Z".parse().unwrap(),
            meta: BTreeMap::new(),
            extra: Map::new(),
        };
        let mut envelope = Envelope::seal(&timestamp).unwrap();
        for n in pairs {
            envelope.sign("timestamp", &pair(*n)).unwrap().unwrap();
        }
        envelope
    }

    #[test]
    fn threshold_of_good_signatures_is_needed_and_enough() {
        let keys = listed(&[1, 2, 3]);
        let verify = |by: &[u8], threshold| {
            signed_by(by).verify("timestamp", &keys, &role(&keys, threshold)).is_ok()
        };
        assert!(verify(&[1, 3], 2));
        assert!(verify(&[9, 1, 8, 3], 2));
        assert!(!verify(&[1], 2));
        assert!(!verify(&[1, 9], 2));
        assert!(!verify(&[], 1));
        assert!(!verify(&[1], 0), "a threshold of 0 would let everything pass");
        assert!(!verify(&[1, 2, 3], 4));
    }

    #[test]
    fn one_key_under_two_identifiers_counts_once() {
        let mut keys = listed(&[1]);
        let mut twin = pair(1).key().clone();
        twin.extra.insert("x".into(), json!(1));
        keys.insert(twin.id().unwrap(), twin.clone());
        check_key_ids("root", &keys).unwrap();
        let mut envelope = signed_by(&[1]);
        let mut second = envelope.signatures[0].clone();
        second.keyid = twin.id().unwrap();
        envelope.signatures.push(second);
        assert!(envelope.verify("timestamp", &keys, &role(&keys, 1)).is_ok());
        assert!(envelope.verify("timestamp", &keys, &role(&keys, 2)).is_err());
    }

    #[test]
    fn second_signature_of_a_key_makes_the_file_unreadable() {
        let mut envelope = signed_by(&[1]);
        envelope.signatures.push(envelope.signatures[0].clone());
        let bytes = envelope.to_bytes().unwrap();
        let error = Envelope::parse("timestamp", &bytes).unwrap_err();
        assert!(matches!(error, EnvelopeError::DuplicateSignature { .. }), "{error}");
    }

    #[test]
    fn changed_field_breaks_the_signature_and_white_space_does_not() {
        let keys = listed(&[1]);
        let bytes = signed_by(&[1]).to_bytes().unwrap();
        let envelope = Envelope::parse("timestamp", &bytes).unwrap();
        envelope.verify("timestamp", &keys, &role(&keys, 1)).unwrap();
        let mut changed = envelope;
        changed.signed["version"] = json!(2);
        assert!(changed.verify("timestamp", &keys, &role(&keys, 1)).is_err());
    }

    #[test]
    fn type_specification_and_version_are_checked() {
        let envelope = signed_by(&[1]);
        assert!(envelope.open::<Timestamp>("timestamp").is_ok());
        let error = envelope.open::<crate::metadata::Snapshot>("snapshot").unwrap_err();
        assert!(matches!(error, EnvelopeError::WrongType { .. }), "{error}");
        for (field, value) in [("spec_version", json!("2.0")), ("version", json!(0))] {
            let mut envelope = signed_by(&[1]);
            envelope.signed[field] = value;
            assert!(envelope.open::<Timestamp>("timestamp").is_err(), "{field}");
        }
    }

    #[test]
    fn key_under_a_wrong_identifier_is_refused() {
        let mut keys = listed(&[1]);
        keys.insert("00".repeat(32), pair(2).key().clone());
        assert!(check_key_ids("root", &keys).is_err());
    }
}

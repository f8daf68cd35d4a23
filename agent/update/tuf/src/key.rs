//! Keys, their identifiers, and one signature at a time. Counting is the envelope's business.

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{canonical, hex};

/// The name of the only kind of key that counts, and of its scheme.
pub const ED25519_NAME: &str = "ed25519";

/// A public key, as root and delegating targets metadata list it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The public key system.
    pub keytype: String,
    /// How it signs.
    pub scheme: String,
    /// The key itself; for ed25519 `public` holds 64 hex digits.
    pub keyval: Map<String, Value>,
    /// What the specification does not know, but the identifier covers.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Key {
    /// The ed25519 key with these 32 bytes.
    pub fn ed25519(public: &[u8]) -> Self {
        let mut keyval = Map::new();
        keyval.insert("public".to_owned(), json!(hex::encode(public)));
        let name = || ED25519_NAME.to_owned();
        Self { keytype: name(), scheme: name(), keyval, extra: Map::new() }
    }

    /// SHA-256 over the canonical form, in hex. `None` when there is no canonical form.
    pub fn id(&self) -> Option<String> {
        let value = serde_json::to_value(self).ok()?;
        let bytes = canonical::encode(&value).ok()?;
        Some(hex::encode(digest(&SHA256, &bytes).as_ref()))
    }

    /// The 32 bytes of an ed25519 key; `None` for a key of another type, and for a broken one.
    pub fn public(&self) -> Option<Vec<u8>> {
        if self.keytype != ED25519_NAME || self.scheme != ED25519_NAME {
            return None;
        }
        hex::decode(self.keyval.get("public")?.as_str()?).filter(|bytes| bytes.len() == 32)
    }

    /// Whether `signature` (hex) is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let (Some(public), Some(signature)) = (self.public(), hex::decode(signature)) else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, public).verify(message, &signature).is_ok()
    }
}

/// Something that signs: a key in memory, or a command that reaches one.
pub trait Signer {
    /// Why it could not.
    type Error;

    /// The public half.
    fn key(&self) -> &Key;

    /// The 64 bytes of an ed25519 signature over `message`.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// An ed25519 key pair in memory.
#[derive(Debug)]
pub struct KeyPair {
    pair: Ed25519KeyPair,
    key: Key,
}

/// The bytes are no ed25519 key in PKCS #8 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ed25519 key in PKCS #8 form")]
pub struct NotAKey;

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes for a key")]
pub struct NoRandomness;

impl KeyPair {
    /// A new key pair, and its PKCS #8 form (DER) to keep. `openssl pkey` writes the short form,
    /// without the public half; both are read.
    pub fn generate() -> Result<(Self, Vec<u8>), NoRandomness> {
        let document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| NoRandomness)?;
        let pair = Self::from_pkcs8(document.as_ref()).map_err(|_| NoRandomness)?;
        Ok((pair, document.as_ref().to_vec()))
    }

    /// The key pair in `der`.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| NotAKey)?;
        let key = Key::ed25519(pair.public_key().as_ref());
        Ok(Self { pair, key })
    }

    /// The key pair that grows from 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NotAKey)?;
        let key = Key::ed25519(pair.public_key().as_ref());
        Ok(Self { pair, key })
    }
}

impl Signer for KeyPair {
    type Error = std::convert::Infallible;

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Self::Error> {
        Ok(self.pair.sign(message).as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifier_is_that_of_the_reference_implementation() {
        // The key and its identifier as the specification's example lists them.
        let public = "72378e5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc52542c";
        let key = Key::ed25519(&hex::decode(public).unwrap());
        let id = "1bf1c6e3cdd3d3a8420b19199e27511999850f4b376c4547b2f32fba7e80fca3";
        assert_eq!(key.id().as_deref(), Some(id));
    }

    #[test]
    fn signature_counts_for_its_message_and_key_only() {
        let (pair, der) = KeyPair::generate().unwrap();
        let again = KeyPair::from_pkcs8(&der).unwrap();
        assert_eq!(again.key(), pair.key());
        let signature = hex::encode(&again.sign(b"message").unwrap());
        assert!(pair.key().verifies(b"message", &signature));
        assert!(!pair.key().verifies(b"other", &signature));
        assert!(!pair.key().verifies(b"message", ""));
        assert!(!pair.key().verifies(b"message", "zz"));
        let other = KeyPair::from_seed(&[7; 32]).unwrap();
        assert!(!other.key().verifies(b"message", &signature));
    }

    #[test]
    fn unknown_fields_are_part_of_the_identifier() {
        let mut key = Key::ed25519(&[1; 32]);
        let before = key.id();
        key.extra.insert("extra-field".into(), json!({"a": 1}));
        assert_ne!(key.id(), before);
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<Key>(&text).unwrap(), key);
    }

    #[test]
    fn key_of_another_type_never_verifies() {
        let pair = KeyPair::from_seed(&[1; 32]).unwrap();
        let signature = hex::encode(&pair.sign(b"m").unwrap());
        for (field, value) in [("keytype", "rsa"), ("scheme", "rsassa-pss-sha256")] {
            let mut key = serde_json::to_value(pair.key()).unwrap();
            key[field] = json!(value);
            let key: Key = serde_json::from_value(key).unwrap();
            assert!(!key.verifies(b"m", &signature), "{field}");
        }
    }
}

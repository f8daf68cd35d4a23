//! What a document from elsewhere must prove: that it is the one that was meant, or
//! that it comes from whoever holds a key.

use minisign_verify::{PublicKey, Signature};
use sha2::{Digest, Sha256};

/// A proof that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// The document has this SHA-256, in hexadecimal digits.
    Hash(String),
    /// The document is signed by this minisign key.
    Key(String),
}

/// Why a document is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinError {
    /// Its hash is another one.
    OtherHash {
        /// The hash that was pinned.
        wanted: String,
        /// The hash that it has.
        found: String,
    },
    /// The key is none.
    Key,
    /// The signature is none, or of another document or key.
    Signature(String),
}

impl std::fmt::Display for PinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherHash { wanted, found } => {
                write!(f, "its SHA-256 is {found}, and {wanted} is pinned")
            }
            Self::Key => write!(f, "the pinned key is no minisign public key"),
            Self::Signature(why) => write!(f, "its signature is not good: {why}"),
        }
    }
}

impl std::error::Error for PinError {}

impl Pin {
    /// Whether a signature has to be fetched beside the document, at its URL with
    /// `.minisig` behind.
    pub fn needs_signature(&self) -> bool {
        matches!(self, Self::Key(_))
    }

    /// Whether `document` is what was pinned. `signature` is the text of the
    /// signature's file.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, document: &[u8], signature: &str) -> Result<(), PinError> {
        match self {
            Self::Hash(wanted) => {
                let found = hash(document);
                let wanted = wanted.to_ascii_lowercase();
                if found == wanted { Ok(()) } else { Err(PinError::OtherHash { wanted, found }) }
            }
            Self::Key(key) => {
                let key = PublicKey::from_base64(key).map_err(|_| PinError::Key)?;
                let refused =
                    |error: minisign_verify::Error| PinError::Signature(error.to_string());
                let signature = Signature::decode(signature).map_err(refused)?;
                key.verify(document, &signature, false).map_err(refused)
            }
        }
    }
}

/// The SHA-256 of `bytes` in hexadecimal digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of minisign-verify's own documentation: a key, and what it signed.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==";

    #[test]
    fn hash_admits_one_document() {
        let pin = Pin::Hash(hash(b"[node]\n").to_ascii_uppercase());
        assert_eq!(pin.check(b"[node]\n", ""), Ok(()));
        let error = pin.check(b"[node]", "").unwrap_err().to_string();
        assert!(error.contains("is pinned"), "{error}");
        assert!(!pin.needs_signature());
    }

    #[test]
    fn key_admits_what_it_signed() {
        let pin = Pin::Key(KEY.to_owned());
        assert!(pin.needs_signature());
        assert_eq!(pin.check(b"test", SIGNATURE), Ok(()));
        assert!(matches!(pin.check(b"Test", SIGNATURE), Err(PinError::Signature(_))));
        assert!(matches!(pin.check(b"test", "nonsense"), Err(PinError::Signature(_))));
        assert_eq!(Pin::Key("x".into()).check(b"test", SIGNATURE), Err(PinError::Key));
    }
}

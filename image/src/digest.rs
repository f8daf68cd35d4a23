//! SHA-256 as the one identity of bytes here: step keys, manifest entries and derived GUIDs.
//! Must never mix in anything but what the caller names.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, shown as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of a file's content, read in pieces.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut piece = vec![0; 1 << 18];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hash.into()),
                n => hash.update(&piece[..n]),
            }
        }
    }

    /// The digest written as 64 hex digits; `None` for anything else.
    pub fn parse(hex: &str) -> Option<Self> {
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The raw 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A GUID made of the first half: version 8 ("vendor-specific") of RFC 9562.
    pub fn guid(&self) -> [u8; 16] {
        let mut guid = [0; 16];
        guid.copy_from_slice(&self.0[..16]);
        guid[6] = guid[6] & 0x0f | 0x80;
        guid[8] = guid[8] & 0x3f | 0x80;
        guid
    }
}

impl From<Sha256> for Digest {
    /// The digest of all that `hash` took, for bytes that come in pieces.
    fn from(hash: Sha256) -> Self {
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Collects named fields into one digest; field borders cannot be confused.
#[derive(Clone)]
pub struct Key(Sha256);

impl Key {
    /// Starts a key for the named purpose; change the name when the meaning of its fields changes.
    pub fn new(purpose: &str) -> Self {
        Self(Sha256::new()).field("purpose", purpose)
    }

    /// Adds one named field.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds the digest of some input.
    pub fn input(self, name: &str, digest: Digest) -> Self {
        self.field(name, digest.0)
    }

    /// The digest over all fields.
    pub fn digest(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// A GUID in its text form, lower case, from bytes in text order.
pub fn guid_text(guid: &[u8; 16]) -> String {
    let hex: String = guid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_plain_sha256_and_round_trips_through_hex() {
        let digest = Digest::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), hex);
        assert_eq!(Digest::parse(hex), Some(digest));
        assert_eq!(Digest::parse(&hex[1..]), None);
        assert_eq!(Digest::parse(&hex.replace('b', "x")), None);
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_key() {
        let one = Key::new("t").field("a", "xy").field("b", "z").digest();
        let two = Key::new("t").field("a", "x").field("b", "yz").digest();
        assert_ne!(one, two);
    }

    #[test]
    fn derived_guid_is_marked_as_version_8() {
        let text = guid_text(&Digest::of(b"abc").guid());
        assert_eq!(text, "ba7816bf-8f01-8fea-8141-40de5dae2223");
    }
}

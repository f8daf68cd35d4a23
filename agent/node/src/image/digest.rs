//! Content digests: parsing, computing while a stream passes, comparing.
//!
//! Must never compare anything but the whole digest.

use std::fmt;
use std::io::{self, Read};

use ring::digest::{Algorithm, Context, SHA256, SHA512};

/// `sha256:<64 hex>` or `sha512:<128 hex>`, in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Text that is not a digest which can be checked here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no digest: expected sha256:<64 hex digits> or sha512:<128 hex digits>")]
pub struct DigestError {
    /// What was given, shortened.
    pub text: String,
}

impl Digest {
    /// Reads `algorithm:hex`.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let hex_length = |name| match name {
            "sha256" => Some(64),
            "sha512" => Some(128),
            _ => None,
        };
        let whole = text.split_once(':').is_some_and(|(name, hex)| {
            Some(hex.len()) == hex_length(name)
                && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if whole {
            Ok(Self(text.to_owned()))
        } else {
            Err(DigestError { text: text.chars().take(160).collect() })
        }
    }

    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(&SHA256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal part.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(name, _)| name)
    }

    /// A hasher that yields a digest comparable with this one.
    pub(crate) fn hasher(&self) -> Hasher {
        Hasher::new(if self.algorithm() == "sha512" { &SHA512 } else { &SHA256 })
    }

    /// Whether `bytes` have this digest.
    pub(crate) fn matches(&self, bytes: &[u8]) -> bool {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish() == *self
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// A digest in the making.
#[derive(Clone)]
pub(crate) struct Hasher {
    name: &'static str,
    context: Context,
}

impl Hasher {
    fn new(algorithm: &'static Algorithm) -> Self {
        let name = if algorithm.output_len() == 64 { "sha512" } else { "sha256" };
        Self { name, context: Context::new(algorithm) }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub fn finish(self) -> Digest {
        use fmt::Write;
        let mut text = format!("{}:", self.name);
        for byte in self.context.finish().as_ref() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Digest(text)
    }
}

/// Passes a stream on while hashing and counting it.
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    count: u64,
}

impl<R: Read> HashingReader<R> {
    /// Hashes with the algorithm of `expected`.
    pub fn new(inner: R, expected: &Digest) -> Self {
        Self { inner, hasher: expected.hasher(), count: 0 }
    }

    /// Digest and length of everything that was read.
    pub fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.count)
    }

    /// The reader within, and the digest of what was read of it.
    pub fn into_parts(self) -> (R, Digest) {
        (self.inner, self.hasher.finish())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(&buf[..n]);
        self.count += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn empty_input_has_the_known_digest() {
        assert_eq!(Digest::of(b"").as_str(), EMPTY);
    }

    #[test]
    fn text_that_is_no_digest_is_refused() {
        for bad in [
            "",
            "sha256:",
            "sha256",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &EMPTY[..EMPTY.len() - 1],
            &EMPTY.to_uppercase(),
            &EMPTY.replace('e', "g"),
            "sha256:../../../../etc/passwd",
        ] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Digest::parse(EMPTY).unwrap().hex().len(), 64);
    }

    #[test]
    fn sha512_is_checked_with_sha512() {
        let text = format!("sha512:{}", "0".repeat(128));
        let digest = Digest::parse(&text).unwrap();
        assert!(!digest.matches(b"x"));
        assert_eq!(digest.hasher().finish().hex().len(), 128);
    }

    #[test]
    fn reader_hashes_exactly_what_passes() {
        let mut reader = HashingReader::new(&b"hello"[..], &Digest::of(b""));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(reader.finish(), (Digest::of(b"hello"), 5));
    }
}
